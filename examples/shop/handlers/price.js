import { find, quantity } from "./lib/catalogue.js";
import { discount } from "./lib/discount.js";

export default (req) => {
  const product = find(req.params.id);
  const qty = quantity(req.query.qty ?? 1);
  const total = discount(product.price, qty);
  return { id: product.id, qty, unit: product.price, total, saved: product.price * qty - total };
};
