package main

import (
	"strconv"
	"strings"
)

// The native form of every workload, which is the measure of the others.

type nativeFunc func(map[string]any) any

var native = map[string]nativeFunc{
	"const": func(map[string]any) any { return "allow" },
	"fib":   func(d map[string]any) any { return fib(d["n"].(int)) },
	"loop":  func(d map[string]any) any { return loop(d["n"].(int)) },
	"str":   func(d map[string]any) any { return text(d["n"].(int), d["name"].(string)) },
	"route": func(d map[string]any) any { return route(d) },
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func loop(n int) int {
	s := 0
	for i := 0; i < n; i++ {
		if i%3 == 0 {
			s += i * 2
		} else {
			s -= i
		}
	}
	return s
}

func text(n int, name string) string {
	name = strings.ToUpper(name)
	s := "["
	for i := 0; i < n; i++ {
		if i > 0 {
			s += ","
		}
		ok := "false"
		if i%2 == 0 {
			ok = "true"
		}
		s += "{\"id\":" + strconv.Itoa(i) + ",\"name\":\"" + name + "-" + strconv.Itoa(i) + "\",\"ok\":" + ok + "}"
	}
	return s + "]"
}

func num(v any) float64 {
	switch x := v.(type) {
	case float64:
		return x
	case int:
		return float64(x)
	}
	return 0
}

func route(d map[string]any) map[string]any {
	amount := num(d["amount"])
	currency := d["currency"].(string)
	country := d["country"].(string)
	channel := d["channel"].(string)
	score := num(d["risk"])
	reasons := []any{}
	total, risky := 0.0, 0.0
	for _, it := range d["items"].([]any) {
		m := it.(map[string]any)
		q := num(m["qty"])
		total += q * num(m["price"])
		cat := m["cat"].(string)
		if cat == "giftcard" || cat == "crypto" {
			risky += q
		}
	}
	if total-amount > 0.01 || amount-total > 0.01 {
		score += 10
		reasons = append(reasons, "amount-mismatch")
	}
	if risky > 3 {
		score += 15
		reasons = append(reasons, "risky-items:"+strconv.Itoa(int(risky)))
	}
	if country == "NG" || country == "RU" || country == "KP" {
		score += 20
		reasons = append(reasons, "country:"+country)
	}
	if currency != "EUR" && currency != "USD" {
		score += 5
		reasons = append(reasons, "fx:"+currency)
	}
	group := "default"
	if score >= 80 {
		group = "manual-review"
	} else if score >= 50 {
		group = "3ds-strict"
	} else if channel == "mobile" && amount < 50 {
		group = "fast-lane"
	} else if country == "DE" || country == "NL" {
		group = "sepa"
	}
	reasons = append(reasons, "score:"+strconv.Itoa(int(score)))
	return map[string]any{"group": group, "score": score, "reasons": reasons, "total": total}
}

// inputs are the arguments of the workloads.
func inputs() map[string]map[string]any {
	items := make([]any, 20)
	for i := range items {
		cat := []string{"book", "toy", "giftcard", "food", "crypto"}[i%5]
		items[i] = map[string]any{"sku": "SKU-" + strconv.Itoa(i), "qty": i%3 + 1, "price": 9.5 + float64(i), "cat": cat}
	}
	return map[string]map[string]any{
		"const": {},
		"fib":   {"n": 27},
		"loop":  {"n": 100000},
		"str":   {"n": 28, "name": "item"},
		"route": {"amount": 120.5, "currency": "GBP", "country": "NG", "channel": "web", "risk": 12, "items": items},
	}
}
