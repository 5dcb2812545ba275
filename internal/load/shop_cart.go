package load

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// cartView is a cart as the shop answers it.
type cartView struct {
	Items []struct {
		ID    string
		Qty   int
		Total int64
	}
	Count int
	Total int64
}

// lost notes that what the shop has in the cart is unknown.
func (s *shopSession) lost() { s.known = false }

func (s *shopSession) look() Step {
	return Step{Method: "GET", Path: "/cart", Check: func(r *Response) error {
		if err := s.plain(r, 200); err != nil || r.Status != 200 {
			return err
		}
		return s.compare(r)
	}}
}

func (s *shopSession) add(sku string, qty int) Step {
	body, _ := json.Marshal(map[string]any{"sku": sku, "qty": qty}) // a string and a number: always works
	return Step{Method: "POST", Path: "/cart", Body: body, Lost: s.lost, Check: func(r *Response) error {
		if err := s.plain(r, 200, 201, 400, 404, 409); err != nil {
			s.lost()
			return err
		}
		if r.Status >= 400 {
			return nil // refused, and so not added
		}
		s.cart[sku] += qty
		return s.compare(r)
	}}
}

func (s *shopSession) clear() Step {
	return Step{Method: "DELETE", Path: "/cart", Lost: s.lost, Check: func(r *Response) error {
		if err := s.plain(r, 200, 204); err != nil {
			s.lost()
			return err
		}
		if r.Status < 400 {
			clear(s.cart)
		}
		return nil
	}}
}

// compare checks a cart in itself and against what this shopper put there. It
// takes the answer as the truth from then on, so that one loss counts once.
func (s *shopSession) compare(r *Response) error {
	var v cartView
	if err := into(r, &v); err != nil {
		s.lost()
		return err
	}
	want, certain := s.cart, s.known
	s.cart, s.known = map[string]int{}, true
	count, total := 0, int64(0)
	for _, l := range v.Items {
		s.cart[l.ID] = l.Qty
		count += l.Qty
		total += l.Total
	}
	if count != v.Count || total != v.Total {
		return fmt.Errorf("the cart says %d pieces for %d, its lines %d for %d", v.Count, v.Total, count, total)
	}
	if !certain {
		return nil
	}
	for _, sku := range slices.Sorted(maps.Keys(want)) {
		switch got, ok := s.cart[sku]; {
		case !ok:
			s.missing = append(s.missing, sku) // unless it is no longer sold; list will tell
		case got != want[sku]:
			return fmt.Errorf("the cart has %d of %s, want %d", got, sku, want[sku])
		}
	}
	for sku, got := range s.cart {
		if _, ok := want[sku]; !ok {
			return fmt.Errorf("the cart has %d of %s, want none", got, sku)
		}
	}
	return nil
}

// buy orders what is in the cart, or some pieces of sku when it is empty, and
// waits for the result.
func (s *shopSession) buy(sku string, qty int) Step {
	type item struct {
		SKU string `json:"sku"`
		Qty int    `json:"qty"`
	}
	var items []item
	for _, id := range slices.Sorted(maps.Keys(s.cart)) {
		items = append(items, item{id, s.cart[id]})
	}
	if len(items) == 0 {
		items = []item{{sku, qty}}
	}
	body, _ := json.Marshal(map[string]any{"items": items}) // strings and numbers: always works
	return Step{Method: "POST", Path: "/orders?wait=true", Body: body, Check: func(r *Response) error {
		if err := s.plain(r, 200, 201, 400, 402, 404, 409); err != nil || r.Status >= 400 {
			return err
		}
		var o struct {
			Order, Total int64
			Status       string
		}
		if err := into(r, &o); err != nil {
			return err
		}
		if o.Status != "confirmed" || o.Order <= s.highest {
			return fmt.Errorf("order %d is %q after order %d: %s", o.Order, o.Status, s.highest, excerpt(r.Body))
		}
		s.highest = o.Order
		s.order = &shopOrder{id: o.Order, total: o.Total}
		return nil
	}}
}

// lookUp asks for the order just made. Then the cart is emptied.
func (s *shopSession) lookUp() Step {
	order := s.order
	s.order = nil
	return Step{Method: "GET", Path: "/orders/" + strconv.FormatInt(order.id, 10), Check: func(r *Response) error {
		if err := s.plain(r, 200); err != nil || r.Status != 200 {
			return err
		}
		var o struct{ ID, Total int64 }
		if err := into(r, &o); err != nil {
			return err
		}
		if o.ID != order.id || o.Total != order.total {
			return fmt.Errorf("order %d for %d was confirmed, %s is kept", order.id, order.total, excerpt(r.Body))
		}
		s.paid = true
		return nil
	}}
}
