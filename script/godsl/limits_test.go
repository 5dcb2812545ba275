package godsl

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// budget is what the attacks get; its time is far above what they need on a
// slow machine.
var budget = Limits{Limits: vm.Limits{Steps: 3_000_000, Time: time.Minute, Bytes: 16 << 20, Depth: 1000}, Output: 1 << 20}

// Every attack ends at its limit, with a place in the source, and leaves the
// process as it was.
func TestAttacks(t *testing.T) {
	tests := []struct {
		name, body string
		want       script.Kind
	}{
		{"endless loop", "for {}", script.Timeout},
		{"endless loop with work", "n := 0; for { n++ }", script.Timeout},
		{"loop over iterator", "for range func(yield func() bool) { for yield() {} } {}", script.Timeout},
		{"recursion", "var f func(int) int; f = func(n int) int { return f(n+1) + 1 }; f(0)", script.Depth},
		{"string doubling", `s := "0123456789abcdef"; for { s += s }`, script.Memory},
		{"string doubling by Sprintf", `s := "0123456789abcdef"; for { s = fmt.Sprintf("%s%s", s, s) }`, script.Memory},
		{"slice growth", "var xs []int; for { xs = append(xs, 1) }", script.Memory},
		{"slice doubling", "xs := []int{1}; for { xs = append(xs, xs...) }", script.Memory},
		{"map growth", "m := map[int]string{}; for i := 0; ; i++ { m[i] = \"x\" }", script.Memory},
		{"nested maps", "var x any; for { x = map[string]any{\"a\": x} }", script.Memory},
		{"make", "_ = make([]int, 1<<30)", script.Memory},
		{"make strings", "_ = make([]string, 1<<30)", script.Memory},
		{"make arrays", "_ = make([][1000]int, 1<<20)", script.Memory},
		{"repeat", `_ = strings.Repeat("abc", 1<<40)`, script.Memory},
		{"repeat of repeat", `s := "x"; for range 100 { s = strings.Repeat(s, 1000) }`, script.Memory},
		{"replace", `s := strings.Repeat("a", 1<<20); _ = strings.ReplaceAll(s, "a", s)`, script.Memory},
		{"replace the empty string", `s := strings.Repeat("a", 1<<20); _ = strings.ReplaceAll(s, "", s)`, script.Memory},
		{"join", `s := strings.Repeat("a", 1<<20); xs := make([]string, 1<<20); for i := range xs { xs[i] = s }; _ = strings.Join(xs, s)`, script.Memory},
		{"split", `_ = strings.Split(strings.Repeat("a", 1<<20), "")`, script.Memory},
		{"width", `s := ""; for range 1000 { s += "%999999d" }; _ = fmt.Sprintf(s, 1)`, script.Memory},
		{"width by star", `s := ""; for range 1000 { s += "%[1]*d" }; _ = fmt.Sprintf(s, 999999)`, script.Memory},
		{"precision", `s := ""; for range 1000 { s += "%.999999f" }; _ = fmt.Sprintf(s, 1.5)`, script.Memory},
		{"float precision", `for range 100 { _ = strconv.FormatFloat(1.5, 'f', 1<<20, 64) }`, script.Memory},
		{"pattern", `_ = regexp.MustCompile("((a{100}){100}){100}")`, script.Failed},
		{"patterns", `for i := range 1000000 { _ = regexp.MustCompile("(a{500}){2}" + strconv.Itoa(i)) }`, script.Memory},
		{"pattern matching", `re := regexp.MustCompile("(a*)*b"); s := strings.Repeat("a", 1<<10); for { re.MatchString(s) }`, script.Timeout},
		{"matches without end", `re := regexp.MustCompile("(?:.*x|)"); s := strings.Repeat("a", 1<<20); for { _ = re.FindAllString(s, -1) }`, script.Timeout},
		{"long sets", `s := strings.Repeat("a", 1<<20); _ = strings.Trim(s, strings.Repeat("ä", 1<<19)); _ = strings.IndexAny(s, strings.Repeat("ä", 1<<19))`, script.Failed},
		{"deep comparison", `type N struct{ v any }; var a, b any; for range 20000 { a, b = N{a}, N{b} }; _ = a == b; panic(a == b)`, script.Failed},
		{"sort", "xs := make([]int, 1<<20); for { sort.Ints(xs) }", script.Memory},
		{"sort that lies", "xs := make([]int, 1000); for { sort.Slice(xs, func(i, j int) bool { return true }) }", script.Timeout},
		{"cyclic value to text", "var x any; xs := []any{1}; x = xs; xs[0] = x; _ = fmt.Sprint(x)", script.Failed},
		{"errors without end", `err := errors.New("x"); for { err = fmt.Errorf("%w %w", err, err) }`, script.Memory},
		{"closures", "var fs []func() int; for i := 0; ; i++ { fs = append(fs, func() int { i++; return i }) }", script.Memory},
		{"json bomb", `s := strings.Repeat("[", 1<<17); var v any; if err := json.Unmarshal([]byte(s), &v); err != nil { panic(err) }`, script.Failed},
		{"panic", `panic("own words")`, script.Failed},
		{"index", "xs := []int{1}; i := 5; _ = xs[i]", script.Failed},
		{"nil map", "var m map[string]int; m[\"a\"] = 1", script.Failed},
		{"nil pointer", "var p *struct{ x int }; _ = p.x", script.Failed},
		{"division", "n := 0; _ = 1 / n", script.Failed},
		{"assertion", "var x any = 1; _ = x.(string)", script.Failed},
		{"nil function", "var f func(); f()", script.Failed},
		{"unhashable key", "m := map[any]int{}; m[[]int{}] = 1", script.Failed},
	}
	c := NewCompiler()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := "package rule\n\nimport (\n\t\"encoding/json\"\n\t\"errors\"\n\t\"fmt\"\n\t\"regexp\"\n\t\"sort\"\n\t\"strconv\"\n\t\"strings\"\n)\n\nvar _, _, _ = errors.New, fmt.Sprint, json.Valid\n"
			src = strings.Replace(src, "var _, _, _ = errors.New, fmt.Sprint, json.Valid\n",
				"func use() { _ = errors.New; _ = fmt.Sprint; _ = json.Valid; _ = regexp.QuoteMeta; _ = sort.Ints; _ = strconv.Itoa; _ = strings.ToUpper }\n", 1)
			src += "\nfunc Run() int {\n\t" + tt.body + "\n\treturn 1\n}\n"
			if strings.HasPrefix(tt.body, "for {") || strings.HasPrefix(tt.body, "panic") {
				src = strings.Replace(src, "\n\treturn 1", "", 1)
			}
			p, err := c.Compile([]File{{Name: "a.gods", Text: []byte(src)}})
			if err != nil {
				t.Fatalf("%v\n%s", err, src)
			}
			f, _ := p.Func("Run")
			_, err = f.Call(t.Context(), budget, nil)
			e, ok := errors.AsType[*script.Error](err)
			if !ok || e.Kind != tt.want {
				t.Fatalf("got %v, want kind %s", err, tt.want)
			}
		})
	}
}

// Sources that would keep the type checker busy, or eat memory, are refused
// before it sees them.
func TestBombs(t *testing.T) {
	constants := "package rule\nconst c0 = \"0123456789\"\n"
	structs := "package rule\ntype t0 struct{ a, b int }\n"
	aliases := "package rule\ntype t0 = struct{ a, b int }\n"
	for i := 1; i <= 60; i++ {
		constants += fmt.Sprintf("const c%d = c%d + c%d\n", i, i-1, i-1)
		structs += fmt.Sprintf("type t%d struct{ a, b t%d }\n", i, i-1)
		aliases += fmt.Sprintf("type t%d = struct{ a, b *t%d }\n", i, i-1)
	}
	tests := map[string]string{
		"constants":           constants + "func Run() int { return len(c60) }\n",
		"structs":             structs + "func Run(x t60) int { return 1 }\n",
		"aliases":             aliases + "func Run() int { var a, b t60; if a == b { return 1 }; return 2 }\n",
		"local constants":     "package rule\nfunc Run() int {\n" + strings.ReplaceAll(strings.TrimPrefix(constants, "package rule\n"), "const", "\tconst") + "return len(c60) }\n",
		"brackets":            "package rule\nfunc Run() int { return " + strings.Repeat("(", 100000) + "1" + strings.Repeat(")", 100000) + " }\n",
		"types":               "package rule\nvar x " + strings.Repeat("[]", 100000) + "int\n",
		"unary":               "package rule\nfunc Run() int { return " + strings.Repeat("-", 100000) + "1 }\n",
		"not":                 "package rule\nfunc Run() bool { return " + strings.Repeat("!", 100000) + "true }\n",
		"sum":                 "package rule\nfunc Run(x int) int { return x" + strings.Repeat("+x", 50000) + " }\n",
		"blocks":              "package rule\nfunc Run() { " + strings.Repeat("{", 50000) + strings.Repeat("}", 50000) + " }\n",
		"pointers":            "package rule\nvar x " + strings.Repeat("*", 100000) + "int\n",
		"functions":           "package rule\nvar x " + strings.Repeat("func() ", 20000) + "int\n",
		"else if":             "package rule\nfunc Run(x int) int { if x == 1 { return 1 }" + strings.Repeat(" else if x == 1 { return 1 }", 8000) + "; return 2 }\n",
		"shift":               "package rule\nconst x = 1 << 1000000000\nfunc Run() int { return x >> 1000000000 }\n",
		"exponent":            "package rule\nconst x = 1e999999999\nfunc Run() int { return int(x / x) }\n",
		"digits":              "package rule\nconst x = " + strings.Repeat("9", 100000) + "\nfunc Run() int { return x % 2 }\n",
		"array":               "package rule\nfunc Run() int { var x [1 << 40]int; return len(x) + x[1] }\n",
		"size":                "package rule\n// " + strings.Repeat("x", 1<<20) + "\nfunc Run() int { return 1 }\n",
		"recursive interface": "package rule\ntype T interface{ M(interface{ T }) }\nfunc Run(x int) int { var t T; _ = t; return 1 }\n",
		"generic recursion":   "package rule\nfunc f[T any](n int) int { return f[[]T](n) }\nfunc Run() int { return f[int](1) }\n",
		"init":                "package rule\nfunc init() {}\nfunc Run() int { return 1 }\n",
		"linkname":            "package rule\n//go:linkname x runtime.x\nfunc Run() int { return 1 }\n",
	}
	c := NewCompiler()
	for name, src := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := guarded(c, []File{{Name: "a.gods", Text: []byte(src)}})
			runtime.ReadMemStats(&after)
			if k := script.KindOf(err); k != script.Refused && k != script.Syntax {
				t.Fatalf("got %v", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestRefusedHasFrame(t *testing.T) {
	for src, want := range map[string]string{
		"go func() {}()":               "goroutines are not part of the language",
		"defer func() {}()":            "defer is not part of the language",
		"ch := make(chan int); _ = ch": "channels are not part of the language",
		"select {}":                    "channels are not part of the language",
		"goto x; x:":                   "goto is not part of the language",
		"x := 1i; _ = x":               "complex numbers are not part of the language",
		"recover()":                    "recover is not part of the language",
		"state = 2":                    "package-level variable state cannot be changed",
		"table[\"a\"] = 2":             "package-level variable table cannot be changed",
		"var s string = 1; _ = s":      "cannot use 1",
		"type G[T any] struct{ x T }":  "generic types are not part of the language",
		"x := 1":                       "declared and not used: x",
	} {
		_, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte("package rule\n\nvar state = 1\nvar table = map[string]int{}\n\nfunc Run() {\n\t" + src + "\n}\n")}})
		e, ok := errors.AsType[*script.Error](err)
		if !ok || e.Kind != script.Refused || !strings.Contains(e.Message, want) || e.Line < 6 || !strings.Contains(e.Frame, "^") {
			t.Errorf("%s: %v\n%+v", src, err, e)
		}
	}
}

func TestCallPath(t *testing.T) {
	_, err := run(t, "package rule\nfunc a(xs []int, i int) int {\n\treturn xs[i]\n}\nfunc b(i int) int {\n\treturn a([]int{1, 2}, i)\n}\nfunc Run() int {\n\treturn b(7)\n}\n")
	e, ok := errors.AsType[*script.Error](err)
	if !ok || e.Line != 3 || e.Message != "index out of range [7] with length 2" || e.Stack != "called at a.gods:6:9\ncalled at a.gods:9:9\n" {
		t.Errorf("%+v", e)
	}
}

// A context that ends stops the rule, and its cause is in the error.
func TestContext(t *testing.T) {
	p, err := NewCompiler().Compile([]File{{Name: "a.gods", Text: []byte("package rule\nfunc Run() { for {} }\n")}})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := p.Func("Run")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	_, err = f.Call(ctx, Limits{}, nil)
	if script.KindOf(err) != script.Timeout || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestOutput(t *testing.T) {
	c := NewCompiler()
	for src, want := range map[string]script.Kind{
		`func Run() string { s := "x"; for range 12 { s += s }; return s }`:                  script.Output,
		`func Run() any { xs := []any{}; for range 1000 { xs = append(xs, 1) }; return xs }`: script.Output,
		`func Run() any { xs := []any{1}; xs[0] = xs; return xs }`:                           script.Failed,
		`func Run() any { m := map[string]any{}; m["m"] = m; return m }`:                     script.Failed,
		`func Run() any { return func() {} }`:                                                script.Failed,
		`type N struct { Next *N }; func Run() *N { n := &N{}; n.Next = n; return n }`:       script.Failed,
	} {
		p, err := c.Compile([]File{{Name: "a.gods", Text: []byte("package rule\n" + strings.ReplaceAll(src, "; func", "\nfunc"))}})
		if err != nil {
			t.Fatal(err)
		}
		f, _ := p.Func("Run")
		if _, err := f.Call(t.Context(), Limits{Output: 2000}, nil); script.KindOf(err) != want {
			t.Errorf("%s: %v", src, err)
		}
	}
}
