// Take the money. This one stands in for a payment service: it declines what is
// above the limit in config/shop.yaml, and the card "declined".
export default ({ order, amount, card }) => {
  if (card === "declined") throw new HttpError(402, "the card was declined");
  if (amount > config.shop.payment.limit) throw new HttpError(402, "the amount is above the card's limit");
  return { ok: true, payment: `pay-${order}`, amount };
};
