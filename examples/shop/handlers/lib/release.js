import { find } from "./catalogue.js";
import { put } from "./stock.js";

// An order failed: bring back what was reserved for it, once.
export default ({ order }) => {
  const note = `reserved:${order}`;
  const taken = kv.get(note) ?? [];
  if (kv.delete(note)) {
    for (const { id, qty } of taken) put(find(id), qty);
  }
  kv.set(`order:${order}`, { id: order, status: "failed" }, { ttl: config.shop.orders.keep * 1000 });
  return { released: taken };
};
