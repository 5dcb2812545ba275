// Tell the live feed.
export default ({ order, lines, total }) => {
  emit("orders", { id: order, total, items: lines.map(({ id, qty }) => ({ id, qty })) });
};
