package godsl

import (
	"testing"
)

func run(t testing.TB, src string, args ...any) (any, error) {
	t.Helper()
	p, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte(src)}})
	if err != nil {
		return nil, err
	}
	f, ok := p.Func("Run")
	if !ok {
		t.Fatal("no Run")
	}
	return f.Call(t.Context(), Limits{}, nil, args...)
}

func TestSmoke(t *testing.T) {
	got, err := run(t, `package main
import ("fmt"; "strings"; "sort"; "errors"; "slices"; "strconv"; "maps")
type E struct { code int }
func (e *E) Error() string { return "code " + strconv.Itoa(e.code) }
func f(n int) (int, error) { if n > 2 { return 0, fmt.Errorf("f: %w", &E{n}) }; return n, nil }
type S struct { A int; B string; C []float64; D map[string]bool; E *int }
func Run() string {
	xs := []int{5, 2, 9, 1}
	sort.Ints(xs)
	ss := strings.Split("c,a,b", ",")
	slices.Sort(ss)
	_, err := f(7)
	var e *E
	ok := errors.As(err, &e)
	sort.Slice(xs, func(i, j int) bool { return xs[i] > xs[j] })
	var b strings.Builder
	for k, v := range maps.All(map[int]string{3: "x"}) { fmt.Sprint(k); b.WriteString(v) }
	n, perr := strconv.Atoi("12x")
	s := S{1, "x", []float64{1.5}, map[string]bool{"q": true, "a": false}, nil}
	return fmt.Sprintf("%v %v %v %v %d %s|%d %v|%v|%+v|%#v|%T %T", xs, ss, err, ok, e.code, b.String(), n, perr, s, &s, s, s, xs)
}`)
	t.Log(got, err)
	for _, src := range []string{`package main
func Run() int { xs := []int{1}; i := 3
	return xs[i] }`, `package main
func Run() int { go func() {}()
 return 1 }`, `package main
func rec(n int) int { return rec(n+1) + 1 }
func Run() int { return rec(1) }`} {
		_, err := run(t, src)
		t.Logf("%+v", err)
	}
}
