import { find } from "./lib/catalogue.js";
import { level } from "./lib/stock.js";

// describe is a product as the storefront shows it.
export const describe = (product) => ({
  id: product.id,
  name: product.name,
  about: product.about ?? "",
  price: product.price,
  currency: config.shop.currency,
  stock: level(product),
  badge: null,
});

export default (req) => describe(find(req.params.id));
