package js

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
)

// resident returns the process's resident memory in bytes, 0 where unknown.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// Machines that come and go, by success, error and limit, leave nothing.
func TestNoLeak(t *testing.T) {
	rounds := 2000
	if testing.Short() || slow > 1 {
		rounds = 200 / slow
	}
	e := New()
	files := tree(map[string]string{"a.js": `import { f } from "./b.js"; export default () => f(); export const fail = () => { throw new Error("x") }; export const deep = () => deep() + 1;
		export const eat = () => { const a = []; for(;;) a.push({a}) }`, "b.js": "export const f = () => [1, {a: 'b'}]"})
	calls := []string{"default", "default", "fail", "default", "deep", "default", "default", "default", "default", "eat"}
	round := func(i int) {
		u, err := e.Compile(t.Context(), files, "a.js", script.Limits{Memory: 1 << 20, Time: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Execute(t.Context(), script.Call{Func: calls[i%len(calls)], Args: []script.Value{script.RequestValue(testRequest())}})
		if (err == nil) != (calls[i%len(calls)] == "default") {
			t.Fatalf("%s: %v", calls[i%len(calls)], err)
		}
		u.Close()
		bad := tree(map[string]string{"a.js": "export default ( => 1", "b.js": `import "./none.js"; export default 1`})
		for _, name := range []string{"a.js", "b.js"} {
			if _, err := e.Compile(t.Context(), bad, name, script.Limits{}); err == nil {
				t.Fatalf("%s was compiled", name)
			}
		}
	}
	for i := range rounds / 10 {
		round(i)
	}
	runtime.GC()
	before, goroutines := resident(), runtime.NumGoroutine()
	for i := range rounds {
		round(i)
	}
	eventually(t, "every machine is gone", func() bool { return e.Machines() == 0 })
	eventually(t, "goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines })
	runtime.GC()
	after := resident()
	t.Logf("resident %d → %d KiB after %d units", before>>10, after>>10, rounds)
	// A leaked VM would be 200 KiB and more.
	if before > 0 && after > before+int64(rounds)*(20<<10)*slow+(8<<20)*slow {
		t.Errorf("resident memory grew from %d to %d KiB in %d rounds", before>>10, after>>10, rounds)
	}
}

// A top level that does not come back is left behind; its machine is freed once
// the built-in has ended by itself.
func TestAbandonedStartIsFreed(t *testing.T) {
	e := New()
	files := tree(map[string]string{"a.js": "const a = [...{ [Symbol.iterator]: () => ({ next: () => ({ done: false }) }) }]; export default () => a;"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.Compile(ctx, files, "a.js", script.Limits{Memory: 8 << 20}); err == nil {
		t.Fatal("it was compiled")
	}
	deadline := time.Now().Add(time.Minute * slow)
	for e.Machines() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d machines are left", e.Machines())
		}
		time.Sleep(10 * time.Millisecond)
	}
}
