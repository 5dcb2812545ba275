import { products } from "./catalogue.js";
import { level } from "./stock.js";

// What the daily report says.
export default () => ({
  ...(kv.get("sales") ?? { orders: 0, revenue: 0 }),
  currency: config.shop.currency,
  low: products().filter((p) => level(p) < p.low).map((p) => p.id),
});
