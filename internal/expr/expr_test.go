package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
)

func testVars(t testing.TB) map[string]any {
	t.Helper()
	var vars map[string]any
	err := json.Unmarshal([]byte(`{
		"input": {"sku": "apple", "qty": 12, "tags": ["a", "b"], "not": 7, "flag": true, "nested": {"x": [1, [2, 3]]}},
		"payload": {"items": [1,2,3,4,5,6,7,8,9,10,11], "name": "Ünit", "price": 2.345},
		"n": 3, "zero": 0, "empty": "", "list": [3, 1, 2]
	}`), &vars)
	if err != nil {
		t.Fatal(err)
	}
	vars["int"] = 7
	vars["typed"] = map[string]int{"a": 1}
	return vars
}

func TestEval(t *testing.T) {
	for src, want := range map[string]any{
		`1`:                                    int64(1),
		`1.5e1`:                                15.0,
		`"a\nb"`:                               "a\nb",
		`null`:                                 nil,
		`input.qty`:                            12.0,
		`.input.qty`:                           12.0,
		`input["sku"]`:                         "apple",
		`input?.sku`:                           "apple",
		`input.not`:                            7.0,
		`input.tags[0]`:                        "a",
		`input.tags[-1]`:                       "b",
		`input.tags[9]`:                        nil,
		`input.nested.x[1][n - 2]`:             3.0,
		`input.a.b.c`:                          nil,
		`nothing.at.all`:                       nil,
		`input.qty % 5`:                        2.0,
		`7 / 2`:                                3.5,
		`7 % 4`:                                int64(3),
		`2 ** 10`:                              1024.0,
		`-input.qty + 1`:                       -11.0,
		`1 + 2 * 3`:                            int64(7),
		`(1 + 2) * 3`:                          int64(9),
		`9223372036854775807 + 1`:              9223372036854775808.0,
		`"a" + "b" + 'c'`:                      "abc",
		`int + 1`:                              int64(8),
		`int == 7.0`:                           true,
		`input.qty > 10 and input.flag`:        true,
		`input.qty > 10 && !input.flag`:        false,
		`not (input.qty > 10) or n == 3`:       true,
		`1 < n < 4`:                            true,
		`missing or true`:                      true,
		`missing == nil`:                       true,
		`missing ?? "none"`:                    "none",
		`(missing ?? 2) > 1`:                   true,
		`zero ?? 5`:                            0.0,
		`n == 3 ? "three" : "other"`:           "three",
		`missing ? 1 : n == 3 ? 2 : 3`:         int64(2),
		`"a" in input.tags`:                    true,
		`"z" not in input.tags`:                true,
		`"sku" in input`:                       true,
		`input.sku contains "ppl"`:             true,
		`input.sku startsWith "a"`:             true,
		`input.sku endsWith "x"`:               false,
		`input.sku matches "^a.*e$"`:           true,
		`input.sku not matches "^b"`:           true,
		`"b" > "a"`:                            true,
		`[1, "x", n,]`:                         []any{int64(1), "x", 3.0},
		`{a: 1, "b c": n, in: {x: 2}}`:         map[string]any{"a": int64(1), "b c": 3.0, "in": map[string]any{"x": int64(2)}},
		`{a: n == 3 ? 1 : 2}.a`:                int64(1),
		`[]`:                                   []any{},
		`{}`:                                   map[string]any{},
		`[1, 2] == [1.0, 2]`:                   true,
		`{a: 1} == {a: 2}`:                     false,
		`typed.a + 1`:                          2.0,
		`.payload.items | length > 10`:         true,
		`10 < .payload.items | length`:         true,
		`payload.items|length + list|length`:   int64(14),
		`payload.name | upper`:                 "ÜNIT",
		`payload.name | lower | length`:        int64(4),
		`"A | b" | lower`:                      "a | b",
		`"a.b" == 'a.b'`:                       true,
		`list | first`:                         3.0,
		`list | last`:                          2.0,
		`input | keys | first`:                 "flag",
		`missing | default("d")`:               "d",
		`missing | default([1]) | length()`:    int64(1),
		`empty | default("d")`:                 "",
		`input.tags | join("-")`:               "a-b",
		`input.tags | join`:                    "a,b",
		`input.tags | contains("a")`:           true,
		`input.sku | contains("pp") and n > 1`: true,
		`payload.price | round`:                2.0,
		`payload.price | round(2)`:             2.35,
		`-2.5 | round`:                         -3.0,
		`(n | string) + "x"`:                   "3x",
		`length("día")`:                        int64(3),
		`max(list) - min(1, 2)`:                2.0,
		`sum(list)`:                            6.0,
		`number("12") + int("3.9")`:            int64(15),
		`"a,b,c" | split(",") | last`:          "c",
		`replace("aXa", "X", "--")`:            "a--a",
		`json({b: [1, nil], a: "<"})`:          `{"a":"<","b":[1,null]}`,
		`type(list) + type(1) + type({})`:      "listnumberobject",
		`trim("  x ")`:                         "x",
		`abs(-2) + floor(1.7) + ceil(1.2)`:     5.0,
		`missing | upper`:                      nil,
		`contains(input.tags, "b")`:            true,
		`[n | string | length, 2][0]`:          int64(1),
		`values({b: 2, a: 1}) | first`:         int64(1),
	} {
		t.Run(src, func(t *testing.T) {
			p, err := Compile(src, Options{})
			if err != nil {
				t.Fatalf("Compile(%s) = %v", src, err)
			}
			got, err := p.Eval(testVars(t))
			if err != nil {
				t.Fatalf("Eval(%s) = %v", src, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("Eval(%s) = %#v, want %#v", src, got, want)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	deep := strings.Repeat("(", 40) + "1" + strings.Repeat(")", 40)
	for _, c := range []struct{ src, want, hint string }{
		{``, `1:1 the expression is empty`, ``},
		{`1 +`, `1:4 the expression ends where a value is expected`, ``},
		{`inptu.qty`, `1:1 unknown name "inptu"`, `did you mean input?`},
		{`1 + lenght(x)`, `1:5 unknown function "lenght"`, `did you mean length?`},
		{`x | uper`, `1:5 unknown function "uper"`, `did you mean upper?`},
		{`a.b(1)`, `1:4 only functions can be called`, ``},
		{`x = 1`, `1:3 unexpected '='`, `compare with ==`},
		{`x & y`, `1:3 unexpected '&'`, `write && or and`},
		{"`x`", "1:1 unexpected '`'", "write texts as \"…\" or '…'"},
		{`"abc`, `1:1 the text is not closed`, `add a closing "`},
		{`(1`, `1:1 "(" is not closed`, ``},
		{`1)`, `1:2 ")" closes nothing`, ``},
		{`[1)`, `1:3 ")" does not close the "[" before it`, ``},
		{`x y`, `1:3 expected an operator, got "y"`, ``},
		{`x ? 1`, `1:5 unexpected token EOF`, ``},
		{`a ?? b + 1`, `1:8 operator (+) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses`, ``},
		{`x matches "("`, "1:11 error parsing regexp: missing closing ): `(`", ``},
		{`x matches y`, `1:3 matches takes a literal pattern`, ``},
		{`upper(x, y)`, `1:1 upper takes 1 argument, got 2`, ``},
		{`x | round(1, 2)`, `1:5 round takes 1 to 2 arguments, got 3`, ``},
		{`let a = 1; a`, `1:7 unexpected '='`, `compare with ==`},
		{`filter(x, # > 1)`, `1:11 unexpected '#'`, ``},
		{`x |`, `1:3 expected the name of a filter behind "|"`, `write || for or`},
		{`x[1:2]`, `1:4 a part of a list is not part of the language`, ``},
		{`a, b`, `1:2 unexpected ","`, ``},
		{`1..5`, `1:2 expected a field name behind ".", got "."`, ``},
		{deep, `1:33 more than 32 nested brackets`, ``},
		{strings.Repeat("!", 40) + "x", `1:33 more than 32 signs before one value`, ``},
		{"x" + strings.Repeat("|upper", 40), `1:195 more than 32 filters on one value`, ``},
		{strings.Repeat("x+", 2100) + "x", `1:1001 the expression has more than 1000 parts`, ``},
		{strings.Repeat(" ", 5000) + "x", `1:1 the expression is longer than 4096 bytes`, ``},
		{`99999999999999999999`, `1:1 invalid integer literal: strconv.ParseInt: parsing "99999999999999999999": value out of range`, ``},
		{"x +\n  ö +\n  €", `3:3 unexpected '€'`, ``},
		{"\xff", `1:1 invalid UTF-8`, ``},
	} {
		_, err := Compile(c.src, Options{Vars: []string{"input", "x", "y", "a", "b", "ö"}})
		e, ok := errors.AsType[*script.Error](err)
		if !ok {
			t.Errorf("Compile(%.40q) = %v, want an error %q", c.src, err, c.want)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s", e.Line, e.Column, e.Message); got != c.want || e.Kind != script.Syntax {
			t.Errorf("Compile(%.40q) = %s %s, want %s", c.src, e.Kind, got, c.want)
		}
		if c.hint != "" && e.Hint != c.hint {
			t.Errorf("Compile(%.40q) hint = %q, want %q", c.src, e.Hint, c.hint)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	vars := testVars(t)
	vars["big"] = strings.Repeat("x", 5<<20)
	for _, c := range []struct{ src, want string }{
		{`input.a > 10`, `1:9 can't compare nil > number 10; a missing value is nil, default(x, 0) replaces it`},
		{`1 + input.a`, `1:3 can't compute number 1 + nil; a missing value is nil, default(x, 0) replaces it`},
		{`"a" + 1`, `1:5 can't add string "a" and number 1; string(x) makes a text, number(x) a number`},
		{`"a" < 1`, `1:5 can't compare string "a" < number 1`},
		{`n && true`, `1:3 expected true or false, got number 3`},
		{`!input.sku`, `1:1 expected true or false, got string "apple"`},
		{`input.sku.x`, `1:11 string has no field "x"`},
		{`list.x`, `1:6 a list has no field "x"`},
		{`list[0.5]`, `1:5 a list is indexed by a whole number, got number`},
		{`1 / zero`, `1:3 division by zero`},
		{`1 in 2`, `1:3 number 2 contains nothing; expected a text, a list or an object`},
		{`n | upper`, `1:5 upper: expected a text, got number 3`},
		{`big + big`, `1:5 the texts made are larger than 8388608 bytes`},
		{`replace("` + strings.Repeat("a", 2000) + `", "a", big)`, `1:1 replace: the texts made are larger than 8388608 bytes`},
		{`[big, big, big] | json`, `1:19 json: the texts made are larger than 8388608 bytes`},
		{`boom()`, `1:1 internal error: boom`},
	} {
		p, err := Compile(c.src, Options{Funcs: []Func{{Name: "boom", Call: func(map[string]any, []any) (any, error) { panic("boom") }}}})
		if err != nil {
			t.Errorf("Compile(%.40s) = %v", c.src, err)
			continue
		}
		_, err = p.Eval(vars)
		e, ok := errors.AsType[*script.Error](err)
		if !ok {
			t.Errorf("Eval(%.40s) = %v, want %q", c.src, err, c.want)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s", e.Line, e.Column, e.Message); got != c.want || e.Kind != script.Failed {
			t.Errorf("Eval(%.40s) = %s %s, want %s", c.src, e.Kind, got, c.want)
		}
	}
}

func TestRefs(t *testing.T) {
	p, err := Compile(`steps.price.total + steps["stock"].n + input.list[steps.i.v].x | default(config.a) + steps[input.k].z`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "[[steps price total] [steps stock n] [input list] [steps i v] [config a] [steps] [input k]]"
	if got := fmt.Sprint(p.Refs()); got != want {
		t.Errorf("Refs = %s, want %s", got, want)
	}
}

func TestCallerFunctions(t *testing.T) {
	opt := Options{Vars: []string{"method"}, Funcs: []Func{{Name: "header", Min: 1, Max: 1, Call: func(vars map[string]any, args []any) (any, error) {
		name, ok := args[0].(string)
		if !ok {
			return nil, errors.New("the name is a text")
		}
		return vars["request"].(map[string]string)[name], nil
	}}}}
	p, err := CompileCondition(`${{ header("X-Beta") == "1" and method == "GET" }}`, opt)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			beta := fmt.Sprint(i % 2)
			got, err := p.Test(map[string]any{"method": "GET", "request": map[string]string{"X-Beta": beta}})
			if err != nil || got != (beta == "1") {
				t.Errorf("Test with X-Beta %s = %v, %v", beta, got, err)
			}
		})
	}
	wg.Wait()
}

func TestCondition(t *testing.T) {
	for src, want := range map[string]string{
		`n == 3`:              "true",
		`${{ n == 3 }}`:       "true",
		` ${{ missing.x }} `:  "false",
		`n`:                   "1:1: the condition is not a condition: expected true or false, got number 3",
		`${{ n }} and more`:   "1:9: unexpected text behind the condition",
		`${{ n == 3`:          "1:11: ${{ is not closed",
		`${{ {"a": {}}.b }}`:  "false",
		`${{ "}}" == "}}" }}`: "true",
	} {
		var got string
		p, err := CompileCondition(src, Options{})
		if err == nil {
			var ok bool
			ok, err = p.Test(testVars(t))
			got = fmt.Sprint(ok)
		}
		if e, ok := errors.AsType[*script.Error](err); ok {
			got = fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message)
		}
		if got != want {
			t.Errorf("condition %q = %s, want %s", src, got, want)
		}
	}
}

func TestTemplate(t *testing.T) {
	for src, want := range map[string]any{
		`plain`:                "plain",
		``:                     "",
		`${{ input.qty }}`:     12.0,
		`${{ input.tags }}`:    []any{"a", "b"},
		`${{ missing }}`:       nil,
		`qty=${{ input.qty }}`: "qty=12",
		`${{ n }}${{ int }}`:   "37",
		`${{n}}/${{ payload.price }}/${{ nil }}/${{ true }}`: "3/2.345//true",
		`${{ input.tags }} ${{ {a: 1} }}`:                    `["a","b"] {"a":1}`,
		`$${{ n }}`:                                          "${{ n }}",
		`a $${{ ${{ n }} }}`:                                 "a ${{ 3 }}",
		`${ n } {{ n }} $n`:                                  "${ n } {{ n }} $n",
		`${{ {"a": {"b": 1}}.a.b }}`:                         int64(1),
		`${{ '}}' }}`:                                        "}}",
		` ${{ n }}`:                                          " 3",
		`${{ 1e21 }} ${{ 100000000000000000000.0 }}`:         "1e+21 100000000000000000000",
	} {
		tmpl, err := ParseTemplate(src, Options{})
		if err != nil {
			t.Errorf("ParseTemplate(%s) = %v", src, err)
			continue
		}
		got, err := tmpl.Eval(testVars(t))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("template %s = %#v, %v, want %#v", src, got, err, want)
		}
	}
	for src, want := range map[string]string{
		"x ${{ 1 + }}":                "1:11 the expression ends where a value is expected",
		"x\ny ${{ a\n+ lenn(b) }}":    `3:3 unknown function "lenn"`,
		"${{ }}":                      "1:4 the expression is empty",
		"${{ a":                       "1:6 ${{ is not closed",
		strings.Repeat("${{1}}", 101): "1:601 more than 100 expressions in one text",
	} {
		_, err := ParseTemplate(src, Options{})
		e, ok := errors.AsType[*script.Error](err)
		if !ok || fmt.Sprintf("%d:%d %s", e.Line, e.Column, e.Message) != want {
			t.Errorf("ParseTemplate(%.20s) = %v, want %s", src, err, want)
		}
	}
}

func TestTree(t *testing.T) {
	in := map[string]any{"a": "${{ n }}", "b": []any{"x${{ int }}", 5, nil, map[string]any{"c": "${{ input.tags[0] }}"}}, "d": "$${{", "e": []any{}, "${{ n }}": true}
	tree, err := CompileTree(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tree.Eval(testVars(t))
	want := map[string]any{"a": 3.0, "b": []any{"x7", 5, nil, map[string]any{"c": "a"}}, "d": "${{", "e": []any{}, "${{ n }}": true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Eval = %#v, %v, want %#v", got, err, want)
	}
	if got, want := fmt.Sprint(tree.Refs()), "[{[a] [n]} {[b 0] [int]} {[b 3 c] [input tags]}]"; got != want {
		t.Errorf("Refs = %s, want %s", got, want)
	}
	for _, c := range []struct {
		in   any
		want string
	}{
		{map[string]any{"b": []any{"", "${{ 1 + }}"}}, "b.1: the expression ends where a value is expected"},
		{[]any{"${{ n > missing }}"}, "0: can't compare number 3 > nil; a missing value is nil, default(x, 0) replaces it"},
	} {
		tree, err := CompileTree(c.in, Options{})
		if err == nil {
			_, err = tree.Eval(testVars(t))
		}
		if _, ok := errors.AsType[*PathError](err); !ok || err.Error() != c.want {
			t.Errorf("tree %v = %v, want %s", c.in, err, c.want)
		}
	}
	var deep any = "x"
	for range 1000 {
		deep = []any{deep}
	}
	if _, err := CompileTree(deep, Options{}); err == nil {
		t.Error("CompileTree takes a tree 1000 deep")
	}
}

func TestFits(t *testing.T) {
	var v any = "0123456789"
	for range 60 { // 2⁶⁰ texts, were it written
		v = []any{v, v}
	}
	if Fits(v, 1<<20) {
		t.Error("Fits takes a value of 2⁶⁰ texts")
	}
	if !Fits(map[string]any{"a": []any{1.0, "x", nil}}, 100) {
		t.Error("Fits refuses a small value")
	}
}

func FuzzExpr(f *testing.F) {
	for _, s := range []string{`a.b | length > 10`, `${{ a }}`, `{a: [1, -b ** 2]}["x"] ?? c ? 1 : 2`, `x not in [1,2] and "a" matches "^(a+)+$"`, `((((`, `"\u{1F600}\x41"`, `a?.b[c.d|keys|first]|default({})`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		vars := testVars(t)
		vars["a"] = vars["input"]
		check := func(err error) {
			if err == nil {
				return
			}
			e, ok := errors.AsType[*script.Error](err)
			if !ok {
				t.Fatalf("%T is not a *script.Error: %v", err, err)
			}
			if strings.HasPrefix(e.Message, "internal error") || strings.Contains(e.Message, "cannot be compiled") {
				t.Fatalf("panic: %v", err)
			}
			if e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("error without a place: %+v", e)
			}
		}
		p, err := Compile(src, Options{})
		check(err)
		if err == nil {
			v, err := p.Eval(vars)
			check(err)
			if w, err2 := p.Eval(vars); err == nil && (err2 != nil || !equal(v, w) && v == v && fmt.Sprint(v) != fmt.Sprint(w)) {
				t.Fatalf("second evaluation differs: %v %v, was %v", w, err2, v)
			}
		}
		tmpl, err := ParseTemplate(src, Options{})
		check(err)
		if err == nil {
			_, err = tmpl.Eval(vars)
			check(err)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	p, err := Compile(`input.qty > 10 and input.sku == "apple" or payload.items | length > 3`, Options{})
	if err != nil {
		b.Fatal(err)
	}
	vars := testVars(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Eval(vars); err != nil {
			b.Fatal(err)
		}
	}
}

// Sources at the limits neither crash nor take long; whether they are accepted
// is not the point.
func TestHostileSources(t *testing.T) {
	vars := testVars(t)
	start := time.Now()
	for _, part := range []string{"(", "[", "{", "-", "not ", "a[", "a.", "a?", "1?1:", "1**", "a??", "a|", "a|first|", "f(", "{a:", "a+", "a<", "!", "a and ", "'", "${{", "}}", "upper(", "[[],", "1e", "\\", "\x00"} {
		for _, suffix := range []string{"", "1", "1" + strings.Repeat(")", 30)} {
			src := strings.Repeat(part, maxSource/len(part)-20) + suffix
			if p, err := Compile(src, Options{}); err == nil {
				_, _ = p.Eval(vars)
			}
			if tmpl, err := ParseTemplate("${{"+src+"}}", Options{}); err == nil {
				_, _ = tmpl.Eval(vars)
			}
		}
		short := strings.Repeat(part, 450) + "1"
		if p, err := Compile(short, Options{}); err == nil {
			_, _ = p.Eval(vars)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
