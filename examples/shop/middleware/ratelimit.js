// So many requests of one address in a window of time; see rate in
// config/shop.yaml. The counter of a window goes away by itself.
export default (req) => {
  const { limit, window } = config.shop.rate;
  const address = req.remote.replace(/:\d+$/, "");
  const key = `rate:${address}:${Math.floor(now() / (window * 1000))}`;
  const count = kv.incr(key);
  if (count === 1) kv.set(key, 1, { ttl: 2 * window * 1000 });
  if (count <= limit) return;
  return Response.json(
    { error: `more than ${limit} requests in ${window} s` },
    { status: 429, headers: { "retry-after": String(window) } },
  );
};
