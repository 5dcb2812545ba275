// The order is paid: what was reserved is sold.
export default ({ order, lines, total, payment }) => {
  const sold = { id: order, status: "confirmed", lines, total, payment };
  kv.set(`order:${order}`, sold, { ttl: config.shop.orders.keep * 1000 });
  kv.delete(`reserved:${order}`);
  kv.update("sales", (old) => ({ orders: (old?.orders ?? 0) + 1, revenue: (old?.revenue ?? 0) + total }));
  return sold;
};
