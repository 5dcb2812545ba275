// Building elements. A string becomes a text node, never markup: what the
// server says cannot become an element, an attribute or a script.

// h returns an HTML element, s an SVG one: "tag.class", attributes if there are
// any, and what is in it. Attributes that begin with "on" are listeners.
export const h = (name, ...rest) => fill((tag) => document.createElement(tag), name, rest);
export const s = (name, ...rest) => fill((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag), name, rest);

function fill(create, name, rest) {
	const [tag, ...classes] = name.split("."), el = create(tag);
	if (classes[0]) attr(el, "class", classes.join(" "));
	for (const [key, value] of Object.entries(rest[0]?.constructor === Object ? rest.shift() : {})) {
		if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
		else attr(el, key, value);
	}
	el.append(...rest.flat(2).filter((k) => k != null && k !== false));
	return el;
}

// attr sets an attribute; null and false remove it, but aria-* have "false".
export function attr(el, key, value) {
	if (value == null || (value === false && !key.startsWith("aria-"))) return el.removeAttribute(key);
	value = String(value);
	if (el.getAttribute(key) !== value) el.setAttribute(key, value);
}

// text sets an element's text if it differs, which keeps selections alive.
export function text(el, value) {
	value = String(value ?? "");
	if (el.textContent !== value) el.textContent = value;
}

// keyed makes the children of parent stand for items, and reuses the element of
// a key: focus, selections and what is unfolded survive.
export function keyed(parent, items, keyOf, make, update) {
	const have = (parent.kept ??= new Map());
	const seen = new Set();
	let at = parent.firstElementChild;
	for (const item of items) {
		const key = keyOf(item);
		if (seen.has(key)) continue;
		seen.add(key);
		let el = have.get(key);
		if (!el) have.set(key, (el = make(item)));
		update?.(el, item);
		if (el === at) at = at.nextElementSibling;
		else parent.insertBefore(el, at);
	}
	for (const [key, el] of have) {
		if (seen.has(key)) continue;
		el.remove();
		have.delete(key);
	}
}

// gen returns the badge of a generation. hue is its colour, 0 to 6.
export const gen = (number, label = "gen ") => h("span.gen", { "data-hue": hue(number) }, `${label}${number}`);
export const hue = (number) => ((number % 7) + 7) % 7;

// panel returns a section with a heading and what stands beside it.
export const panel = (title, aside, ...body) => h("section.panel", { "aria-label": title },
	h("header", h("h2", title), h("div.aside", aside)), body);

// facts returns short texts in a row; what is false is left out.
export const facts = (...list) => h("p.facts", list.filter(Boolean).map((f) => h("span", f)));

export const failure = (message) => h("p.error", { role: "alert" }, message);

// announce tells those who listen to the page.
export const announce = (message) => text(document.getElementById("announcer"), message);

// View draws itself, once per frame at most, when a topic of the store changes.
export class View extends HTMLElement {
	connectedCallback() {
		this.store = View.store;
		this.build?.();
		for (const topic of this.topics) this.store.addEventListener(topic, () => this.redraw());
		this.redraw();
	}
	redraw() {
		this.due ??= requestAnimationFrame(() => { this.due = null; this.draw(); });
	}
}
