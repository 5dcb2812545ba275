// First step of an order: give it a number.
export default () => {
  const id = kv.incr("orders:last");
  kv.set(`order:${id}`, { id, status: "open" }, { ttl: config.shop.orders.keep * 1000 });
  return { id };
};
