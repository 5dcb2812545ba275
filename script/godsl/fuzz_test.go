package godsl

import (
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

// Any text is refused or compiles, and what compiles runs within its limits.
func FuzzCompile(f *testing.F) {
	f.Add(routeRule)
	f.Add(unitSource)
	f.Add("package p\nfunc Run() any { x := map[string]any{\"a\": []int{1}}; for k, v := range x { return []any{k, v} }; return nil }")
	f.Add("package p\ntype T struct { a [3]int; b *T }\nfunc Run(n int) int { var t T; t.a[n]++; switch x := any(t).(type) { case T: return x.a[0] }; return -1 }")
	f.Add("package p\nfunc g[T any](x T) T { return x }\nfunc Run() string { return g(\"x\") + string(rune(65)) }")
	c := NewCompiler()
	f.Fuzz(func(t *testing.T, src string) {
		p, err := c.Compile([]File{{Name: "a.gods", Text: []byte(src)}})
		if err != nil {
			if k := script.KindOf(err); k != script.Refused && k != script.Syntax {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, name := range p.Names() {
			fn, _ := p.Func(name)
			args := make([]any, fn.Params())
			limits := Limits{Limits: vm.Limits{Steps: 100_000, Time: time.Minute, Bytes: 1 << 20, Depth: 100}, Output: 1 << 16}
			if _, err := fn.Call(t.Context(), limits, nil, args...); err != nil && len(err.Error()) > 100_000 {
				t.Fatalf("the message has %d bytes", len(err.Error()))
			}
		}
	})
}
