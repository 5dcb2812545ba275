package vm

import (
	"go/token"
	"testing"

	"github.com/theseus-run/theseus/script/godsl/check"
	"github.com/theseus-run/theseus/script/godsl/ir"
)

func build(t testing.TB, src string) *Program {
	t.Helper()
	fset := token.NewFileSet()
	files, err := check.Parse(fset, []check.File{{Name: "a.go", Text: []byte(src)}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := check.Types(fset, "main", files, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ir.Lower(fset, s, nil, false)
	if err != nil {
		t.Fatal(err, fset.Position(err.(*ir.Error).Pos))
	}
	c, err := Compile(p, nil)
	if err != nil {
		t.Fatal(err, fset.Position(err.(*CompileError).Pos))
	}
	return c
}

func TestFib(t *testing.T) {
	p := build(t, `package main
func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }
func loop(n int) int {
	s := 0
	for i := 0; i < n; i++ {
		if i%3 == 0 { s += i * 2 } else { s -= i }
	}
	return s
}
type P struct { x, y int; name string }
func (p *P) move(d int) { p.x += d; p.y -= d }
func (p P) sum() int { return p.x + p.y*100 }
func structs(n int) int {
	ps := []P{{1, 2, "a"}, {x: 3}}
	for i := range ps { ps[i].move(i+1) }
	p := ps[0]
	p.move(10)
	q := &ps[1]
	q.x = 7
	t := 0
	for _, p := range ps { t += p.sum() }
	m := map[string][]int{"a": {1,2}, "b": nil}
	m["b"] = append(m["b"], 5, 6, 7)
	m["c"] = append(m["c"], 9)
	for k, v := range m { t += len(k) * len(v) }
	f := func(d int) func() int { c := 0; return func() int { c += d; return c } }
	g := f(3)
	g(); g()
	var e any = p
	if pp, ok := e.(P); ok { t += pp.x * 1000000 }
	a, b := 3, 4
	a, b = b, a
	switch { case a > b: t += 5; fallthrough; case false: t += 100; default: t = 0 }
	for i := range 10 { if i == 5 { break }; t++ }
	return t + g() * 10000 + a*n
}
`)
	for _, tt := range []struct {
		fn   string
		in   int64
		want int64
	}{{"fib", 20, 6765}, {"loop", 1000, -165834}, {"structs", 1, 0}} {
		m := NewMachine()
		var got int64
		f := p.Funcs[tt.fn]
		err := m.Run(t.Context(), p, f, Limits{}, nil, func(m *Machine) error { m.Block(f, 0).N[0] = uint64(tt.in); return nil },
			func(m *Machine) error { got = int64(m.Result(f, 0).N[0]); return nil })
		t.Log(tt.fn, got, err)
		_ = tt.want
	}
}

func BenchmarkFib(b *testing.B) {
	p := build(b, `package main
func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }
func loop(n int) int {
	s := 0
	for i := 0; i < n; i++ {
		if i%3 == 0 { s += i * 2 } else { s -= i }
	}
	return s
}`)
	for _, w := range []struct {
		fn string
		n  uint64
	}{{"fib", 27}, {"loop", 100000}} {
		b.Run(w.fn, func(b *testing.B) {
			m := NewMachine()
			f := p.Funcs[w.fn]
			for b.Loop() {
				m.Run(b.Context(), p, f, Limits{}, nil, func(m *Machine) error { m.Block(f, 0).N[0] = w.n; return nil }, nil)
			}
		})
	}
}
