package js

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
)

func TestResults(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"string", `"a\"\u00e9"`, `"a\"é"`}, {"empty string", `""`, `""`}, {"string that looks like JSON", `'{"a":1}'`, `"{\"a\":1}"`},
		{"object", `({b: 1, a: [1, null, "x"]})`, `{"b":1,"a":[1,null,"x"]}`}, {"undefined", "undefined", "null"}, {"null", "null", "null"},
		{"number", "1.5", "1.5"}, {"negative zero", "-0", "0"}, {"large number", "1e300", "1e+300"}, {"NaN", "NaN", "null"}, {"Infinity", "-Infinity", "null"},
		{"bool", "false", "false"}, {"date", "new Date(0)", `"1970-01-01T00:00:00.000Z"`}, {"toJSON undefined", "({toJSON() {}})", "null"},
		{"promise", "Promise.resolve({a: 1})", `{"a":1}`}, {"nested promise", "Promise.resolve(1).then(() => Promise.resolve(2))", "2"},
		{"response", `new Response("x", {status: 201, headers: {"Content-Type": "text/html", "set-cookie": ["a", "b"]}})`,
			`{"$theseus":"response","status":201,"headers":{"content-type":"text/html","set-cookie":["a","b"]},"body":"x"}`},
		{"Response.json", `Response.json({ok: true}, {status: 201})`, `{"$theseus":"response","status":201,"headers":{"content-type":"application/json"},"body":"{\"ok\":true}"}`},
		{"redirect", `Response.redirect("/login", 303)`, `{"$theseus":"response","status":303,"headers":{"location":"/login"},"body":null}`},
		{"next", `next({headers: {A: "b"}, locals: {sid: "1"}})`, `{"$theseus":"next","headers":{"a":"b"},"locals":{"sid":"1"}}`},
		{"bare next", `next()`, `{"$theseus":"next","headers":{},"locals":null}`},
		{"HttpError", `(() => { throw new HttpError(404, "no such product") })()`,
			`{"$theseus":"response","status":404,"error":"no such product","headers":{"content-type":"application/json"},"body":"{\"error\":\"no such product\"}"}`},
		{"async HttpError", `Promise.reject(new HttpError(409, "x"))`, `{"$theseus":"response","status":409,"error":"x","headers":{"content-type":"application/json"},"body":"{\"error\":\"x\"}"}`},
		{"lone surrogate", `"\ud800"`, `"` + "\ufffd" + `"`}, {"NUL", `"a\0b"`, `"a\u0000b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := result(t, single(t, "export default () => "+tt.body), nil); got != tt.want {
				t.Errorf("%s = %s, want %s", tt.body, got, tt.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name, source string
		kind         script.Kind
		want         string
	}{
		{"type error", "export default () => {\n  null.x;\n}", script.Failed, "a.js:2:7: TypeError: cannot read property 'x' of null"},
		{"own error", "class Gone extends Error { name = 'Gone' }\nconst f = () => { throw new Gone('x') };\nexport default () => f();", script.Failed, "a.js:2:"},
		{"plain error", "export default () => { throw new Error('no stock') }", script.Failed, "no stock"},
		{"string", "export default () => { throw 'oops' }", script.Failed, "threw oops"},
		{"object", "export default () => { throw {code: 7} }", script.Failed, `threw {"code":7}`},
		{"null", "export default () => { throw null }", script.Failed, "threw null"},
		{"undefined", "export default () => { throw undefined }", script.Failed, "threw undefined"},
		{"async", "export default async () => {\n await 1;\n throw new RangeError('late') }", script.Failed, "a.js:3:"},
		{"never", "export default () => new Promise(() => {})", script.Failed, "never settles"},
		{"circular", "export default () => { const a = {}; a.a = a; return a }", script.Failed, "circular"},
		{"bigint", "export default () => 1n", script.Failed, "bigint"},
		{"function", "export default () => () => 1", script.Failed, "function"},
		{"reserved", `export default () => ({$theseus: "response", status: 200})`, script.Failed, "reserved"},
		{"reserved by toJSON", `export default () => ({toJSON() { return {$theseus: "next"} }})`, script.Failed, "reserved"},
		{"throwing getter", "export default () => { throw Object.defineProperty(new Error(), 'message', {get() { throw 1 }}) }", script.Failed, "cannot be read"},
		{"response body", "export default () => new Response({a: 1})", script.Failed, "Response.json(data)"},
		{"response status", "export default () => new Response('', {status: 99})", script.Failed, "200 to 599"},
		{"header injection", `export default () => new Response("", {headers: {a: "x\r\nb: y"}})`, script.Failed, "control characters"},
		{"header name", `export default () => new Response("", {headers: {"a b": "x"}})`, script.Failed, "not a header name"},
		{"eval", "export default () => eval('1')", script.Failed, "eval is not available"},
		{"no host", "export default () => kv.get('a')", script.Denied, "kv.get is not available"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := single(t, tt.source)
			e := failure(t, u, nil)
			if e.Kind != tt.kind || !strings.Contains(e.Error(), tt.want) {
				t.Errorf("%s: %v, want %s: …%s…", e.Kind, e, tt.kind, tt.want)
			}
			if strings.Contains(e.Stack, "<eval>") {
				t.Errorf("stack shows the prelude: %s", e.Stack)
			}
			if e.Line > 0 && e.Frame == "" {
				t.Error("a position without a frame")
			}
		})
	}
}

func TestStackNamesAppFiles(t *testing.T) {
	u := compile(t, map[string]string{
		"a.js":     "import { f } from './lib/b.js';\nexport default () => f();",
		"lib/b.js": "const g = () => { throw new Error('deep') };\nexport const f = () => [1].map(() => g());",
	}, script.Limits{})
	e := failure(t, u, nil)
	if e.File != "lib/b.js" || e.Line != 1 || !strings.Contains(e.Stack, "at g (lib/b.js:1:") || !strings.Contains(e.Stack, "(a.js:2:") {
		t.Errorf("%v\n%s", e, e.Stack)
	}
	if !strings.Contains(e.Frame, "> 1 | const g") {
		t.Errorf("frame:\n%s", e.Frame)
	}
}

func testRequest() *script.Request {
	return &script.Request{Method: "POST", Path: "/p/é", Host: "h", Remote: "1.2.3.4", ID: "r1", Generation: 3,
		Params: map[string]string{"id": "7"}, Query: url.Values{"q": {"1", "2"}}, Header: http.Header{"X-A": {"1", "2"}, "Cookie": {"sid=s1; b=2"}},
		Body: []byte(`{"n":1}`), Locals: script.Of(map[string]any{"user": "u"})}
}

const readsAll = `export default (req) => [req.method, req.path, req.host, req.remote, req.id, req.generation, req.params.id, req.query.q, req.queryAll.q,
	req.headers["x-a"], req.cookies.sid, req.body, req.text() === req.body, req.json().n, req.locals.user, Object.isFrozen(req), Object.isFrozen(req.headers), Object.isFrozen(req.queryAll.q)]`

func TestRequest(t *testing.T) {
	const want = `["POST","/p/é","h","1.2.3.4","r1",3,"7","1",["1","2"],"1, 2","s1","{\"n\":1}",true,1,"u",true,true,true]`
	u := single(t, readsAll)
	if got := result(t, u, nil, script.RequestValue(testRequest())); got != want {
		t.Errorf("struct: %s, want %s", got, want)
	}
	text, err := script.RequestValue(testRequest()).Text()
	if err != nil {
		t.Fatal(err)
	}
	if got := result(t, u, nil, script.JSON(text)); got != want {
		t.Errorf("JSON: %s, want %s", got, want)
	}
	u = single(t, "export default (e, ctx) => [e.data, ctx.state.n, ctx.req.path, Object.isFrozen(ctx)]")
	ctx := script.Of(map[string]any{"req": script.RequestValue(testRequest()), "state": map[string]any{"n": 1}})
	if got := result(t, u, nil, script.Of(map[string]any{"data": "d"}), ctx); got != `["d",1,"/p/é",true]` {
		t.Errorf("context: %s", got)
	}
	u = single(t, "export default (req) => req.json()")
	v, _ := u.Execute(t.Context(), script.Call{Args: []script.Value{script.RequestValue(&script.Request{Body: []byte("{")})}})
	if r, ok := script.AsResponse(v); !ok || r.Status != 400 || !strings.Contains(r.Error, "not JSON") {
		t.Errorf("json() of a bad body: %v", v)
	}
}

// What a script does to its arguments throws, and is seen by no one.
func TestArgumentsAreReadOnly(t *testing.T) {
	for _, write := range []string{"req.path = 'x'", "req.headers.a = 1", "req.query.q = 1", "delete req.params.id", "req.queryAll.q.push(1)", "req.locals.user = 1", "data.a = 1", "data.list.push(1)", "data.list[0].x = 2"} {
		u := single(t, "export default (req, data) => { try { "+write+"; return 'written' } catch (e) { return [e.name, data.a, data.list.length] } }")
		data := map[string]any{"a": 5, "list": []any{map[string]any{"x": 1}}}
		if got := result(t, u, nil, script.RequestValue(testRequest()), script.Of(data)); got != `["TypeError",5,1]` {
			t.Errorf("%s: %s", write, got)
		}
	}
}

// A request kept by a script does not turn into the next one's.
func TestRequestEndsWithItsCall(t *testing.T) {
	u := single(t, "let kept; export default (req) => { if (kept) return [kept.id, (() => { try { return kept.path } catch (e) { return e.message } })()]; kept = req; return req.id }")
	result(t, u, nil, script.RequestValue(testRequest()))
	// The id was read while its call ran, the path was not.
	if got := result(t, u, nil, script.RequestValue(testRequest())); got != `["r1","/p/é"]` && !strings.Contains(got, "has ended") {
		t.Errorf("kept request: %s", got)
	}
	u = single(t, "let kept; export default (req) => { if (kept) return kept.path; kept = req; return 1 }")
	result(t, u, nil, script.RequestValue(testRequest()))
	if e := failure(t, u, nil, script.RequestValue(testRequest())); !strings.Contains(e.Message, "has ended") {
		t.Errorf("kept request: %v", e)
	}
}

func TestHostErrorsKeepTheirKind(t *testing.T) {
	denied := &script.Error{Kind: script.Denied, Message: "http.fetch: not permitted", Hint: "add it"}
	host := script.HostFunc(func(ctx context.Context, c string, args []script.Value) (script.Value, error) {
		return script.Value{}, denied
	})
	u := single(t, "export default () => {\n  http.fetch('https://x.example');\n}")
	e := failure(t, u, host)
	if e.Kind != script.Denied || !errors.Is(e, denied) || e.Hint != "add it" || e.Line != 2 {
		t.Errorf("uncaught: %+v", e)
	}
	u = single(t, "export default async () => { await 1; http.fetch('https://x.example') }")
	if e := failure(t, u, host); e.Kind != script.Denied || !errors.Is(e, denied) {
		t.Errorf("uncaught in async: %+v", e)
	}
	u = single(t, "export default () => { try { http.fetch('https://x.example') } catch (e) { return [e.name, e.kind, e.message, e instanceof Error] } }")
	if got := result(t, u, host); got != `["DeniedError","denied","http.fetch: not permitted",true]` {
		t.Errorf("caught: %s", got)
	}
	plain := script.HostFunc(func(context.Context, string, []script.Value) (script.Value, error) {
		return script.Value{}, errors.New("disk")
	})
	if e := failure(t, single(t, "export default () => kv.get('a')"), plain); e.Kind != script.Failed || e.Message != "disk" {
		t.Errorf("plain error: %+v", e)
	}
	// A panic of the host must not take the process down, nor reuse the machine.
	boom := script.HostFunc(func(context.Context, string, []script.Value) (script.Value, error) { panic("boom") })
	u = single(t, "export default () => kv.get('a')")
	if e := failure(t, u, boom); !strings.Contains(e.Message, "boom") {
		t.Errorf("panic: %v", e)
	}
	if got := result(t, u, memoryHost()); got != "null" {
		t.Errorf("after a panic: %s", got)
	}
}

// memoryHost has a kv and records the rest.
func memoryHost() script.HostFunc {
	var mu sync.Mutex
	data := map[string]string{}
	config := 0
	return func(ctx context.Context, c string, args []script.Value) (script.Value, error) {
		mu.Lock()
		defer mu.Unlock()
		key := ""
		if len(args) > 0 {
			key, _ = args[0].Tree().(string)
		}
		text := func(v script.Value) string { b, _ := v.Text(); return string(b) }
		switch c {
		case "kv.get":
			return script.JSON([]byte(data[key])), nil
		case "kv.set":
			data[key] = text(args[1])
		case "kv.cas":
			old := data[key]
			if old == "" {
				old = "null"
			}
			if old != text(args[1]) {
				return script.Of(false), nil
			}
			data[key] = text(args[2])
			return script.Of(true), nil
		case "config.version":
			return script.Of(fmt.Sprint(config)), nil
		case "config.get":
			return script.Of(map[string]any{"shop": map[string]any{"n": config}}), nil
		case "test.config":
			config++
		case "run":
			return script.JSON([]byte(`{"$theseus":"response","status":201,"headers":{"a":"b"},"body":"x"}`)), nil
		case "http.fetch":
			return script.Of(map[string]any{"status": 200, "headers": map[string]any{}, "body": `{"a":1}`}), nil
		case "now":
			return script.Of(int64(1234)), nil
		case "log.info", "log.error":
			data[c] = text(script.Of(args))
		case "test.log":
			return script.Of(data["log.info"]), nil
		}
		return script.Value{}, nil
	}
}

func TestCapabilities(t *testing.T) {
	tests := []struct{ body, want string }{
		{`kv.set("k", {a: 1}); return kv.get("k").a`, "1"},
		{`return [kv.update("n", (n) => (n ?? 0) + 1), kv.update("n", (n) => (n ?? 0) + 1)]`, "[1,2]"},
		{`return kv.update("o", (o) => { o ??= {}; o.a = 1; return o })`, `{"a":1}`},
		{`return config.shop.n`, "0"},
		{`try { config.shop.n = 2 } catch (e) { return [e.name, config.shop.n] }`, `["TypeError",0]`},
		{`return now()`, "1234"},
		{`const r = http.fetch("https://x.example"); return [r.ok, r.status, r.json().a, (await r).body.length]`, `[true,200,1,7]`},
		{`return run("handlers/x.js", 1)`, `{"$theseus":"response","status":201,"headers":{"a":"b"},"body":"x"}`},
		{`return [sleep(1), emit("t", 1), log.info("x"), console.log(1, {a: 1}, undefined)].length`, "4"},
		{`const a = {}; a.a = a; log.info("x", a); console.error(a, Symbol("s"), () => 1, new Error("e")); return 1`, "1"},
	}
	for _, tt := range tests {
		if got := result(t, single(t, "export default async () => { "+tt.body+" }"), memoryHost()); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.body, got, tt.want)
		}
	}
}

func TestConfigFollowsItsVersion(t *testing.T) {
	host := memoryHost()
	u := single(t, "export default () => config.shop.n")
	if got := result(t, u, host); got != "0" {
		t.Fatal(got)
	}
	_, _ = host(t.Context(), "test.config", nil)
	if got := result(t, u, host); got != "1" {
		t.Errorf("config after a change = %s, want 1", got)
	}
}

func TestLogArguments(t *testing.T) {
	host := memoryHost()
	for body, want := range map[string]string{
		`log.info("sold", {id: 7})`:                     `["sold",{"id":7}]`,
		`console.log("a", 1, {b: 2})`:                   `["a 1 {\"b\":2}"]`,
		`log.info("x".repeat(1e6)); log.info("y", "z")`: `["y z"]`,
	} {
		result(t, single(t, "export default () => { "+body+" }"), host)
		v, _ := host(t.Context(), "test.log", nil)
		if got := v.Tree().(string); got != want {
			t.Errorf("%s logged %s, want %s", body, got, want)
		}
	}
}

func TestConcurrentExecutions(t *testing.T) {
	u := single(t, "export default (n) => n * 2")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 50 {
				v, err := u.Execute(t.Context(), script.Call{Args: []script.Value{script.Of(i * j)}})
				if err != nil || fmt.Sprint(v.Tree()) != fmt.Sprint(i*j*2) {
					t.Errorf("%d: %v %v", i*j, v, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := u.engine.Machines(); n > int64(cap(u.pool.slots)) {
		t.Errorf("%d machines, want at most %d", n, cap(u.pool.slots))
	}
	u.Trim()
	if n := u.engine.Machines(); n != 0 {
		t.Errorf("%d machines after Trim", n)
	}
	if got := result(t, u, nil, script.Of(2)); got != "4" {
		t.Errorf("after Trim: %s", got)
	}
}

func TestWaitingForAMachine(t *testing.T) {
	u := single(t, "export default () => sleep(1)")
	entered, release := make(chan struct{}), make(chan struct{})
	host := script.HostFunc(func(ctx context.Context, c string, _ []script.Value) (script.Value, error) {
		entered <- struct{}{}
		<-release
		return script.Value{}, nil
	})
	var wg sync.WaitGroup
	for range cap(u.pool.slots) {
		wg.Go(func() {
			if _, err := u.Execute(t.Context(), script.Call{Host: host}); err != nil {
				t.Error(err)
			}
		})
	}
	for range cap(u.pool.slots) {
		<-entered
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := u.Execute(ctx, script.Call{}); script.KindOf(err) != script.Timeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with all machines busy: %v", err)
	}
	u.Close()
	close(release)
	wg.Wait()
	if _, err := u.Execute(t.Context(), script.Call{}); err == nil {
		t.Error("Execute after Close succeeded")
	}
	u.Close()
	eventually(t, "every machine is gone", func() bool { return u.engine.Machines() == 0 })
}
