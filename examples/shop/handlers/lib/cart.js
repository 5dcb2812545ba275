import { find, products } from "./catalogue.js";
import { discount } from "./discount.js";

// key is where a session's cart lies in kv: an object, product id → pieces.
export const key = (sid) => `cart:${sid}`;

// view is a cart as the client sees it, priced with today's rules. A product
// that is no longer sold drops out.
export const view = (cart) => {
  const lines = products()
    .filter((p) => Object.hasOwn(cart, p.id))
    .map((p) => line(p.id, cart[p.id]));
  return {
    items: lines,
    count: lines.reduce((sum, l) => sum + l.qty, 0),
    total: lines.reduce((sum, l) => sum + l.total, 0),
    currency: config.shop.currency,
  };
};

// line is one product of a cart or an order.
export const line = (id, qty) => {
  const product = find(id);
  return { id, name: product.name, qty, price: product.price, total: discount(product.price, qty) };
};
