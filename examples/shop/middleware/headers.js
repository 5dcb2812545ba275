// Headers that every answer carries.
export default () => {};

export const after = () => ({
  headers: { "shop-revision": String(config.shop.revision), "x-content-type-options": "nosniff" },
});
