package js

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
)

// tight are limits that attacks reach quickly.
var tight = script.Limits{Time: 200 * time.Millisecond * min(slow, 5), Memory: 16 << 20, Depth: 500, Output: 64 << 10}

// The native loops here are long enough to be stuck and short enough to end;
// the endless ones are in internal/evalunit, whose children can be killed.

// attacks are programs that must end with one of kinds, leave the process
// alive and the unit usable.
var attacks = []struct {
	name, body string
	kinds      string
}{
	{"endless loop", "for(;;);", "timeout"},
	{"loop in try", "for(;;) { try { for(;;); } catch {} finally { for(;;); } }", "timeout"},
	{"loop in promise job", "return Promise.resolve().then(() => { for(;;); })", "timeout"},
	{"catching async", "return (async () => { for(;;) { try { await (async () => { for(;;); })() } catch {} } })()", "timeout"},
	{"endless microtasks", "const f = () => Promise.resolve().then(f); f(); return new Promise(() => {})", "timeout memory error"},
	{"endless generator", "return [...(function*() { for(;;) yield 1 })()].length", "timeout memory"},
	{"string doubling", "let s = 'x'; for(;;) s += s + 'y'", "memory error timeout"},
	{"array growth", "const a = []; for(;;) a.push(new Array(100).fill(a))", "memory"},
	{"small objects", "let a; for(;;) a = {a}", "memory"},
	{"map growth", "const m = new Map(); for(let i=0;;i++) m.set(i, {i})", "memory"},
	{"property growth", "const o = {}; for(let i=0;;i++) o['k' + i] = i", "memory"},
	{"memory caught and rethrown", "const a = []; try { for(;;) a.push({a}) } catch (e) { a.length = 0; throw e }", "memory"},
	{"memory in async", "return (async () => { const a = []; await 1; for(;;) a.push({a}) })()", "memory"},
	{"huge buffer", "return new ArrayBuffer(6e9).byteLength", "memory error"},
	{"huge repeat", "return 'x'.repeat(2**30).length", "memory error"},
	{"huge fill", "return new Array(2**30).fill(1).length", "memory timeout"},
	{"huge apply", "return String.fromCharCode.apply(null, {length: 2**31})", "error memory"},
	{"padEnd", "return 'x'.padEnd(2**30).length", "memory error"},
	{"recursion", "const f = () => f() + 1; return f()", "depth"},
	{"mutual recursion in sort", "const f = () => [2, 1].sort(f); return f()", "depth"},
	{"getter recursion", "const o = { get a() { return this.a } }; return o.a", "depth"},
	{"proxy chain", "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); return p.x", "depth ok memory"},
	{"toString recursion", "const a = []; a[0] = { toString: () => String(a) }; return String(a)", "depth"},
	{"nested JSON", "return JSON.parse('['.repeat(1e6))", "depth"},
	{"nested value", "let o = {}; for (let i = 0; i < 1e5; i++) o = {o}; return o", "depth"},
	{"regex backtracking", "return /^(a+)+$/.test('a'.repeat(40) + 'b')", "timeout"},
	{"regex back-reference", `return /^(?:(a+)\1)+$/.test('a'.repeat(41) + 'b')`, "timeout ok"},
	{"BigInt power", "return String(7n ** 40000000n).length", "timeout memory error"},
	{"BigInt shift", "return String(1n << 1000000000n).length", "memory error timeout"},
	{"sparse array", "const a = []; a.length = 3e7; return a.indexOf(1)", "timeout"},
	{"array-like", "return Array.prototype.indexOf.call({length: 3e7}, 1)", "timeout"},
	{"quadratic search", "const s = 'a'.repeat(1e5); return (s + 'b').indexOf('a'.repeat(5e4) + 'c')", "timeout"},
	{"quadratic replace", "return 'a'.repeat(1e5).replaceAll('a', 'a'.repeat(1e3)).length", "memory error timeout"},
	{"sort with endless comparer", "return [3, 1, 2].sort(() => { for(;;); })", "timeout"},
	{"result toJSON loops", "return { toJSON() { for(;;); } }", "timeout"},
	{"result getter loops", "return { get a() { for(;;); } }", "timeout"},
	{"error getter loops", "throw Object.defineProperty(new Error('x'), 'message', { get() { for(;;); } })", "timeout"},
	{"thrown toString loops", "throw { toJSON() { for(;;); } }", "timeout"},
	{"output", "return 'x'.repeat(1e5)", "output"},
	{"output object", "return new Array(1e5).fill(1)", "output"},
	{"Atomics.wait", "return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", "error"},
	{"Function constructor", "return (function(){}).constructor('return 1')()", "error"},
	{"async constructor", "return (async () => {}).constructor('return 1')()", "error"},
	{"generator constructor", "return (function*(){}).constructor('return 1')()", "error"},
	{"async generator constructor", "return (async function*(){}).constructor('return 1')()", "error"},
	{"Reflect.construct", "return Reflect.construct(Function, ['return 1'])()", "error"},
	{"indirect eval", "return (0, eval)('1')", "error"},
	{"bound Function", "return Function.prototype.constructor.call(null, 'return 1')()", "error"},
	{"host leak", "return typeof __theseus + typeof std + typeof os + typeof require + typeof process", "ok"},
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			if slow > 1 {
				if strings.HasPrefix(a.name, "quadratic") {
					t.Skip("the loop takes minutes under the race detector")
				}
				a.body = strings.NewReplacer("3e7", "1e6", "40000000", "4000000").Replace(a.body)
			}
			limits := tight
			if !strings.Contains(a.kinds, "timeout") {
				limits.Time = 20 * time.Second // on a busy machine
			}
			u := compile(t, map[string]string{"a.js": "export default () => { " + a.body + " }; export const well = () => 'well'"}, limits)
			start := time.Now()
			v, err := u.Execute(t.Context(), script.Call{})
			took := time.Since(start)
			outcome := "ok"
			if err != nil {
				outcome = string(script.KindOf(err))
			}
			if !strings.Contains(a.kinds, outcome) && !(slow > 1 && outcome == "timeout") {
				t.Errorf("%s: %.80v %v, want %s", outcome, v, err, a.kinds)
			}
			if took > limits.Time+Grace+slow*time.Second {
				t.Errorf("took %v", took)
			}
			if v, err := u.Execute(t.Context(), script.Call{Func: "well"}); err != nil || v.Tree() != "well" {
				t.Errorf("the unit afterwards: %v %v", v, err)
			}
			u.Close()
			if n := u.Stuck(); n > 0 {
				t.Logf("stuck for a while")
			}
			eventually(t, "every machine is gone", func() bool { return u.engine.Machines() == 0 })
		})
	}
}

// A built-in that polls nothing gives the caller his Timeout, and the unit
// refuses calls while two of them run.
func TestStuckMachines(t *testing.T) {
	// Long enough to outlast the test's look at it, short enough to see it end.
	u := compile(t, map[string]string{"a.js": fmt.Sprintf("export default () => { const a = []; a.length = %d; return a.indexOf(1) }; export const well = () => 1", int(3e7)/slow)},
		script.Limits{Time: 50 * time.Millisecond})
	for i := range maxStuck {
		start := time.Now()
		e := failure(t, u, nil)
		if e.Kind != script.Timeout || !strings.Contains(e.Message, "could not be interrupted") {
			t.Fatalf("%v", e)
		}
		if took := time.Since(start); took > 50*time.Millisecond+Grace+slow*time.Second {
			t.Errorf("took %v", took)
		}
		if got := u.Stuck(); got != int64(i+1) {
			t.Fatalf("Stuck() = %d, want %d", got, i+1)
		}
	}
	_, err := u.Execute(t.Context(), script.Call{Func: "well"})
	if e, ok := err.(*script.Error); !ok || e.Kind != script.Timeout || e.Hint == "" || !strings.Contains(e.Message, "refused") {
		t.Errorf("with %d stuck machines: %v", maxStuck, err)
	}
	for end := time.Now().Add(time.Minute); u.Stuck() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the loops did not end")
		}
	}
	if v, err := u.Execute(t.Context(), script.Call{Func: "well"}); err != nil {
		t.Errorf("after the loops ended: %v %v", v, err)
	}
}

// An interrupt that lands before the engine is entered is cleared there; the
// caller's end must stop the script all the same.
func TestCancelRace(t *testing.T) {
	u := compile(t, map[string]string{"a.js": "export default () => { for(;;); }"}, script.Limits{Time: time.Minute})
	for i := range 60 / slow {
		ctx, cancel := context.WithCancel(t.Context())
		if i%3 == 0 {
			cancel()
		} else {
			time.AfterFunc(time.Duration(i%7)*50*time.Microsecond, cancel)
		}
		start := time.Now()
		_, err := u.Execute(ctx, script.Call{})
		if script.KindOf(err) != script.Timeout || !errors.Is(err, context.Canceled) {
			t.Fatalf("round %d: %v", i, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("round %d: stopped after %v", i, took)
		}
		cancel()
	}
	// One that was slow to end counts as stuck until it has; none may stay so.
	eventually(t, "no script runs on", func() bool { return u.Stuck() == 0 })
}

// The deadline reaches host calls, and a script that catches their error is
// stopped all the same.
func TestDeadlineInHost(t *testing.T) {
	u := compile(t, map[string]string{"a.js": "export default () => { for(;;) { try { sleep(1e6) } catch {} } }"}, script.Limits{Time: 50 * time.Millisecond})
	host := script.HostFunc(func(ctx context.Context, _ string, _ []script.Value) (script.Value, error) {
		<-ctx.Done()
		return script.Value{}, &script.Error{Kind: script.Timeout, Message: "sleep ended", Err: ctx.Err()}
	})
	if e := failure(t, u, host); e.Kind != script.Timeout {
		t.Errorf("%v", e)
	}
	u = compile(t, map[string]string{"a.js": "export default () => sleep(1e6)"}, script.Limits{Time: 50 * time.Millisecond})
	if e := failure(t, u, host); e.Kind != script.Timeout {
		t.Errorf("%v", e)
	}
}

func TestDepthIsTheLimit(t *testing.T) {
	const count = "export default () => { let n = 0; const f = () => { n++; f() }; try { f() } catch {} return n }"
	for _, depth := range []int{100, 1000, 4000} {
		u := compile(t, map[string]string{"a.js": count}, script.Limits{Depth: depth})
		v, err := u.Execute(t.Context(), script.Call{})
		if n, _ := v.Tree().(float64); err != nil || int(n) < depth || int(n) > depth+ownDepth {
			t.Errorf("depth %d reached %v %v", depth, v, err)
		}
	}
	// More than the engine can hold is cut, not fatal.
	if e := failure(t, compile(t, map[string]string{"a.js": "export default () => { const f = (...a) => [1].map(() => f(...a, 1)); f() }"}, script.Limits{Depth: 1 << 30}), nil); e.Kind != script.Depth {
		t.Errorf("%v", e)
	}
}

func TestMemoryIsFresh(t *testing.T) {
	u := compile(t, map[string]string{"a.js": "const keep = []; export default () => { for (let i = 0; i < 1e5; i++) keep.push({i}); return keep.length }"}, script.Limits{Memory: 16 << 20, Time: time.Minute})
	failed := 0
	for range 8 {
		v, err := u.Execute(t.Context(), script.Call{})
		switch {
		case script.KindOf(err) == script.Memory:
			failed++
		case err != nil:
			t.Fatalf("%v", err)
		case v.Tree().(float64) == 1e5 && failed > 0:
			return // a new machine started from nothing
		}
	}
	t.Errorf("no fresh machine after %d memory errors", failed)
}
