package main

// The workloads in the languages of the engines.

const goFib = `
func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}
`

const goLoop = `
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
`

const goText = `
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
`

// goMapRoute is the rule on maps, as yaegi and godsl's dynamic form run it.
const goMapRoute = `
func num(v any) float64 {
	switch x := v.(type) {
	case float64:
		return x
	case int:
		return float64(x)
	}
	return 0
}

func Route(d map[string]any) map[string]any {
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
` + goRouteTail + `
	return map[string]any{"group": group, "score": score, "reasons": reasons, "total": total}
}
`

const goRouteTail = `
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
`

// godslRoute is the rule with declared structs: a map comes in, a map goes out.
const godslRoute = `package rule

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
	Group   string   ` + "`json:\"group\"`" + `
	Score   float64  ` + "`json:\"score\"`" + `
	Reasons []string ` + "`json:\"reasons\"`" + `
	Total   float64  ` + "`json:\"total\"`" + `
}

func Route(in Req) Res {
	amount, currency, country, channel, score := in.Amount, in.Currency, in.Country, in.Channel, in.Risk
	reasons := []string{}
	total, risky := 0.0, 0
	for _, it := range in.Items {
		total += float64(it.Qty) * it.Price
		if it.Cat == "giftcard" || it.Cat == "crypto" {
			risky += it.Qty
		}
	}
` + goRouteTail + `
	return Res{Group: group, Score: score, Reasons: reasons, Total: total}
}
`

const jsSource = `
function fib(n) { return n < 2 ? n : fib(n-1) + fib(n-2) }
function loop(n) { let s = 0; for (let i = 0; i < n; i++) { if (i % 3 === 0) { s += i * 2 } else { s -= i } } return s }
function text(n, name) {
	name = name.toUpperCase();
	let s = "[";
	for (let i = 0; i < n; i++) {
		if (i > 0) s += ",";
		let ok = "false";
		if (i % 2 === 0) ok = "true";
		s += '{"id":' + i + ',"name":"' + name + '-' + i + '","ok":' + ok + '}';
	}
	return s + "]";
}
function route(d) {
	let score = d.risk, total = 0, risky = 0;
	const amount = d.amount, currency = d.currency, country = d.country, channel = d.channel, reasons = [];
	for (const it of d.items) {
		total += it.qty * it.price;
		if (it.cat === "giftcard" || it.cat === "crypto") risky += it.qty;
	}
	if (total - amount > 0.01 || amount - total > 0.01) { score += 10; reasons.push("amount-mismatch") }
	if (risky > 3) { score += 15; reasons.push("risky-items:" + risky) }
	if (country === "NG" || country === "RU" || country === "KP") { score += 20; reasons.push("country:" + country) }
	if (currency !== "EUR" && currency !== "USD") { score += 5; reasons.push("fx:" + currency) }
	let group = "default";
	if (score >= 80) group = "manual-review";
	else if (score >= 50) group = "3ds-strict";
	else if (channel === "mobile" && amount < 50) group = "fast-lane";
	else if (country === "DE" || country === "NL") group = "sepa";
	reasons.push("score:" + score);
	return {group, score, reasons, total};
}
const workloads = {
	const: d => "allow", fib: d => fib(d.n), loop: d => loop(d.n), str: d => text(d.n, d.name), route,
};
`

const starlarkSource = `
def const_(d):
    return "allow"

def fib_(n):
    if n < 2:
        return n
    return fib_(n-1) + fib_(n-2)

def fib(d):
    return fib_(d["n"])

def loop(d):
    s = 0
    for i in range(d["n"]):
        if i % 3 == 0:
            s += i * 2
        else:
            s -= i
    return s

def str_(d):
    name = d["name"].upper()
    s = "["
    for i in range(d["n"]):
        if i > 0:
            s += ","
        ok = "false"
        if i % 2 == 0:
            ok = "true"
        s += '{"id":' + str(i) + ',"name":"' + name + '-' + str(i) + '","ok":' + ok + '}'
    return s + "]"

def route(d):
    score = d["risk"]
    total = 0.0
    risky = 0
    amount = d["amount"]
    currency = d["currency"]
    country = d["country"]
    channel = d["channel"]
    reasons = []
    for it in d["items"]:
        total += it["qty"] * it["price"]
        if it["cat"] == "giftcard" or it["cat"] == "crypto":
            risky += it["qty"]
    if total - amount > 0.01 or amount - total > 0.01:
        score += 10
        reasons.append("amount-mismatch")
    if risky > 3:
        score += 15
        reasons.append("risky-items:" + str(risky))
    if country == "NG" or country == "RU" or country == "KP":
        score += 20
        reasons.append("country:" + country)
    if currency != "EUR" and currency != "USD":
        score += 5
        reasons.append("fx:" + currency)
    group = "default"
    if score >= 80:
        group = "manual-review"
    elif score >= 50:
        group = "3ds-strict"
    elif channel == "mobile" and amount < 50:
        group = "fast-lane"
    elif country == "DE" or country == "NL":
        group = "sepa"
    reasons.append("score:" + str(score))
    return {"group": group, "score": score, "reasons": reasons, "total": total}
`

// exprSource and celSource are the rule as one expression each.
const exprSource = `
let total = sum(items, .qty * .price);
let risky = sum(filter(items, .cat == "giftcard" || .cat == "crypto"), .qty);
let r1 = total - amount > 0.01 || amount - total > 0.01 ? ["amount-mismatch"] : [];
let r2 = risky > 3 ? ["risky-items:" + string(risky)] : [];
let r3 = country in ["NG", "RU", "KP"] ? ["country:" + country] : [];
let r4 = currency != "EUR" && currency != "USD" ? ["fx:" + currency] : [];
let score = risk + (len(r1) > 0 ? 10 : 0) + (len(r2) > 0 ? 15 : 0) + (len(r3) > 0 ? 20 : 0) + (len(r4) > 0 ? 5 : 0);
let group = score >= 80 ? "manual-review" : score >= 50 ? "3ds-strict" : channel == "mobile" && amount < 50 ? "fast-lane" : country == "DE" || country == "NL" ? "sepa" : "default";
{"group": group, "score": score, "total": total, "reasons": concat(r1, r2, r3, r4, ["score:" + string(score)])}
`

const celSource = `
cel.bind(total, items.map(i, double(i.qty) * i.price).sum(),
cel.bind(risky, items.filter(i, i.cat == "giftcard" || i.cat == "crypto").map(i, i.qty).sum(),
cel.bind(r1, total - amount > 0.01 || amount - total > 0.01 ? ["amount-mismatch"] : [],
cel.bind(r2, risky > 3.0 ? ["risky-items:" + string(risky)] : [],
cel.bind(r3, country in ["NG", "RU", "KP"] ? ["country:" + country] : [],
cel.bind(r4, currency != "EUR" && currency != "USD" ? ["fx:" + currency] : [],
cel.bind(score, risk + (r1.size() > 0 ? 10 : 0) + (r2.size() > 0 ? 15 : 0) + (r3.size() > 0 ? 20 : 0) + (r4.size() > 0 ? 5 : 0),
{"group": score >= 80 ? "manual-review" : score >= 50 ? "3ds-strict" : channel == "mobile" && amount < 50.0 ? "fast-lane" : country == "DE" || country == "NL" ? "sepa" : "default",
 "score": score, "total": total, "reasons": r1 + r2 + r3 + r4 + ["score:" + string(score)]})))))))
`
