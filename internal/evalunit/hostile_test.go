package evalunit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostile are handler bodies, or whole modules when they contain "export", and
// the outcomes that are right for them.
var hostile = []struct{ name, source, outcomes string }{
	// loops
	{"for", "for(;;);", "timeout"},
	{"while with work", "let i = 0; while (true) i += Math.sqrt(i);", "timeout"},
	{"try finally", "for(;;) { try { throw 1 } catch { continue } finally { continue } }", "timeout"},
	{"labels", "a: for(;;) { for(;;) continue a; }", "timeout"},
	{"async loop", "return (async () => { for(;;) await 0 })()", "timeout"},
	{"promise chain", "const f = () => Promise.resolve().then(f); return f()", "timeout memory error"}, // without memory the engine cannot queue the next link, and the promise stays pending
	{"pending", "return new Promise(() => {})", "error"},
	{"generator", "const g = function*() { for(;;) yield 1 }; for (const x of g());", "timeout"},
	{"generator delegation", "function* g() { yield* g() } return g().next()", "depth"},
	{"async generator", "const g = async function*() { for(;;) yield 1 }; return (async () => { for await (const x of g()); })()", "timeout"},
	{"iterator", "return [...{ [Symbol.iterator]: () => ({ next: () => ({ done: false }) }) }]", "timeout memory"},
	{"spread into call", "return Math.max(...new Array(1e8).fill(1))", "error memory timeout depth"},
	{"sleep loop", "for(;;) { try { sleep(1e9) } catch {} }", "timeout"},
	{"top level", "for(;;); export default () => 1", "timeout"},
	{"top level await", "await new Promise(() => {}); export default () => 1", "error"},
	{"getter on then", "return { get then() { for(;;); } }", "timeout ok"},
	{"thenable", "return (async () => ({ then() { for(;;); } }))()", "timeout"},
	// recursion
	{"recursion", "const f = () => f() + 1; return f()", "depth"},
	{"recursion caught", "const f = () => { try { f() } finally { f() } }; return f()", "depth timeout"},
	{"array toString", "const a = []; a[0] = { toString: () => String(a) }; return String(a)", "depth"},
	{"getter", "const o = { get x() { return o.x } }; return o.x", "depth"},
	{"proxy of proxy", "let p = {}; for (let i = 0; i < 1e6; i++) p = new Proxy(p, {}); return p.x", "depth memory timeout ok"},
	{"proxy has trap", "const p = new Proxy({}, { has: (t, k) => k in p }); return 'x' in p", "depth"},
	{"JSON.stringify deep", "let o = {}; for (let i = 0; i < 1e6; i++) o = [o]; return JSON.stringify(o)", "depth memory"},
	{"JSON.parse deep", "return JSON.parse('['.repeat(5e6))", "depth memory"},
	{"JSON reviver", "return JSON.parse('[1]', function f() { return JSON.parse('[1]', f) })", "depth"},
	{"bind chain", "let f = () => 1; for (let i = 0; i < 1e6; i++) f = f.bind(null); return f()", "depth memory timeout ok"},
	{"class chain", "let c = class {}; for (let i = 0; i < 1e5; i++) c = class extends c {}; return new c() && 1", "depth memory ok timeout"},
	{"sort in sort", "const f = () => [2, 1].sort(f); return f()", "depth"},
	{"replace callback", "const f = () => 'a'.replace('a', f); return f()", "depth"},
	{"template toString", "const o = { toString() { return `${this}` } }; return `${o}`", "depth"},
	// memory
	{"array", "const a = []; for(;;) a.push({a})", "memory timeout"},
	{"list", "let a; for(;;) a = {a}", "memory timeout"},
	{"string", "let s = 'x'; for(;;) s += s + 'y'", "memory error timeout"},
	{"array join", "return new Array(1e7).join('x'.repeat(1e3)).length", "memory error timeout"},
	{"buffer", "return new ArrayBuffer(2**40).byteLength", "memory error"},
	{"typed array", "return new Float64Array(1e9).length", "memory error"},
	{"map", "const m = new Map(); for(let i = 0;; i++) m.set(i, [i])", "memory timeout"},
	{"weakmap", "const m = new WeakMap(); let k = {}; for(;;) { const n = {}; m.set(n, k); k = n; }", "memory timeout"},
	{"symbols", "const a = []; for(;;) a.push(Symbol('x'.repeat(1e3)))", "memory timeout"},
	{"closures", "let f = () => 1; for(;;) { const g = f; f = () => g() }", "memory timeout"},
	{"memory caught", "for(;;) { try { const a = []; for(;;) a.push({a}) } catch {} }", "timeout memory"},
	{"array length", "const a = []; a.length = 2**32 - 1; return a.fill(1).length", "memory timeout"},
	{"concat", "let a = [1]; for(;;) a = a.concat(a)", "memory timeout"},
	{"flat", "let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return a.flat(Infinity).length", "memory timeout depth"},
	{"structure sharing", "let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return a", "memory timeout output error"},
	{"regex groups", "return new RegExp('(a)'.repeat(1e5)).test('a')", "error memory timeout ok syntax"},
	// built-ins that poll nothing
	{"sparse indexOf", "const a = []; a.length = 4e9; return a.indexOf(1)", "timeout"},
	{"array-like indexOf", "return Array.prototype.indexOf.call({ length: 2**53 - 1 }, 1)", "timeout"},
	{"array-like includes", "return Array.prototype.includes.call({ length: 2**53 - 1 }, 1)", "timeout"},
	{"array-like reverse", "return Array.prototype.reverse.call({ length: 2**53 - 1 })", "timeout memory error"},
	{"array-like forEach", "return Array.prototype.forEach.call({ length: 2**53 - 1 }, () => 1)", "timeout"},
	{"quadratic indexOf", "const s = 'a'.repeat(3e6); return (s + 'b').indexOf('a'.repeat(1.5e6) + 'c')", "timeout"},
	{"quadratic lastIndexOf", "const s = 'a'.repeat(3e6); return ('b' + s).lastIndexOf('c' + 'a'.repeat(1.5e6))", "timeout ok"},
	{"replaceAll", "return 'a'.repeat(1e6).replaceAll('a', 'a'.repeat(1e5)).length", "memory error timeout"},
	{"padEnd", "return 'x'.padEnd(2**30, 'yz').length", "memory error timeout"},
	{"repeat", "return 'x'.repeat(2**30).length", "memory error"},
	{"fromCharCode", "return String.fromCharCode.apply(null, { length: 2**31 })", "error memory timeout depth"},
	{"split", "return 'x'.repeat(1e7).split('').length", "memory timeout"},
	{"normalize", "return '\\u1e9b\\u0323'.repeat(1e6).normalize('NFKD').length", "ok memory timeout"},
	{"sort", "return Array.from({ length: 3e6 }, (_, i) => -i).sort().length", "timeout memory"},
	{"BigInt power", "return String(7n ** 400000000n).length", "timeout memory error"},
	{"BigInt shift", "return String(1n << (1n << 40n)).length", "memory error timeout"},
	{"BigInt multiply", "let x = 3n; for(;;) x *= x", "timeout memory error"},
	{"BigInt toString", "return (2n ** 3000000n).toString().length", "timeout ok error"},
	{"regex nested", "return /^(a+)+$/.test('a'.repeat(50) + 'b')", "timeout"},
	{"regex alternation", "return /^(a|a)*$/.test('a'.repeat(50) + 'b')", "timeout"},
	{"regex back-reference", `return /^(?:(a+)\1?)+$/.test('a'.repeat(60) + 'b')`, "timeout ok"},
	{"regex lookbehind", "return /(?<=(a+)+)b/.test('a'.repeat(5e3) + 'c')", "timeout ok"},
	{"Atomics.wait", "return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", "error"},
	// results and errors
	{"toJSON loop", "return { toJSON() { for(;;); } }", "timeout"},
	{"toJSON growth", "return { toJSON() { return [this, this] } }", "depth memory timeout"},
	{"proxy result", "return new Proxy({}, { ownKeys() { for(;;); } })", "timeout"},
	{"many keys", "return new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => 'k' + i), getOwnPropertyDescriptor: () => ({ value: 1, enumerable: true, configurable: true }) })", "output memory timeout error"},
	{"huge string", "return 'x'.repeat(2e7)", "output"},
	{"huge list", "return new Array(3e6).fill(123)", "output timeout memory"},
	{"escapes", "return '\\u0001'.repeat(1e6)", "ok output"},
	{"circular", "const a = []; a.push(a); return a", "error"},
	{"error message getter", "throw Object.defineProperty(new Error(), 'message', { get() { for(;;); } })", "timeout"},
	{"error stack getter", "throw Object.defineProperty(new Error('x'), 'stack', { get() { for(;;); } })", "timeout"},
	{"error name growth", "const e = new Error('x'.repeat(1e6)); e.name = 'y'.repeat(1e6); throw e", "error"},
	{"error proxy", "throw new Proxy(new Error('x'), { get() { for(;;); }, getPrototypeOf() { for(;;); } })", "timeout error"},
	{"thrown toString", "throw { toString() { for(;;); }, toJSON() { for(;;); } }", "timeout"},
	{"cause chain", "let e = new Error('x'); for (let i = 0; i < 1e5; i++) e = new Error('y', { cause: e }); throw e", "error memory timeout"},
	{"reserved tag", "return JSON.parse('{\"$theseus\":\"response\",\"status\":200}')", "error"},
	{"log flood", "for(;;) log.info('x'.repeat(1e4))", "timeout"},
	{"log bomb", "log.info({ toJSON() { for(;;); } })", "timeout"},
	{"run itself", "return run('x.js')", "depth"},
	{"kv growth", "for(let i = 0;; i++) kv.set('k' + i, 'x'.repeat(1e6))", "timeout memory"},
	// ways out
	{"eval", "return eval('1')", "error"},
	{"Function", "return (() => {}).constructor('return 1')()", "error"},
	{"generator constructor", "return (function*() {}).constructor('yield 1')", "error"},
	{"import std", "import * as std from 'std'; export default () => std.open('/etc/passwd')", "refused"},
	{"import escape", "import x from '../../../../etc/passwd.json'; export default () => x", "refused"},
	{"dynamic import", "return import('/etc/passwd')", "error"},
	{"host function", "return __theseus('kv.get', '[]')", "error"},
	{"fetch", "return http.fetch('http://127.0.0.1/')", "denied"},
	{"prototype pollution", "Object.prototype.x = 1; return {}.x", "error"},
	// sources
	{"nested brackets", "export default " + strings.Repeat("[", 500000), "depth syntax"},
	{"nested functions", "export default () => " + strings.Repeat("(() => ", 50000) + "1" + strings.Repeat(")()", 50000), "depth syntax timeout"},
	{"many locals", "export default () => { let " + strings.Repeat("a,", 1) + "x" + strings.Repeat(" = x", 10) + " }", "ok error"},
	{"long line", "export default () => " + strings.Repeat("1+", 400000) + "1", "ok depth timeout syntax memory"},
	{"unterminated", "export default () => `" + strings.Repeat("${", 100000), "syntax depth"},
}

func TestHostile(t *testing.T) {
	if n := len(hostile); n < 60 {
		t.Fatalf("%d programs", n)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const timeout = 600 * time.Millisecond
	dir := t.TempDir()
	for i, h := range hostile {
		if testing.Short() && i%5 != 0 {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(h.name, " ", "-"), "x.js")
			if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			source := h.source
			if !strings.Contains(source, "export ") {
				source = "export default () => { " + source + " }"
			}
			if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			r := Main(t.Context(), Options{File: file, Timeout: timeout, Memory: 32 << 20, Output: 2 << 20, Self: exe, ChildEnv: []string{"EVALUNIT_CHILD=1"}})
			took := time.Since(start)
			right := strings.Contains(" "+h.outcomes+" ", " "+r.Outcome+" ")
			if r.Outcome == "timeout" && took >= timeout && (instrumented > 0 || !strings.HasPrefix(h.outcomes, "error")) {
				right = true // a busy machine may not get to the other limit
			}
			if !right {
				t.Errorf("%s after %v: %+v, want %s", r.Outcome, took, r.Error, h.outcomes)
			}
			if took > timeout+time.Second && instrumented == 0 {
				t.Errorf("took %v", took)
			}
			if r.Error != nil && (r.Error.Message == "" || strings.Contains(r.Error.Message, "the JavaScript engine failed")) {
				t.Errorf("message: %q", r.Error.Message)
			}
		})
	}
}
