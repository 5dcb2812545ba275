package godsl

import (
	"strconv"
	"testing"

	"github.com/theseus-run/theseus/script/godsl/vm"
)

// routeRule is the everyday rule: a map in, a map out.
const routeRule = `package rule

import "strconv"

type Item struct {
	Qty   int     ` + "`json:\"qty\"`" + `
	Price float64 ` + "`json:\"price\"`" + `
	Cat   string  ` + "`json:\"cat\"`" + `
}

type Req struct {
	Amount   float64 ` + "`json:\"amount\"`" + `
	Currency string  ` + "`json:\"currency\"`" + `
	Country  string  ` + "`json:\"country\"`" + `
	Channel  string  ` + "`json:\"channel\"`" + `
	Risk     float64 ` + "`json:\"risk\"`" + `
	Items    []Item  ` + "`json:\"items\"`" + `
}

type Res struct {
	Group   string
	Score   float64
	Reasons []string
	Total   float64
}

func Route(in Req) Res {
	score := in.Risk
	reasons := []string{}
	total, risky := 0.0, 0
	for _, it := range in.Items {
		total += float64(it.Qty) * it.Price
		if it.Cat == "giftcard" || it.Cat == "crypto" {
			risky += it.Qty
		}
	}
	if total-in.Amount > 0.01 || in.Amount-total > 0.01 {
		score += 10
		reasons = append(reasons, "amount-mismatch")
	}
	if risky > 3 {
		score += 15
		reasons = append(reasons, "risky-items:"+strconv.Itoa(risky))
	}
	if in.Country == "NG" || in.Country == "RU" || in.Country == "KP" {
		score += 20
		reasons = append(reasons, "country:"+in.Country)
	}
	group := "default"
	if score >= 80 {
		group = "manual-review"
	} else if score >= 50 {
		group = "3ds-strict"
	} else if in.Channel == "mobile" && in.Amount < 50 {
		group = "fast-lane"
	}
	reasons = append(reasons, "score:"+strconv.Itoa(int(score)))
	return Res{group, score, reasons, total}
}

func Const() string { return "allow" }
`

func routeInput() map[string]any {
	items := make([]any, 20)
	for i := range items {
		cat := []string{"book", "toy", "giftcard", "food", "crypto"}[i%5]
		items[i] = map[string]any{"sku": "SKU-" + strconv.Itoa(i), "qty": i%3 + 1, "price": 9.5 + float64(i), "cat": cat}
	}
	return map[string]any{"amount": 120.5, "currency": "GBP", "country": "NG", "channel": "web", "risk": 12, "items": items}
}

var handler = Limits{Limits: vm.Limits{Steps: 1 << 40, Time: 1 << 40, Bytes: 64 << 20, Depth: 1000}, Output: 8 << 20}

func BenchmarkRoute(b *testing.B) {
	p, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte(routeRule)}})
	if err != nil {
		b.Fatal(err)
	}
	f, _ := p.Func("Route")
	in := routeInput()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Call(b.Context(), handler, nil, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConst(b *testing.B) {
	p, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte(routeRule)}})
	if err != nil {
		b.Fatal(err)
	}
	f, _ := p.Func("Const")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Call(b.Context(), handler, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCold(b *testing.B) {
	c := NewCompiler()
	in := routeInput()
	b.ReportAllocs()
	for b.Loop() {
		p, err := c.Compile([]File{{Name: "a.gods", Text: []byte(routeRule)}})
		if err != nil {
			b.Fatal(err)
		}
		f, _ := p.Func("Route")
		if _, err := f.Call(b.Context(), handler, nil, in); err != nil {
			b.Fatal(err)
		}
	}
}
