package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A unitFunc stands for a unit that a step runs.
type unitFunc func(ctx context.Context, arg map[string]any) (any, error)

// hostOf is a host with units by name, and these fixed: config.get, now.
func hostOf(units map[string]unitFunc) script.Host {
	return script.HostFunc(func(ctx context.Context, capability string, args []script.Value) (script.Value, error) {
		switch capability {
		case "config.get":
			return script.JSON([]byte(`{"pay":{"url":"https://pay.example.com/charge"}}`)), nil
		case "now":
			return script.Of(time.Now().UnixMilli()), nil
		case "http.fetch":
			var opt map[string]any
			if err := args[1].Decode(&opt); err != nil {
				return script.Value{}, err
			}
			opt["url"] = args[0].Tree()
			return call(ctx, units["http"], opt)
		case "run":
			var arg map[string]any
			if err := args[1].Decode(&arg); err != nil {
				return script.Value{}, err
			}
			name, _ := args[0].Tree().(string)
			f, ok := units[name]
			if !ok {
				return script.Value{}, &script.Error{Kind: script.Refused, Message: "no unit " + name}
			}
			return call(ctx, f, arg)
		}
		return script.Value{}, &script.Error{Kind: script.Denied, Message: capability + " is not granted"}
	})
}

func call(ctx context.Context, f unitFunc, arg map[string]any) (script.Value, error) {
	v, err := f(ctx, arg)
	if err != nil {
		return script.Value{}, err
	}
	text, err := json.Marshal(v)
	return script.JSON(text), err
}

// echo returns its argument; sleep waits first.
func echo(_ context.Context, arg map[string]any) (any, error) { return arg, nil }

func sleep(d time.Duration) unitFunc {
	return func(ctx context.Context, arg map[string]any) (any, error) {
		select {
		case <-time.After(d):
			return arg, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func fails(message string) unitFunc {
	return func(context.Context, map[string]any) (any, error) { return nil, errors.New(message) }
}

// run executes a workflow and renders its output, or its error as "kind: error".
func run(t testing.TB, u *Unit, input string, host script.Host) string {
	t.Helper()
	v, err := u.Execute(t.Context(), script.Call{Args: []script.Value{script.JSON([]byte(input))}, Host: host})
	return render(v, err)
}

func render(v script.Value, err error) string {
	if err != nil {
		return fmt.Sprintf("%s: %v", script.KindOf(err), err)
	}
	text, err := v.Text()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// recorder is an Observer that writes a line per change.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Step(name, status string, attempt int, err error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf("%s %s %d %v", name, status, attempt, took)
	if err != nil {
		line += " " + err.Error()
	}
	r.lines = append(r.lines, line)
}

const order = `
name: order
version: 3
input: { sku: string, qty: int }
steps:
  price:  { run: handlers/lib/price.js, with: { id: "${{ input.sku }}", qty: "${{ input.qty }}" } }
  stock:  { run: jobs/lib/reserve.js, with: { sku: "${{ input.sku }}" }, retry: { max: 3, backoff: 200ms } }
  charge: { needs: [price, stock], http: { post: "${{ config.pay.url }}", json: { amount: "${{ steps.price.total }}" } }, timeout: 5s }
  mail:   { needs: [charge], if: "${{ steps.charge.ok }}", run: handlers/lib/mail.js }
output: { total: "${{ steps.price.total }}", text: "${{ input.qty }} × ${{ input.sku }}", paid: "${{ steps.charge.json.id }}" }
on_failure: { run: handlers/lib/release.js }
`

func TestOrder(t *testing.T) {
	u := mustCompile(t, order)
	var fetched, released map[string]any
	pay := 200
	units := map[string]unitFunc{
		"handlers/lib/price.js": func(_ context.Context, arg map[string]any) (any, error) {
			return map[string]any{"total": arg["qty"].(float64) * 9}, nil
		},
		"jobs/lib/reserve.js":  echo,
		"handlers/lib/mail.js": echo,
		"handlers/lib/release.js": func(_ context.Context, arg map[string]any) (any, error) {
			released = arg
			return nil, nil
		},
		"http": func(_ context.Context, arg map[string]any) (any, error) {
			fetched = arg
			return map[string]any{"status": pay, "headers": map[string]any{"content-type": "application/json; charset=utf-8"}, "body": `{"id":"p1"}`}, nil
		},
	}
	if got, want := run(t, u, `{"sku":"apple","qty":3,"more":1}`, hostOf(units)), `{"paid":"p1","text":"3 × apple","total":27}`; got != want {
		t.Errorf("run = %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(fetched), `map[body:{"amount":27} headers:map[content-type:application/json] method:POST url:https://pay.example.com/charge]`; got != want {
		t.Errorf("fetched %s, want %s", got, want)
	}
	if released != nil {
		t.Errorf("on_failure ran after a run that went well: %v", released)
	}

	pay = 503
	got := run(t, u, `{"sku":"apple","qty":3}`, hostOf(units))
	if want := `error: workflows/w.yaml:8:3: step charge: POST answered 503: {"id":"p1"}`; got != want {
		t.Errorf("run = %s, want %s", got, want)
	}
	about, _ := released["error"].(map[string]any)
	if about["step"] != "charge" || about["message"] != `step charge: POST answered 503: {"id":"p1"}` || about["kind"] != "error" {
		t.Errorf("on_failure got error %v", about)
	}
	if got, want := fmt.Sprint(released["steps"], released["input"]), "map[charge:<nil> mail:<nil> price:map[total:27] stock:map[sku:apple]] map[qty:3 sku:apple]"; got != want {
		t.Errorf("on_failure got %s, want %s", got, want)
	}
	if u.Name() != "workflows/w.yaml" || u.Title() != "order" || !slices.Equal(u.Exports(), []string{"default"}) || !slices.Equal(u.Files(), []string{"workflows/w.yaml"}) {
		t.Errorf("unit %s %s %v %v", u.Name(), u.Title(), u.Exports(), u.Files())
	}
	if got, want := fmt.Sprint(u.Refs()), "[{handlers/lib/price.js workflows/w.yaml 6 18} {jobs/lib/reserve.js workflows/w.yaml 7 18} {handlers/lib/mail.js workflows/w.yaml 9 65} {handlers/lib/release.js workflows/w.yaml 11 20}]"; got != want {
		t.Errorf("Refs = %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%v", u.Graph()), "[{price [] run handlers/lib/price.js} {stock [] run jobs/lib/reserve.js} {charge [price stock] http POST ${{ config.pay.url }}} {mail [charge] run handlers/lib/mail.js}]"; got != want {
		t.Errorf("Graph = %s, want %s", got, want)
	}
}

func TestInput(t *testing.T) {
	u := mustCompile(t, `
input: { s: string, i: int, n: number?, b: bool?, o: object?, l: "list ?", a: any? }
steps: { x: { run: echo, with: "${{ input }}" } }
output: "${{ steps.x }}"
`)
	host := hostOf(map[string]unitFunc{"echo": echo})
	for in, want := range map[string]string{
		`{"s":"x","i":1}`: `{"a":null,"b":null,"i":1,"l":null,"n":null,"o":null,"s":"x"}`,
		`{"s":"x","i":1,"n":1.5,"b":true,"o":{},"l":[],"a":[1],"z":1}`: `{"a":[1],"b":true,"i":1,"l":[],"n":1.5,"o":{},"s":"x"}`,
		`{"s":"x","i":"1"}`:                  `refused: workflows/w.yaml: input.i: want int, got string`,
		`{"s":1,"i":1.5}`:                    `refused: workflows/w.yaml: input.s: want string, got number; input.i: want int, got number 1.5`,
		`{"s":null,"i":2,"l":{}}`:            `refused: workflows/w.yaml: input.s: want string, got null; input.l: want list, got object`,
		`null`:                               `refused: workflows/w.yaml: input.s: want string, got nothing; input.i: want int, got nothing`,
		`[1]`:                                `refused: workflows/w.yaml: input: want object, got list`,
		`{"s":"x","i":12345678901234567890}`: `refused: workflows/w.yaml: input.i: want int, got number`,
	} {
		if got := run(t, u, in, host); got != want {
			t.Errorf("input %s = %s, want %s", in, got, want)
		}
	}
	free := mustCompile(t, "steps: { x: { run: echo, with: { v: \"${{ input.a.b }}\" } } }\noutput: \"${{ steps.x.v }}\"\n")
	for in, want := range map[string]string{`{"a":{"b":[1]}}`: `[1]`, `null`: `null`, `{}`: `null`} {
		if got := run(t, free, in, host); got != want {
			t.Errorf("free input %s = %s, want %s", in, got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	u := mustCompile(t, `
steps:
  bad:      { run: bad }
  good:     { run: echo, with: { v: 1 } }
  after:    { run: echo, needs: bad }
  cleanup:  { run: echo, needs: [bad], if: always() }
  rescue:   { run: echo, needs: [good, after], if: failure() }
  calm:     { run: echo, needs: [good], if: failure() }
  fine:     { run: echo, needs: [good], if: success() and steps.good.v == 1 }
  no:       { run: echo, needs: [good], if: "steps.good.v > 1" }
  afterno:  { run: echo, needs: [no] }
  anyway:   { run: echo, depends_on: [no], if: "${{ always() and steps.no == nil }}" }
  last:     { run: echo, needs: [cleanup] }
  literal:  { run: echo, if: false }
`)
	rec := &recorder{}
	_, err := u.Execute(WithObserver(t.Context(), rec), script.Call{Host: hostOf(map[string]unitFunc{"bad": fails("boom"), "echo": echo})})
	if got, want := render(script.Value{}, err), "error: workflows/w.yaml:3:3: step bad: boom"; got != want {
		t.Errorf("error = %s, want %s", got, want)
	}
	var got []string
	for _, l := range rec.lines {
		if f := strings.Fields(l); f[1] != Running {
			got = append(got, f[0]+" "+f[1])
		}
	}
	slices.Sort(got)
	want := []string{"after skipped", "afterno skipped", "anyway ok", "bad failed", "calm skipped", "cleanup ok", "fine ok", "good ok", "last ok", "literal skipped", "no skipped", "rescue ok"}
	if !slices.Equal(got, want) {
		t.Errorf("steps = %v, want %v", got, want)
	}
}

func TestResponses(t *testing.T) {
	u := mustCompile(t, "steps: { a: { run: h } }\noutput: \"${{ steps.a }}\"\n")
	for text, want := range map[string]string{
		`{"$theseus":"response","status":201,"headers":{},"body":"{\"x\":1}"}`:                                                 `{"x":1}`,
		`{"$theseus":"response","status":200,"headers":{},"body":"hi"}`:                                                        `"hi"`,
		`{"$theseus":"response","status":204,"headers":{},"body":null}`:                                                        `null`,
		`{"$theseus":"response","status":404,"headers":{},"body":"{\"error\":\"no such product\"}","error":"no such product"}`: `error: workflows/w.yaml:1:10: step a: answered 404: no such product`,
		`{"$theseus":"response","status":500,"headers":{},"body":"oh"}`:                                                        `error: workflows/w.yaml:1:10: step a: answered 500: oh`,
		`{"b":1,"a":2}`: `{"a":2,"b":1}`,
	} {
		host := script.HostFunc(func(context.Context, string, []script.Value) (script.Value, error) {
			return script.JSON([]byte(text)), nil
		})
		if got := run(t, u, "null", host); got != want {
			t.Errorf("result %s = %s, want %s", text, got, want)
		}
	}
}

func TestHTTP(t *testing.T) {
	u := mustCompile(t, `
steps:
  get:
    http:
      get: "https://api.example.com/items?a=1"
      query: { q: "${{ input.q }}", n: [1, 2], none: null }
      headers: { x-id: "${{ run.id }}", accept: text/plain }
      accept: [404]
  put: { http: { put: "${{ input.url }}", body: "n=${{ input.n }}" } }
output: { get: "${{ [steps.get.status, steps.get.ok, steps.get.body, steps.get.json] }}", put: "${{ steps.put.ok }}" }
`)
	var mu sync.Mutex
	seen := map[string]string{}
	host := hostOf(map[string]unitFunc{"http": func(_ context.Context, arg map[string]any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		text, err := json.Marshal(arg)
		seen[arg["method"].(string)] = string(text)
		status := 200
		if arg["method"] == "GET" {
			status = 404
		}
		return map[string]any{"status": status, "headers": map[string]any{}, "body": "none"}, err
	}})
	v, err := u.Execute(WithRunID(t.Context(), "r7"), script.Call{Host: host, Args: []script.Value{script.JSON([]byte(`{"q":"a&b","n":5,"url":"http://put.example.com/"}`))}})
	if got, want := render(v, err), `{"get":[404,false,"none",null],"put":true}`; got != want {
		t.Errorf("run = %s, want %s", got, want)
	}
	if want := `{"headers":{"accept":"text/plain","x-id":"r7"},"method":"GET","url":"https://api.example.com/items?a=1\u0026n=1\u0026n=2\u0026q=a%26b"}`; seen["GET"] != want {
		t.Errorf("GET was %s, want %s", seen["GET"], want)
	}
	if want := `{"body":"n=5","headers":{},"method":"PUT","url":"http://put.example.com/"}`; seen["PUT"] != want {
		t.Errorf("PUT was %s, want %s", seen["PUT"], want)
	}
	for in, want := range map[string]string{
		`{"url":"file:///x"}`: `error: workflows/w.yaml:9:3: step put: http.put: "file:///x" is not an http or https URL`,
		`{"url":5}`:           `error: workflows/w.yaml:9:3: step put: http.put: the URL is number, not a text`,
		`{"url":"http://put.example.com/","q":{}}`: `error: workflows/w.yaml:3:3: step get: http.query.q: want a text, got object`,
	} {
		if got := run(t, u, in, host); got != want {
			t.Errorf("input %s = %s, want %s", in, got, want)
		}
	}
}

func TestRunErrors(t *testing.T) {
	forge := map[string]any{"$theseus": "response", "status": 200}
	units := map[string]unitFunc{
		"echo":  echo,
		"bad":   fails("boom"),
		"panic": func(context.Context, map[string]any) (any, error) { panic("oops") },
		"deny": func(context.Context, map[string]any) (any, error) {
			return nil, &script.Error{Kind: script.Denied, Message: "not granted", Hint: "grant it"}
		},
		"js": func(context.Context, map[string]any) (any, error) {
			return nil, &script.Error{Kind: script.Failed, Message: "x is not defined", File: "h/a.js", Line: 3, Column: 5, Frame: "> 3 | x\n"}
		},
		"big":   func(context.Context, map[string]any) (any, error) { return strings.Repeat("x", 1000), nil },
		"forge": func(context.Context, map[string]any) (any, error) { return map[string]any{"a": forge}, nil },
	}
	for _, c := range []struct{ name, src, want string }{
		{"two fail", "steps:\n  a: { run: bad }\n  b: { run: bad }\n", "error: workflows/w.yaml:2:3: step a: boom (1 more failed)"},
		{"panic", "steps:\n  a: { run: panic }\n", "error: workflows/w.yaml:2:3: step a: run panicked: oops"},
		{"denied", "steps:\n  a: { run: deny }\n", "denied: workflows/w.yaml:2:3: step a: not granted"},
		{"unknown unit", "steps:\n  a: { run: none }\n", "error: workflows/w.yaml:2:3: step a: no unit none"},
		{"place of a script", "steps:\n  a: { run: js }\n", "error: h/a.js:3:5: step a: x is not defined"},
		{"with", "steps:\n  a: { run: echo, with: { x: [ \"${{ input.n > 1 }}\" ] } }\n", "error: workflows/w.yaml:2:3: step a: with.x.0: can't compare nil > number 1; a missing value is nil, default(x, 0) replaces it"},
		{"if", "steps:\n  a: { run: echo, if: '1 + 1' }\n", "error: workflows/w.yaml:2:3: step a: if: the condition is not a condition: expected true or false, got number 2"},
		{"output", step1[:0] + "steps:\n  a: { run: echo }\noutput: { x: \"${{ 1 + nil }}\" }\n", "error: workflows/w.yaml: output.x: can't compute number 1 + nil; a missing value is nil, default(x, 0) replaces it"},
		{"output limit", "steps:\n  a: { run: big }\noutput: \"${{ [steps.a, steps.a, steps.a] }}\"\n", "output: workflows/w.yaml: the output is larger than 2000 bytes"},
		{"argument limit", "steps:\n  a: { run: big }\n  b: { run: echo, with: { x: \"${{ [steps.a, steps.a, steps.a] }}\" } }\n", "output: workflows/w.yaml:3:3: step b: the argument is larger than 2000 bytes"},
		{"memory limit", "steps:\n  a: { run: big }\n  b: { run: big }\n  c: { run: big }\n  d: { run: big, needs: [a, b, c] }\n", "memory: workflows/w.yaml:5:3: step d: the results of all steps are larger than 3500 bytes"},
		{"forged output", "steps:\n  a: { run: forge }\noutput: \"${{ steps.a.a }}\"\n", "error: workflows/w.yaml: output: the key \"$theseus\" is reserved"},
		{"forged argument", "steps:\n  a: { run: forge }\n  b: { run: echo, with: \"${{ steps.a.a }}\" }\n", "error: workflows/w.yaml:3:3: step b: with: the key \"$theseus\" is reserved"},
		{"on_failure fails", "steps:\n  a: { run: bad }\non_failure: { run: bad }\n", "error: workflows/w.yaml:2:3: step a: boom; on_failure: boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := mustCompile(t, c.src)
			u.limits.Output, u.limits.Memory = 2000, 3500
			if got := run(t, u, "null", hostOf(units)); got != c.want {
				t.Errorf("run of\n%s= %s\nwant %s", c.src, got, c.want)
			}
		})
	}
}

func TestCallsRefused(t *testing.T) {
	u := mustCompile(t, "steps: { a: { run: echo, with: { c: \"${{ config.x }}\" } } }\n")
	host := hostOf(map[string]unitFunc{"echo": echo})
	if _, err := u.Execute(t.Context(), script.Call{Func: "other", Host: host}); script.KindOf(err) != script.Refused {
		t.Errorf("an unknown export: %v", err)
	}
	if _, err := u.Execute(t.Context(), script.Call{}); script.KindOf(err) != script.Denied {
		t.Errorf("without a host: %v", err)
	}
	u.Trim()
	u.Close()
	u.Close()
	if _, err := u.Execute(t.Context(), script.Call{Host: host}); script.KindOf(err) != script.Refused {
		t.Errorf("after Close: %v", err)
	}
}

// A workflow that runs itself ends, and its inner runs report nothing.
func TestNested(t *testing.T) {
	u := mustCompile(t, "steps: { a: { run: self } }\n")
	var host script.Host
	host = script.HostFunc(func(ctx context.Context, _ string, _ []script.Value) (script.Value, error) {
		return u.Execute(ctx, script.Call{Host: host})
	})
	rec := &recorder{}
	_, err := u.Execute(WithObserver(t.Context(), rec), script.Call{Host: host})
	if script.KindOf(err) != script.Depth || !strings.Contains(err.Error(), "more than 32 workflows run each other") {
		t.Errorf("endless nesting: %v", err)
	}
	if len(rec.lines) != 2 {
		t.Errorf("observed %q, want the outer step only", rec.lines)
	}
}

// The same run gives the same bytes, whatever order its steps end in.
func TestDeterministic(t *testing.T) {
	var b strings.Builder
	b.WriteString("steps:\n")
	for i := range 30 {
		fmt.Fprintf(&b, "  s%d: { run: echo, with: { n: %d, of: \"${{ input }}\" } }\n", i, i)
	}
	b.WriteString("  sum: { run: echo, with: { a: \"${{ steps.s3.n + steps.s7.n }}\" } }\n  bad: { run: bad }\n  worse: { run: bad }\n")
	text := b.String()
	u, ok := mustCompile(t, text), mustCompile(t, text[:strings.Index(text, "  bad:")])
	host := hostOf(map[string]unitFunc{"echo": echo, "bad": fails("boom")})
	failed, fine := run(t, u, `{"z":1,"a":2}`, host), run(t, ok, `{"z":1,"a":2}`, host)
	if !strings.Contains(failed, "step bad: boom (1 more failed)") || !strings.Contains(fine, `"sum":{"a":10}`) {
		t.Fatalf("runs: %s, %s", failed, fine)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got := run(t, u, `{"a":2,"z":1}`, host); got != failed {
					t.Errorf("run = %s, was %s", got, failed)
				}
				if got := run(t, ok, `{"a":2,"z":1}`, host); got != fine {
					t.Errorf("run = %s, was %s", got, fine)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRun(b *testing.B) {
	u := mustCompile(b, order)
	host := hostOf(map[string]unitFunc{
		"handlers/lib/price.js": echo, "jobs/lib/reserve.js": echo, "handlers/lib/mail.js": echo,
		"http": func(context.Context, map[string]any) (any, error) { return map[string]any{"status": 200}, nil },
	})
	b.ReportAllocs()
	for b.Loop() {
		if got := run(b, u, `{"sku":"apple","qty":3}`, host); strings.HasPrefix(got, "error") {
			b.Fatal(got)
		}
	}
}

// The example in the documentation compiles.
func TestDocumentedExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/app.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "## workflows/NAME.yaml\n\n```yaml\n")
	src, _, closed := strings.Cut(after, "```")
	if !ok || !closed {
		t.Fatal("docs/app.md has no example of a workflow")
	}
	u := mustCompile(t, src)
	if got, want := fmt.Sprint(u.Graph()), "[{price [] run handlers/lib/price.js} {stock [] run jobs/lib/reserve.js} {charge [price stock] http POST ${{ config.pay.url }}} {mail [charge] run handlers/lib/mail.js}]"; got != want {
		t.Errorf("Graph = %s, want %s", got, want)
	}
}

func TestNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustCompile(t, `
steps:
  a: { run: s, with: { at: "${{ now }}" } }
  b: { run: s, needs: a, with: { at: "${{ now }}" } }
output: "${{ [steps.b.at - steps.a.at, now - steps.a.at, run.workflow, type(run.id)] }}"
`)
		got := run(t, u, "null", hostOf(map[string]unitFunc{"s": sleep(1500 * time.Millisecond)}))
		if want := `[1500,3000,"w","string"]`; got != want {
			t.Errorf("run = %s, want %s", got, want)
		}
	})
}
