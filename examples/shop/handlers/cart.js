import { key, view } from "./lib/cart.js";

export default (req) => view(kv.get(key(req.locals.sid)) ?? {});
