package load

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// fakeShop answers like examples/shop, with the faults that a test gives it.
type fakeShop struct {
	mu     sync.Mutex
	carts  map[string]map[string]int
	orders int64
	kept   map[int64]int64
	prices map[string]int64

	loseAdd   int    // every so many pieces put in a cart are forgotten
	dropLine  string // never shown in a cart
	sameOrder bool   // order numbers repeat
	loseOrder bool   // confirmed orders are not kept
	libDelta  int    // added to the library's version
	revision  string // of the header; "1" is right
	wander    bool   // prices change within the generation
	badSum    bool   // totals are not the sum of the lines
	adds      int
}

func newFakeShop() *fakeShop {
	return &fakeShop{carts: map[string]map[string]int{}, kept: map[int64]int64{}, revision: "1",
		prices: map[string]int64{"apple": 10, "rope": 25, "sail": 320}}
}

func (s *fakeShop) handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, h func(r *http.Request, sid string) (int, any)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			sid := ""
			if c, err := r.Cookie("sid"); err == nil {
				sid = c.Value
			} else {
				sid = r.RemoteAddr
				http.SetCookie(w, &http.Cookie{Name: "sid", Value: sid})
			}
			status, body := h(r, sid)
			w.Header().Set("Theseus-Generation", "1")
			w.Header().Set("Shop-Revision", s.revision)
			w.WriteHeader(status)
			if body != nil {
				json.NewEncoder(w).Encode(body)
			}
		})
	}
	route("GET /products", func(*http.Request, string) (int, any) {
		var list []any
		for id := range s.prices {
			list = append(list, map[string]any{"id": id})
		}
		return 200, map[string]any{"products": list}
	})
	route("GET /products/{id}", func(r *http.Request, _ string) (int, any) {
		return 200, map[string]any{"id": r.PathValue("id"), "price": s.prices[r.PathValue("id")]}
	})
	route("GET /price/{id}", func(r *http.Request, _ string) (int, any) {
		qty, _ := strconv.ParseInt(r.URL.Query().Get("qty"), 10, 64)
		unit := s.prices[r.PathValue("id")]
		if s.wander {
			s.prices[r.PathValue("id")]++
		}
		return 200, map[string]any{"unit": unit, "total": unit * qty}
	})
	route("GET /cart", func(_ *http.Request, sid string) (int, any) { return 200, s.view(sid) })
	route("POST /cart", s.add)
	route("DELETE /cart", func(_ *http.Request, sid string) (int, any) { delete(s.carts, sid); return 204, nil })
	route("POST /orders", s.order)
	route("GET /orders/{id}", func(r *http.Request, _ string) (int, any) {
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if total, ok := s.kept[id]; ok {
			return 200, map[string]any{"id": id, "total": total}
		}
		return 404, nil
	})
	route("GET /version", func(*http.Request, string) (int, any) {
		return 200, map[string]int{"handler": 1, "lib": 1 + s.libDelta, "config": 1}
	})
	route("GET /stock", func(*http.Request, string) (int, any) { return 200, s.prices })
	route("GET /{$}", func(*http.Request, string) (int, any) { return 200, "page" })
	return mux
}

func (s *fakeShop) add(r *http.Request, sid string) (int, any) {
	var item struct {
		SKU string
		Qty int
	}
	if err := json.NewDecoder(r.Body).Decode(&item); err != nil || s.prices[item.SKU] == 0 {
		return 400, nil
	}
	if s.carts[sid] == nil {
		s.carts[sid] = map[string]int{}
	}
	if s.adds++; s.loseAdd == 0 || s.adds%s.loseAdd != 0 {
		s.carts[sid][item.SKU] += item.Qty
	}
	return 201, s.view(sid)
}

func (s *fakeShop) view(sid string) any {
	items, count, total := []any{}, 0, int64(0)
	for id, qty := range s.carts[sid] {
		if id == s.dropLine || qty == 0 {
			continue
		}
		items = append(items, map[string]any{"id": id, "qty": qty, "total": s.prices[id] * int64(qty)})
		count += qty
		total += s.prices[id] * int64(qty)
	}
	if s.badSum {
		total++
	}
	return map[string]any{"items": items, "count": count, "total": total}
}

func (s *fakeShop) order(r *http.Request, _ string) (int, any) {
	body, _ := io.ReadAll(r.Body)
	if !s.sameOrder || s.orders == 0 {
		s.orders++
	}
	if !s.loseOrder {
		s.kept[s.orders] = int64(len(body))
	}
	return 200, map[string]any{"order": s.orders, "status": "confirmed", "total": len(body)}
}

func shopLoad(t *testing.T, s *fakeShop) *Report {
	t.Helper()
	r, err := Run(t.Context(), Options{Base: serve(t, s.handler()), Profile: ShopProfile(), Rate: -1, Shoppers: 4, Requests: 1500, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShopProfileIsCleanOnAnHonestShop(t *testing.T) {
	s := newFakeShop()
	r := shopLoad(t, s)
	if r.Failed != 0 || r.Requests != 1500 || r.Status4xx != 0 {
		t.Errorf("report = %+v, want nothing failed", *r)
	}
	if s.adds < 50 || s.orders < 20 {
		t.Errorf("%d pieces added, %d orders: the shoppers hardly buy", s.adds, s.orders)
	}
}

func TestShopProfileFindsFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*fakeShop)
		want  Class
	}{
		{"a lost write to the cart", func(s *fakeShop) { s.loseAdd = 20 }, Wrong},
		{"a product lost from the cart", func(s *fakeShop) { s.dropLine = "rope" }, Wrong},
		{"a cart that does not add up", func(s *fakeShop) { s.badSum = true }, Wrong},
		{"an order number given twice", func(s *fakeShop) { s.sameOrder = true }, Wrong},
		{"a confirmed order that is gone", func(s *fakeShop) { s.loseOrder = true }, Wrong},
		{"versions mixed in one answer", func(s *fakeShop) { s.libDelta = 1 }, Mixed},
		{"middleware of another version", func(s *fakeShop) { s.revision = "2" }, Mixed},
		{"prices that differ within a generation", func(s *fakeShop) { s.wander = true }, Mixed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeShop()
			tt.fault(s)
			r := shopLoad(t, s)
			if n := *r.count(tt.want); n == 0 || n != r.Failed {
				t.Errorf("failed %d, %s %d, want some and all of that class; first: %q", r.Failed, tt.want, n, r.FirstErrors)
			}
		})
	}
}

// A write that may or may not have been applied is not held against the shop.
func TestShopProfileAfterUnknownWrites(t *testing.T) {
	s := newFakeShop()
	h := s.handler()
	n := 0
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" && r.URL.Path == "/cart" {
			s.mu.Lock()
			n++
			fail, before := n%6 == 0, n%12 == 0
			s.mu.Unlock()
			if fail && before {
				w.WriteHeader(503)
				return
			}
			if fail { // applied, and the answer is lost
				h.ServeHTTP(discard{http.Header{}}, r)
				w.WriteHeader(502)
				return
			}
		}
		h.ServeHTTP(w, r)
	}))
	r, err := Run(t.Context(), Options{Base: base, Profile: ShopProfile(), Rate: -1, Shoppers: 4, Requests: 1500})
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(n / 6); r.Failed != want || r.Status5xx != want || want < 10 {
		t.Errorf("report = %+v, want exactly the %d answers with 5xx failed", *r, want)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// A product that is taken off sale drops out of carts; that is no loss.
func TestShopProfileAcceptsRemovedProduct(t *testing.T) {
	s := newFakeShop()
	h := s.handler()
	n := 0
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if n++; n == 700 {
			delete(s.prices, "rope")
			s.dropLine = "rope"
		}
		off := s.dropLine != "" && (r.URL.Path == "/products/rope" || r.URL.Path == "/price/rope")
		s.mu.Unlock()
		if off {
			w.WriteHeader(404)
			return
		}
		h.ServeHTTP(w, r)
	}))
	r, err := Run(t.Context(), Options{Base: base, Profile: ShopProfile(), Rate: -1, Shoppers: 4, Requests: 1500})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != 0 {
		t.Errorf("report = %+v, want nothing failed", *r)
	}
}
