export default (req) => {
  const order = kv.get(`order:${req.params.id}`);
  if (!order) throw new HttpError(404, `no order ${req.params.id}`);
  return order;
};
