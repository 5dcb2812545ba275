package js

import (
	"strings"
	"testing"

	"github.com/theseus-run/theseus/script"
)

// Common patterns must work although every built-in object is frozen.
func TestFrozenGlobalsDoNotGetInTheWay(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"toString by assignment", `const o = {}; o.toString = () => "mine"; return String(o)`, `"mine"`},
		{"constructor by assignment", `function A() {} A.prototype = Object.create(Error.prototype); A.prototype.constructor = A; A.prototype.name = "A"; return String(new A())`, `"A"`},
		{"hasOwnProperty by assignment", `const o = { a: 1 }; o.hasOwnProperty = 5; return o`, `{"a":1,"hasOwnProperty":5}`},
		{"valueOf in class", `class P { constructor(n) { this.n = n } valueOf() { return this.n } } return new P(2) + new P(3)`, "5"},
		{"toString on prototype", `function P() {} P.prototype.toString = function () { return "p" }; return "" + new P()`, `"p"`},
		{"error subclass", `class E extends Error { constructor(m) { super(m); this.name = "E"; this.code = 7 } } const e = new E("x"); return [String(e), e.code, e instanceof E, e instanceof Error, e.constructor === E]`, `["E: x",7,true,true,true]`},
		{"error message by assignment", `const e = new Error("a"); e.message = "b"; e.name = "N"; return String(e)`, `"N: b"`},
		{"error name without own message", `const e = new TypeError(); e.message = "m"; e.name = "X"; return [String(e), Object.keys(e)]`, `["X: m",["message","name"]]`},
		{"cause", `return new Error("a", { cause: new Error("b") }).cause.message`, `"b"`},
		{"aggregate", `try { await Promise.any([Promise.reject(new Error("a"))]) } catch (e) { return [e.name, e.errors.length] }`, `["AggregateError",1]`},
		{"array subclass", `class L extends Array { sum() { return this.reduce((a, b) => a + b, 0) } } return L.from([1, 2]).map((x) => x * 2).sum()`, "6"},
		{"map subclass", `class M extends Map { get(k) { return super.get(k) ?? "none" } } return new M([["a", 1]]).get("b")`, `"none"`},
		{"function properties", `function f() {} f.displayName = "x"; f.toString = () => "f!"; return [f.displayName, String(f), f.name]`, `["x","f!","f"]`},
		{"private fields", `class C { #n = 1; inc() { return ++this.#n } } return new C().inc()`, "2"},
		{"symbols", `const o = { [Symbol.toPrimitive]: () => 7 }; return o * 2`, "14"},
		{"spread, destructure", `const { a, ...rest } = { a: 1, b: 2, c: 3 }; return [a, rest, ...[4]]`, `[1,{"b":2,"c":3},4]`},
		{"groupBy", `return Object.groupBy([1, 2, 3], (x) => x % 2 ? "odd" : "even")`, `{"odd":[1,3],"even":[2]}`},
		{"iterator helpers", `return [1, 2, 3].values().map((x) => x * 2).toArray()`, "[2,4,6]"},
		{"Set methods", `return [...new Set([1, 2]).union(new Set([3]))]`, "[1,2,3]"},
		{"regex", `return "2024-05".replace(/(?<y>\d+)-(?<m>\d+)/u, "$<m>/$<y>")`, `"05/2024"`},
		{"date", `return new Date(Date.UTC(2024, 0, 2)).toISOString().slice(0, 10)`, `"2024-01-02"`},
		{"proxy", `return new Proxy({}, { get: (t, k) => k }).hello`, `"hello"`},
		{"own defineProperty", `const o = {}; Object.defineProperty(o, "x", { value: 1 }); return o.x`, "1"},
		{"mutable JSON", `const o = JSON.parse('{"a":{"b":1}}'); o.a.b = 2; o.toString = 1; return o`, `{"a":{"b":2},"toString":1}`},
		{"__proto__ in data", `const o = JSON.parse('{"__proto__": {"x": 1}}'); return [o.x === undefined, Object.keys(o)]`, `[true,["__proto__"]]`},
		{"instanceof Function", `return (() => 1) instanceof Function`, "true"},
		{"async generator", `const out = []; for await (const x of (async function* () { yield 1; yield 2 })()) out.push(x); return out`, "[1,2]"},
		{"tagged objects compare", `return Object.prototype.toString.call([])`, `"[object Array]"`},
		{"Object.create(null)", `const o = Object.create(null); o.constructor = 1; return o`, `{"constructor":1}`},
		{"frozen copy", `const o = Object.freeze({ a: 1 }); return { ...o, a: 2 }`, `{"a":2}`},
		{"WeakRef", `const o = { a: 1 }; return new WeakRef(o).deref().a`, "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := result(t, single(t, "export default async () => { "+tt.body+" }"), nil); got != tt.want {
				t.Errorf("%s\n= %s, want %s", tt.body, got, tt.want)
			}
		})
	}
}

// Nothing shared can be changed, by whatever way.
func TestGlobalsAreFrozen(t *testing.T) {
	u := single(t, `export default (code) => { const f = attempts[code]; try { f() } catch (e) { return e.name } return "changed" };
	const attempts = {
		"proto": () => { Object.prototype.x = 1 }, "proto2": () => { ({}).__proto__.x = 1 }, "array": () => { Array.prototype.push = 1 },
		"method": () => { Array.prototype.map.x = 1 }, "global": () => { globalThis.x = 1 }, "replace": () => { JSON.parse = 1 },
		"delete": () => { delete Math.sin }, "define": () => { Object.defineProperty(Object.prototype, "x", { value: 1 }) },
		"toString": () => { Object.prototype.toString = 1 }, "error": () => { Error.prototype.name = "x" }, "setproto": () => { Object.setPrototypeOf(Array.prototype, null) },
		"iterator": () => { Object.getPrototypeOf([][Symbol.iterator]()).next = 1 }, "generator": () => { Object.getPrototypeOf(function* () {}).x = 1 },
		"async": () => { Object.getPrototypeOf(async () => 1).x = 1 }, "promise": () => { Promise.prototype.then = 1 }, "regex": () => { RegExp.prototype.exec = 1 },
		"kv": () => { kv.get = 1 }, "log": () => { log.info = 1 }, "config": () => { config = 1 }, "response": () => { Response.prototype.x = 1 }, "httperror": () => { HttpError.x = 1 },
		"typed": () => { Object.getPrototypeOf(Uint8Array).prototype.x = 1 }, "symbol": () => { Symbol.prototype.x = 1 }, "getter": () => { Object.getOwnPropertyDescriptor(globalThis, "config").get.x = 1 },
		"reassign": () => { Object = 1 }, "declare": () => { undefinedName = 1 },
	}; export const names = () => Object.keys(attempts)`)
	v, err := u.Execute(t.Context(), script.Call{Func: "names"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range v.Tree().([]any) {
		if got := result(t, u, nil, script.Of(name)); got != `"TypeError"` && got != `"ReferenceError"` {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Prelude internals are out of reach.
func TestNothingLeaks(t *testing.T) {
	for _, body := range []string{
		`return Object.getOwnPropertyNames(globalThis).filter((n) => /theseus|host|std|os$|scriptArgs|print|require|process/i.test(n)).join()`,
		`return [typeof Response.is, typeof HttpError.is, typeof HttpError.encode, typeof Response.encode, typeof next().constructor.is].filter((x) => x !== "undefined").join()`,
		`try { new (next().constructor)(); return "" } catch { return "" }`,
	} {
		if got := result(t, single(t, "export default () => { "+body+" }"), nil); got != `""` {
			t.Errorf("%s = %s", body, got)
		}
	}
	e := failure(t, single(t, "export default (req) => { throw new Error(new Error('x').stack) }"), nil)
	if strings.Contains(e.Stack, "theseus") {
		t.Errorf("stack: %s", e.Stack)
	}
}

// A module's variables live as long as its machine: one execution's failure
// does not take them along unless it hit a limit.
func TestMachinesAreReused(t *testing.T) {
	u := single(t, `let n = 0; export default () => ++n; export const fail = () => { n++; throw new Error("x") }; export const spin = () => { n++; const f = () => f() + 1; f() }`)
	if got := result(t, u, nil); got != "1" {
		t.Fatal(got)
	}
	_, _ = u.Execute(t.Context(), script.Call{Func: "fail"})
	if got := result(t, u, nil); got != "3" {
		t.Errorf("after an error: %s, want 3", got)
	}
	_, _ = u.Execute(t.Context(), script.Call{Func: "spin"})
	if got := result(t, u, nil); got != "1" {
		t.Errorf("after a limit: %s, want a fresh machine", got)
	}
}
