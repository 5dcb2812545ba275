import { products } from "../handlers/lib/catalogue.js";
import { level, put } from "../handlers/lib/stock.js";

// Fill up whatever has run low, and tell the live feed.
export default (tick) => {
  const added = {};
  for (const product of products()) {
    const missing = product.stock - level(product);
    if (level(product) >= product.low || missing <= 0) continue;
    added[product.id] = missing;
    emit("stock", { id: product.id, added: missing, stock: put(product, missing) });
  }
  return { tick: tick.number, added };
};
