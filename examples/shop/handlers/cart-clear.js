import { key } from "./lib/cart.js";

export default (req) => {
  kv.delete(key(req.locals.sid));
};
