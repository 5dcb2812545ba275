// How many pieces are in store, in kv under stock:ID. A product that was never
// sold has none of these keys and a full store.
const key = (product) => `stock:${product.id}`;

// level returns the pieces in store.
export const level = (product) => kv.get(key(product)) ?? product.stock;

// take removes qty pieces and returns what is left, or answers 409.
export const take = (product, qty) =>
  kv.update(key(product), (old) => {
    const have = old ?? product.stock;
    if (have < qty) throw new HttpError(409, `only ${have} of ${product.id} in stock`);
    return have - qty;
  });

// put brings qty pieces and returns how many there are.
export const put = (product, qty) => kv.update(key(product), (old) => (old ?? product.stock) + qty);
