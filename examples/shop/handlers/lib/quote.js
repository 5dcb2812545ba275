import { line } from "./cart.js";
import { quantity } from "./catalogue.js";

// Price the items of an order: [{ sku, qty }] → { lines, total }.
export default ({ items }) => {
  if (items.length < 1 || items.length > 50) throw new HttpError(400, "an order has 1 to 50 items");
  const lines = items.map((item) => line(item?.sku, quantity(item?.qty ?? 1)));
  return { lines, total: lines.reduce((sum, l) => sum + l.total, 0) };
};
