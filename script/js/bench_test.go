package js

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/theseus-run/theseus/script"
)

func benchRequest() *script.Request {
	h := http.Header{}
	for _, kv := range [][2]string{{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"}, {"Accept", "text/html,application/json;q=0.9"},
		{"Accept-Encoding", "gzip, br"}, {"Accept-Language", "en"}, {"Cookie", "sid=0123456789abcdef; theme=dark"}, {"Host", "localhost:8080"}} {
		h.Set(kv[0], kv[1])
	}
	return &script.Request{Method: "GET", Path: "/products/apple", Host: "localhost:8080", Remote: "127.0.0.1", ID: "r-1", Generation: 7,
		Params: map[string]string{"id": "apple"}, Query: url.Values{"qty": {"10"}}, Header: h}
}

func benchmark(b *testing.B, source string, host script.Host) {
	u := single(b, source)
	r := benchRequest()
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := u.Execute(background, script.Call{Args: []script.Value{script.RequestValue(r)}, Host: host}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNoop(b *testing.B) { benchmark(b, `export default (req) => "ok"`, nil) }

func BenchmarkObject(b *testing.B) {
	benchmark(b, `export default () => ({ id: 1, name: "apple" })`, nil)
}

func BenchmarkReadReq(b *testing.B) {
	benchmark(b, `export default (req) => ({ id: req.params.id, qty: Number(req.query.qty ?? 1) })`, nil)
}

func BenchmarkReadHeaders(b *testing.B) {
	benchmark(b, `export default (req) => req.cookies.sid + req.headers["accept-language"]`, nil)
}

func BenchmarkResponse(b *testing.B) {
	benchmark(b, `export default (req) => Response.json({ ok: true }, { status: 201, headers: { location: "/x" } })`, nil)
}

func BenchmarkAsync(b *testing.B) { benchmark(b, `export default async (req) => "ok"`, nil) }

func BenchmarkHostCall(b *testing.B) {
	benchmark(b, `export default (req) => kv.get("a")`, memoryHost())
}

func BenchmarkNoopParallel(b *testing.B) {
	u := single(b, `export default (req) => "ok"`)
	r := benchRequest()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := u.Execute(background, script.Call{Args: []script.Value{script.RequestValue(r)}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMachine is what one more VM of a unit costs.
func BenchmarkMachine(b *testing.B) {
	u := single(b, `export default (req) => "ok"`)
	for b.Loop() {
		u.Trim()
		if _, err := u.Execute(background, script.Call{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	e := New()
	files := tree(map[string]string{"a.js": `import { f } from "./b.js"; export default (req) => f(req)`, "b.js": "export const f = () => 1"})
	for b.Loop() {
		u, err := e.Compile(background, files, "a.js", script.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		u.Close()
	}
}
