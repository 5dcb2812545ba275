package demo

import (
	"fmt"
	"os"
	"path/filepath"
)

// cartSchema is what the demo does to the carts of the shop: product → pieces becomes
// that with a currency.
const cartSchema = `export const up1 = (items) => ({ currency: "EUR", items });
export const down1 = (cart) => cart.items;
export const check = (cart) => {
  if (Object.values(cart.items).some((pieces) => pieces < 1)) throw new Error("a cart has less than one piece");
};
`

// migrate writes the schema of the carts, and changes the handlers that use them.
func (d *demo) migrate() error {
	if err := os.MkdirAll(filepath.Join(d.dir, "state"), 0o755); err != nil {
		return err
	}
	if err := save(filepath.Join(d.dir, "state/cart.js"), []byte(cartSchema)); err != nil {
		return err
	}
	return d.apply([]replace{
		{"handlers/lib/cart.js", "view = (cart) =>", "view = ({ items: cart = {} }) =>"},
		{"handlers/cart-add.js", "old?.[product.id]", "old?.items[product.id]"},
		{"handlers/cart-add.js", "{ ...old, [product.id]: sum }", "{ currency: config.shop.currency, items: { ...old?.items, [product.id]: sum } }"},
	})
}

// migrated says what the last update did to the carts, and checks it.
func (d *demo) migrated(from, to int) error {
	last := d.in.App.Updates(1)
	if len(last) != 1 || len(last[0].Migrations) != 1 {
		return fmt.Errorf("the last update migrated nothing: %+v", last)
	}
	m := last[0].Migrations[0]
	if m.Name != "cart" || m.From != from || m.To != to || m.Keys == 0 {
		return fmt.Errorf("the last update migrated %s; want carts from %d to %d", m, from, to)
	}
	d.say("    %s", m)
	return nil
}
