import { products } from "./lib/catalogue.js";
import { describe } from "./product.js";

export default () => ({
  shop: config.shop.name,
  tagline: config.shop.tagline,
  products: products().map(describe),
});
