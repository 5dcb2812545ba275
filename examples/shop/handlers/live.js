// The live feed: what is ordered and restocked, and a tick each second. Messages
// are numbered from 1 on each stream, so that a client can tell if one is missing.
export default () => ({
  subscribe: ["orders", "stock", "reports"],
  every: 1000,
  event: "hello",
  data: { shop: config.shop.name },
  state: { n: 0 },
});

const send = (ctx, event, data) => {
  const n = ctx.state.n + 1;
  return { id: String(n), event, data, state: { n } };
};

export const event = (e, ctx) => send(ctx, e.topic, e.data);

export const tick = (ctx) => send(ctx, "tick", { now: now(), orders: kv.get("orders:last") ?? 0 });
