import { key, view } from "./lib/cart.js";
import { find, quantity } from "./lib/catalogue.js";

export default (req) => {
  const { sku, qty } = req.json() ?? {};
  const product = find(sku);
  const more = quantity(qty ?? 1);
  const max = config.shop.max_quantity;
  const cart = kv.update(key(req.locals.sid), (old) => {
    const sum = (old?.[product.id] ?? 0) + more;
    if (sum > max) throw new HttpError(409, `at most ${max} of ${product.id} in one cart`);
    return { ...old, [product.id]: sum };
  });
  return Response.json(view(cart), { status: 201 });
};
