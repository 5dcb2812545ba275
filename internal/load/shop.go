package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// ShopProfile returns the traffic of examples/shop: shoppers who browse, compare
// prices, fill a cart and order. Each keeps account of its own cart and orders,
// so that a lost or doubled write is found, and marks what must be equal in all
// answers of one generation: the shop's revision, prices and versions.
func ShopProfile() Profile {
	return Profile{
		Session:    func(int) Session { return &shopSession{cart: map[string]int{}, known: true} },
		StreamPath: "/live",
		Silence:    10 * time.Second, // it ticks each second
	}
}

// maxInCart is where a shopper stops adding to a line and orders or clears.
const maxInCart = 60

// shopSession is one shopper.
type shopSession struct {
	skus    []string       // as last listed; empty before the first look
	cart    map[string]int // what the shop must have kept, product → pieces
	known   bool           // whether cart is certain
	missing []string       // products that were in cart and not in the answer
	order   *shopOrder     // confirmed and not yet looked up
	paid    bool           // the cart was ordered and has to be emptied
	highest int64          // order number so far
}

type shopOrder struct{ id, total int64 }

// Next implements [Session].
func (s *shopSession) Next(random *rand.Rand) Step {
	switch {
	case len(s.skus) == 0 || len(s.missing) > 0:
		return s.list()
	case !s.known:
		return s.look()
	case s.order != nil:
		return s.lookUp()
	case s.paid:
		s.paid = false
		return s.clear()
	}
	sku := s.skus[random.IntN(len(s.skus))]
	switch n := random.IntN(100); {
	case n < 10:
		return s.list()
	case n < 30:
		return Step{Method: "GET", Path: "/products/" + sku, Check: s.checkProduct(sku)}
	case n < 55:
		return s.price(sku, 1+random.IntN(20))
	case n < 75:
		if s.cart[sku] >= maxInCart {
			return s.clear()
		}
		return s.add(sku, 1+random.IntN(3))
	case n < 83:
		return s.look()
	case n < 89:
		return s.buy(sku, 1+random.IntN(3))
	case n < 92:
		return Step{Method: "GET", Path: "/stock", Check: func(r *Response) error { return s.plain(r, 200) }}
	case n < 94:
		return Step{Method: "GET", Path: "/", Check: func(r *Response) error { return s.plain(r, 200) }}
	}
	return Step{Method: "GET", Path: "/version", Check: s.checkVersion}
}

// plain checks the status and marks the revision that the middleware sends. Too
// many requests is an answer that a limit set by hand may give anywhere.
func (s *shopSession) plain(r *Response, ok ...int) error {
	if rev := r.Header.Get("Shop-Revision"); rev != "" {
		r.Mark("revision", rev)
	}
	return wantStatus(r, append(ok, 429)...)
}

// into decodes the body as JSON.
func into(r *Response, v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("not the JSON it should be: %w: %s", err, excerpt(r.Body))
	}
	return nil
}

func (s *shopSession) list() Step {
	return Step{Method: "GET", Path: "/products", Check: func(r *Response) error {
		var list struct{ Products []struct{ ID string } }
		if err := s.plain(r, 200); err != nil || r.Status != 200 {
			return err
		}
		if err := into(r, &list); err != nil {
			return err
		}
		if len(list.Products) == 0 {
			return fmt.Errorf("the shop lists no products: %s", excerpt(r.Body))
		}
		s.skus = s.skus[:0]
		on := map[string]bool{}
		for _, p := range list.Products {
			s.skus = append(s.skus, p.ID)
			on[p.ID] = true
		}
		gone := s.missing
		s.missing = nil
		for _, sku := range gone {
			if on[sku] {
				return fmt.Errorf("the cart lost %s, which is still on sale", sku)
			}
		}
		return nil
	}}
}

func (s *shopSession) checkProduct(sku string) func(*Response) error {
	return func(r *Response) error {
		if err := s.plain(r, 200, 404); err != nil || r.Status != 200 {
			return err
		}
		var p struct {
			ID    string
			Price json.Number
		}
		if err := into(r, &p); err != nil {
			return err
		}
		if p.ID != sku || p.Price == "" {
			return fmt.Errorf("asked for %s, got %s", sku, excerpt(r.Body))
		}
		r.Mark("price of "+sku, p.Price.String())
		return nil
	}
}

func (s *shopSession) price(sku string, qty int) Step {
	path := "/price/" + sku + "?qty=" + strconv.Itoa(qty)
	return Step{Method: "GET", Path: path, Check: func(r *Response) error {
		if err := s.plain(r, 200, 400, 404); err != nil || r.Status != 200 {
			return err
		}
		var p struct{ Unit, Total json.Number }
		if err := into(r, &p); err != nil {
			return err
		}
		if p.Unit == "" || p.Total == "" {
			return fmt.Errorf("no price: %s", excerpt(r.Body))
		}
		r.Mark("price of "+sku, p.Unit.String())
		r.Mark(path, p.Total.String())
		return nil
	}}
}

func (s *shopSession) checkVersion(r *Response) error {
	if err := s.plain(r, 200); err != nil || r.Status != 200 {
		return err
	}
	var v struct{ Handler, Lib, Config json.Number }
	if err := into(r, &v); err != nil {
		return err
	}
	if v.Handler == "" {
		return fmt.Errorf("no version: %s", excerpt(r.Body))
	}
	if v.Handler != v.Lib || v.Lib != v.Config {
		return fmt.Errorf("%w: handler %s, lib %s, config %s in one answer", ErrMixed, v.Handler, v.Lib, v.Config)
	}
	if rev := r.Header.Get("Shop-Revision"); rev != "" && rev != v.Config.String() {
		return fmt.Errorf("%w: config %s in the handler, %s in the middleware", ErrMixed, v.Config, rev)
	}
	r.Mark("version", v.Handler.String())
	return nil
}
