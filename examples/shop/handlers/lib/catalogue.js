// products lists what is on sale, in the order of config/catalogue.yaml.
export const products = () => config.catalogue.products;

// find returns one product, or answers 404.
export const find = (id) => {
  const product = products().find((p) => p.id === id);
  if (!product) throw new HttpError(404, `no product ${id}`);
  return product;
};

// quantity checks a number of pieces that came from outside.
export const quantity = (value) => {
  const qty = Number(value);
  const max = config.shop.max_quantity;
  if (!Number.isInteger(qty) || qty < 1 || qty > max) {
    throw new HttpError(400, `qty must be a whole number from 1 to ${max}`);
  }
  return qty;
};
