const $ = (id) => document.getElementById(id);
const names = new Map(); // product id → name
let currency = "";

// call asks the shop; it returns the answer's JSON, or throws with its error.
async function call(path, options) {
  const res = await fetch(path, options);
  const generation = res.headers.get("theseus-generation");
  if (generation) $("generation").value = generation;
  const body = res.status === 204 ? null : await res.json();
  if (!res.ok) throw new Error(body?.error ?? `the shop answered ${res.status}`);
  return body;
}

const post = (path, data) =>
  call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(data) });

function note(text, bad = false) {
  $("note").textContent = text;
  $("note").classList.toggle("bad", bad);
}

const attempt = (what) => async () => {
  try {
    await what();
  } catch (err) {
    note(err.message, true);
  }
};

const money = (amount) => `${amount} ${currency}`;

async function showProducts() {
  const { shop, tagline, products } = await call("/products");
  document.title = $("name").textContent = shop;
  $("tagline").textContent = tagline ?? "";
  const shown = new Map([...$("products").children].map((li) => [li.dataset.id, li]));
  for (const p of products) {
    currency = p.currency;
    names.set(p.id, p.name);
    const li = shown.get(p.id) ?? newCard(p.id);
    shown.delete(p.id);
    li.querySelector("h3").textContent = p.name;
    li.querySelector(".about").textContent = p.about;
    li.querySelector(".price").textContent = money(p.price);
    li.querySelector(".stock").textContent = `${p.stock} left`;
    const badge = li.querySelector(".badge");
    badge.hidden = !p.badge;
    badge.textContent = p.badge ?? "";
  }
  for (const gone of shown.values()) gone.remove();
  $("products").ariaBusy = "false";
}

function newCard(id) {
  $("products").append($("product").content.cloneNode(true));
  const li = $("products").lastElementChild;
  li.dataset.id = id;
  li.querySelector("use").setAttribute("href", `icons.svg#${id}`);
  li.querySelector("button").onclick = attempt(async () => {
    showCart(await post("/cart", { sku: id, qty: 1 }));
    note(`${names.get(id)}: in the cart.`);
  });
  return li;
}

let cart = { items: [] };

function showCart(next) {
  cart = next;
  currency = cart.currency;
  $("cart").replaceChildren(
    ...cart.items.map((line) => {
      const li = document.createElement("li");
      const [name, total] = [document.createElement("span"), document.createElement("span")];
      name.textContent = `${line.qty} × ${line.name}`;
      total.textContent = money(line.total);
      li.append(name, total);
      return li;
    }),
  );
  const empty = cart.items.length === 0;
  $("empty").hidden = !empty;
  $("order").disabled = $("clear").disabled = empty;
  $("total").value = money(cart.total);
}

const loadCart = async () => showCart(await call("/cart"));

$("order").onclick = attempt(async () => {
  $("order").disabled = true;
  try {
    const items = cart.items.map(({ id, qty }) => ({ sku: id, qty }));
    const order = await post("/orders?wait=true", { items });
    await call("/cart", { method: "DELETE" });
    note(`Order ${order.order} is confirmed: ${money(order.total)}.`);
  } finally {
    await loadCart();
  }
});

$("clear").onclick = attempt(async () => {
  await call("/cart", { method: "DELETE" });
  await loadCart();
  note("");
});

function feed(text) {
  const li = document.createElement("li");
  li.textContent = text;
  $("feed").prepend(li);
  while ($("feed").children.length > 30) $("feed").lastElementChild.remove();
}

function listen() {
  const source = new EventSource("/live");
  let last = 0;
  let missed = 0;
  const on = (name, show) =>
    source.addEventListener(name, (e) => {
      const id = Number(e.lastEventId);
      if (last && id > last + 1) $("missed").value = missed += id - last - 1;
      last = id;
      show(JSON.parse(e.data));
    });
  source.onopen = () => {
    last = 0;
    $("pulse").className = "pulse on";
    $("pulse").title = "connected";
  };
  source.onerror = () => {
    $("pulse").className = "pulse";
    $("pulse").title = "connecting …";
  };
  on("orders", ({ id, items, total }) =>
    feed(`order ${id}: ${items.map((i) => `${i.qty} × ${names.get(i.id) ?? i.id}`).join(", ")} — ${money(total)}`));
  on("stock", ({ id, added }) => feed(`restocked: ${added} × ${names.get(id) ?? id}`));
  on("reports", ({ orders, revenue }) => feed(`report: ${orders} orders, ${money(revenue)}`));
  on("tick", ({ orders }) => {
    $("ordered").value = orders;
    // What was edited shows by itself: each tick asks again.
    attempt(showProducts)();
  });
}

await attempt(async () => {
  await showProducts();
  await loadCart();
})();
listen();
