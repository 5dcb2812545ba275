// Price rules: from so many pieces on, so much off. The first that fits counts.
const tiers = [
  { from: 50, off: 0.2 },
  { from: 10, off: 0.1 },
];

// discount returns what qty pieces cost together.
export const discount = (price, qty) => {
  const tier = tiers.find((t) => qty >= t.from);
  return Math.round(price * qty * (1 - (tier?.off ?? 0)));
};
