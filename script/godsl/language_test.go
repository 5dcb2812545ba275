package godsl

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/theseus-run/theseus/script"
)

// Each case is the body of func Run() any and what it returns.
func TestLanguage(t *testing.T) {
	tests := []struct {
		name, decls, body string
		want              any
	}{
		{"wrap-around", "", "var a int8 = 127; a++; var b uint8; b--; var c int32 = -1 << 31; c--; return []any{int(a), int(b), int(c)}", []any{-128, 255, 2147483647}},
		{"shifts", "", "var n uint = 70; x := 1; return []any{x << n, -8 >> 1, int(uint8(200*x) << 1), -1 >> n}", []any{0, -4, 144, -1}},
		{"integer division", "", "a, b := -7, 2; return []any{a / b, a % b}", []any{-3, -1}},
		{"float", "", "x := 0.1; return []any{x + 0.2, float64(float32(x)), 1 / x}", []any{0.30000000000000004, float64(float32(0.1)), 10.0}},
		{"constants", "const big = 1 << 100", "const k = iota; return []any{big >> 98, k, 'a', \"a\" + \"b\"}", []any{4, 0, 97, "ab"}},
		{"strings", "", `s := "héllo"; n := 0; for i, r := range s { n += i * int(r) }; return []any{len(s), s[1], s[1:3], n, []rune(s)[1] == 'é', string([]byte(s)[:1])}`,
			[]any{6, 195, "é", 1*233 + 3*108 + 4*108 + 5*111, true, "h"}},
		{"slices share", "", "a := []int{1, 2, 3, 4}; b := a[1:3]; b[0] = 9; b = append(b, 7); c := append(a[:1:1], 5); c[0] = 0; return []any{a, b, c, cap(b)}",
			[]any{[]any{1, 9, 3, 7}, []any{9, 3, 7}, []any{0, 5}, 3}},
		{"arrays are values", "", "a := [3]int{1, 2, 3}; b := a; b[0] = 9; p := &a; p[1] = 8; for i, v := range a { a[2] = 100; if i == 2 { return []any{a == b, a[1], b[0], v, len(a)} } }; return nil",
			[]any{false, 8, 9, 3, 3}},
		{"structs are values", "type P struct { X int; A [2]int; Q struct{ Y int } }", "a := P{X: 1}; b := a; b.X, b.A[0], b.Q.Y = 2, 3, 4; p := &a; p.Q.Y = 7; q := &p.Q; q.Y++; return []any{a.X, a.A[0], a.Q.Y, b.X, b.A[0], b.Q.Y, a == b}",
			[]any{1, 0, 8, 2, 3, 4, false}},
		{"methods and embedding", "type A struct{ n int }\nfunc (a *A) Inc() { a.n++ }\nfunc (a A) Get() int { return a.n }\ntype B struct { A; name string }\ntype G interface{ Get() int }",
			"b := B{name: \"x\"}; b.Inc(); b.A.Inc(); f := b.Inc; f(); var g G = b; b.Inc(); h := A.Get; return []any{b.Get(), g.Get(), h(b.A), b.n}", []any{4, 3, 4, 4}},
		{"pointers", "type N struct { v int; next *N }", "var l *N; for i := range 3 { l = &N{i, l} }; s := 0; for n := l; n != nil; n = n.next { s = s*10 + n.v }; x := 1; p := &x; *p += 4; pp := &p; **pp *= 2; return []any{s, x, p == *pp}",
			[]any{210, 10, true}},
		{"maps", "type K struct { a int; b string }", "m := map[K]int{{1, \"a\"}: 1}; m[K{1, \"a\"}]++; v, ok := m[K{}]; delete(m, K{2, \"\"}); var nilMap map[string]int; return []any{len(m), m[K{1, \"a\"}], v, ok, nilMap[\"x\"], len(nilMap)}",
			[]any{1, 2, 0, false, 0, 0}},
		{"map order is that of insertion", "", `m := map[string]int{}; for _, k := range []string{"z", "a", "m"} { m[k] = 1 }; delete(m, "a"); m["b"] = 1; m["a"] = 2; s := ""; for k := range m { s += k }; return s`, "zmba"},
		{"map changed while ranged over", "", "m := map[int]int{}; for i := range 100 { m[i] = i }; n := 0; for k := range m { delete(m, k); delete(m, k+1); n++ }; return []any{n, len(m)}", []any{50, 0}},
		{"closures", "", "fs := []func() int{}; for i := 0; i < 3; i++ { fs = append(fs, func() int { i *= 10; return i }) }; s := 0; for _, f := range fs { f(); s += f() }; return s", 300},
		{"recursive closure", "", "var f func(int) int; f = func(n int) int { if n < 2 { return n }; return f(n-1) + f(n-2) }; return f(15)", 610},
		{"labels", "", "n := 0\nouter:\n\tfor i := range 5 { for j := range 5 { if j == 3 { continue outer }; if i == 3 { break outer }; n += i*10 + j } }\n\treturn n", 99},
		{"switch", "", "r := \"\"; for i := range 5 { switch { case i == 0: r += \"a\"; fallthrough; case i == 9: r += \"b\"; case i > 2: r += \"c\"; default: r += \"d\"; if i == 1 { break }; r += \"e\" } }; return r", "abddecc"},
		{"type switch", "type E struct{}\nfunc (E) Error() string { return \"e\" }", "r := \"\"; for _, x := range []any{1, \"s\", nil, 2.5, E{}, []int{1}, int8(3)} { switch v := x.(type) { case nil: r += \"nil \"; case int, int8: r += \"int \"; case string: r += v + \" \"; case error: r += v.Error() + \" \"; default: r += \"? \" } }; return r",
			"int s nil ? e ? int "},
		{"several results", "func f(a, b int) (sum int, err error) { sum = a + b; if sum > 5 { return 0, errors.New(\"big\") }; return }\nfunc g(xs ...any) int { return len(xs) }", "a, e := f(1, 2); b, e2 := f(4, 5); return []any{a, e == nil, b, e2.Error(), g(f(1, 1)), g(), g([]any{1, 2, 3}...)}",
			[]any{3, true, 0, "big", 2, 0, 3}},
		{"errors", "type My struct{ n int }\nfunc (m *My) Error() string { return strconv.Itoa(m.n) }\nvar sentinel = errors.New(\"sentinel\")",
			"e := fmt.Errorf(\"a: %w\", fmt.Errorf(\"b: %w\", &My{7})); var m *My; ok := errors.As(e, &m); j := errors.Join(e, sentinel); return []any{e.Error(), ok, m.n, errors.Is(j, sentinel), errors.Is(e, sentinel), errors.Unwrap(e).Error()}",
			[]any{"a: b: 7", true, 7, true, false, "b: 7"}},
		{"generics", "type Num interface{ ~int | ~float64 }\nfunc sum[T Num](xs ...T) (s T) { for _, x := range xs { s += x }; return }\nfunc mapped[A, B any](xs []A, f func(A) B) []B { var out []B; for _, x := range xs { out = append(out, f(x)) }; return out }\ntype M int",
			"return []any{sum(1, 2, 3), sum(0.5, 0.25), int(sum(M(1), M(2))), mapped([]int{1, 2}, func(n int) string { return strconv.Itoa(n * 2) })}", []any{6, 0.75, 3, []string{"2", "4"}}},
		{"range over functions", "func count(n int) func(func(int) bool) { return func(yield func(int) bool) { for i := range n { if !yield(i) { return } } } }\nfunc find(n int) int { for x := range count(100) { for y := range count(x) { if x*y == n { return x } } }; return -1 }",
			"s := 0; for x := range count(10) { if x == 2 { continue }; if x == 5 { break }; s += x }; return []any{s, find(42)}", []any{8, 7}},
		{"min max clear copy", "", "xs := []int{3, 1, 2}; n := copy(xs[1:], xs); m := map[int]int{1: 1}; clear(m); return []any{xs, n, len(m), min(3, 1, 2), max(1.5, 2), min(\"b\", \"a\")}", []any{[]any{3, 3, 1}, 2, 0, 1, 2.0, "a"}},
		{"order of evaluation", "func t(s *string, x string) string { *s += x; return x }", "s := \"\"; m := map[string]string{}; m[t(&s, \"k\")] = t(&s, \"v\"); a, b := t(&s, \"1\"), t(&s, \"2\"); a, b = b, a; xs := []int{0, 1}; i := 0; i, xs[i] = 1, 9; return []any{s, a + b, xs, i}",
			[]any{"kv12", "21", []any{9, 1}, 1}},
		{"package variables", "var table = map[string]int{\"a\": one}\nvar one = two / 2\nvar two = len(\"xx\")", "return []any{table[\"a\"], one, two}", []any{1, 1, 2}},
		{"text and numbers", "", `f, err := strconv.ParseFloat("1e3", 64); _, err2 := strconv.Atoi("x"); var b strings.Builder; b.WriteString("a"); b.WriteByte('b'); b.WriteRune('ç'); return []any{f, err == nil, err2.Error(), b.String(), strings.Fields(" a b "), strconv.Quote("a\n"), fmt.Sprintf("%05.1f|%-4s|%x|%q|%T", 3.14159, "ab", "hi", 'x', []int{})}`,
			[]any{1000.0, true, `strconv.Atoi: parsing "x": invalid syntax`, "abç", []string{"a", "b"}, `"a\n"`, "003.1|ab  |6869|'x'|[]int"}},
		{"json", "type T struct { A int `json:\"a\"`; B []string `json:\"b,omitempty\"`; c int; D map[string]float64; E *T }",
			"var t T; err := json.Unmarshal([]byte(`{\"a\":1,\"b\":[\"x\"],\"d\":{\"k\":1.5},\"E\":{\"a\":2}}`), &t); b, _ := json.Marshal(t); bad := json.Unmarshal([]byte(`{\"a\":\"x\"}`), &t); return []any{err == nil, t.A, t.E.A, string(b), bad != nil}",
			[]any{true, 1, 2, `{"a":1,"b":["x"],"D":{"k":1.5},"E":{"a":2,"D":null,"E":null}}`, true}},
		{"time", "", `t, err := time.Parse(time.RFC3339, "2024-02-29T12:30:00Z"); u := t.Add(36*time.Hour + 30*time.Minute); return []any{err == nil, u.Format(time.DateTime), u.Weekday().String(), u.Sub(t).String(), t.AddDate(1, 0, 0).Format(time.DateOnly), t.Before(u), time.Time{}.IsZero()}`,
			[]any{true, "2024-03-02 01:00:00", "Saturday", "36h30m0s", "2025-03-01", true, true}},
		{"hashes", "", `h := sha256.Sum256([]byte("abc")); return []any{hex.EncodeToString(h[:4]), base64.StdEncoding.EncodeToString([]byte("hi"))}`, []any{"ba7816bf", "aGk="}},
		{"regexp", "", `re := regexp.MustCompile("(\\w+)@(\\w+)"); return []any{re.FindStringSubmatch("a@b c@d"), re.ReplaceAllString("a@b", "$2 at $1"), re.MatchString("x"), len(re.FindAllString("a@b c@d", -1))}`, []any{[]string{"a@b", "a", "b"}, "b at a", false, 2}},
		{"sorting", "type P struct { n string; a int }", `ps := []P{{"a", 3}, {"b", 1}, {"c", 3}, {"d", 2}}; sort.SliceStable(ps, func(i, j int) bool { return ps[i].a > ps[j].a }); s := ""; for _, p := range ps { s += p.n }; xs := []string{"b", "c", "a"}; slices.Sort(xs); i, ok := slices.BinarySearch(xs, "b"); return []any{s, xs, i, ok, slices.Sorted(maps.Keys(map[int]bool{3: true, 1: true}))}`,
			[]any{"acdb", []string{"a", "b", "c"}, 1, true, []any{1, 3}}},
	}
	c := NewCompiler()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := withImports(tt.decls + "\n\nfunc Run() any {\n\t" + tt.body + "\n}\n")
			p, err := c.Compile([]File{{Name: "a.gods", Text: []byte(src)}})
			if err != nil {
				t.Fatalf("%v\n%s", err, src)
			}
			f, _ := p.Func("Run")
			got, err := f.Call(t.Context(), Limits{}, nil)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v %v\nwant %#v", got, err, tt.want)
			}
		})
	}
}

// withImports puts the imports that a source uses in front of it.
func withImports(src string) string {
	head := "package rule\n\n"
	for _, path := range []string{"crypto/sha256", "encoding/base64", "encoding/hex", "encoding/json", "errors", "fmt", "maps", "regexp", "slices", "sort", "strconv", "strings", "time"} {
		name := path[strings.LastIndex(path, "/")+1:]
		if strings.Contains(src, name+".") {
			head += "import \"" + path + "\"\n"
		}
	}
	return head + "\n" + src
}

const unitSource = `package rule

import (
	"errors"

	"github.com/theseus-run/theseus/script/godsl/host"
)

type Req struct {
	Amount float64 ` + "`json:\"amount\"`" + `
	Tags   []string ` + "`json:\"tags\"`" + `
}

type Res struct {
	Group string  ` + "`json:\"group\"`" + `
	Total float64 ` + "`json:\"total\"`" + `
	At    string  ` + "`json:\"at\"`" + `
}

func Execute(ctx host.Context, in Req) (Res, error) {
	if in.Amount < 0 {
		return Res{}, errors.New("negative amount")
	}
	ctx.Info("priced", map[string]any{"amount": in.Amount})
	n, err := ctx.Incr("calls", 1)
	if err != nil {
		return Res{}, err
	}
	return Res{"default", in.Amount * float64(len(in.Tags)+n), ctx.Now().Format("2006-01-02")}, nil
}

func Dynamic(ctx host.Context, in map[string]any) (map[string]any, error) {
	in["seen"] = true
	in["list"].([]any)[0] = "changed"
	return in, nil
}

func Handle(r host.Request) (host.Response, error) {
	return host.Response{Status: 201, Header: map[string]string{"X-Rule": "yes"}, Body: map[string]any{"id": r.Param("id"), "q": r.QueryValue("q"), "agent": r.HeaderValue("User-Agent"), "n": len(r.Body)}}, nil
}
`

func TestUnit(t *testing.T) {
	var engine script.Engine = New()
	unit, err := engine.Compile(t.Context(), fstest.MapFS{"rules/a.gods": {Data: []byte(unitSource)}}, "rules/a.gods", script.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer unit.Close()
	if got := strings.Join(unit.Exports(), " "); got != "Dynamic Execute Handle default" {
		t.Error(got)
	}
	var used []string
	host := script.HostFunc(func(_ context.Context, capability string, args []script.Value) (script.Value, error) {
		used = append(used, capability)
		switch capability {
		case "kv.incr":
			return script.Of(2), nil
		case "now":
			return script.Of(time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC).UnixMilli()), nil
		}
		return script.Value{}, nil
	})
	v, err := unit.Execute(t.Context(), script.Call{Args: []script.Value{script.JSON([]byte(`{"amount": 10, "tags": ["a"]}`))}, Host: host})
	if err != nil || v.String() != `{"at":"2024-05-06","group":"default","total":30}` {
		t.Errorf("%s %v", v, err)
	}
	if got := strings.Join(used, " "); got != "log.info kv.incr now" {
		t.Error(got)
	}
	for text, want := range map[string]string{
		`{"amount": -1}`:               "negative amount",
		`{"amount": "x"}`:              `input.amount: want float64, got a string`,
		`{"amount": 1, "tags": [1]}`:   `input.tags[0]: want string, got the number 1`,
		`[]`:                           `input: want rule.Req, got a list`,
		`{"amount": 1, "tags": ["a"]}`: "kv.incr: not available here",
	} {
		_, err := unit.Execute(t.Context(), script.Call{Args: []script.Value{script.JSON([]byte(text))}})
		if script.KindOf(err) != script.Failed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	in := map[string]any{"list": []any{"a"}, "deep": map[string]any{"x": 1.5}}
	v, err = unit.Execute(t.Context(), script.Call{Func: "Dynamic", Args: []script.Value{script.Of(in)}})
	if err != nil || v.String() != `{"deep":{"x":1.5},"list":["changed"],"seen":true}` || in["list"].([]any)[0] != "a" || in["seen"] != nil {
		t.Errorf("%s %v, input %v", v, err, in)
	}
	req := &script.Request{Method: "GET", Path: "/x", Params: map[string]string{"id": "7"}, Query: map[string][]string{"q": {"z"}}, Header: map[string][]string{"User-Agent": {"me"}}, Body: []byte("abc")}
	v, err = unit.Execute(t.Context(), script.Call{Func: "Handle", Args: []script.Value{script.RequestValue(req)}})
	r, ok := script.AsResponse(v)
	if err != nil || !ok || r.Status != 201 || r.Headers["x-rule"][0] != "yes" || r.Headers["content-type"][0] != "application/json" || string(r.Body) != `{"agent":"me","id":"7","n":3,"q":"z"}` {
		t.Errorf("%s %v", v, err)
	}
	if _, err := unit.Execute(t.Context(), script.Call{Func: "None"}); script.KindOf(err) != script.Refused {
		t.Error(err)
	}
}

// One program serves all goroutines.
func TestConcurrent(t *testing.T) {
	p, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte(routeRule)}})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := p.Func("Route")
	in := routeInput()
	before, _ := json.Marshal(in)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				v, err := f.Call(t.Context(), handler, nil, in)
				if err != nil || v.(map[string]any)["Total"] != 744.5 {
					t.Errorf("%v %v", v, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if after, _ := json.Marshal(in); string(after) != string(before) {
		t.Error("the input changed")
	}
}

func TestConstantDoesNotAllocate(t *testing.T) {
	p, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte(routeRule)}})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := p.Func("Const")
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { _, _ = f.Call(ctx, handler, nil) }); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
