import { products } from "./lib/catalogue.js";
import { level } from "./lib/stock.js";

export default () => Object.fromEntries(products().map((p) => [p.id, level(p)]));
