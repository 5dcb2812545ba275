package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file below testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", name, got, want)
	}
}

func lookup(name string) (string, bool) {
	v, ok := map[string]string{"MEM": "secret-elephants", "PORT": "9000", "APP": "shop"}[name]
	return v, ok
}

// Every file of testdata/bad is refused with the text next to it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(File, bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")), lookup)
			if err == nil || m != nil {
				t.Fatalf("Parse = %+v, %v", m, err)
			}
			var b bytes.Buffer
			for _, e := range yamldoc.Flatten(File, err) {
				if e.Kind != script.Syntax && e.Kind != script.Refused {
					t.Errorf("kind %q", e.Kind)
				}
				fmt.Fprintf(&b, "%v\n%s", e, e.Frame)
				if e.Hint != "" {
					fmt.Fprintf(&b, "hint: %s\n", e.Hint)
				}
				b.WriteByte('\n')
			}
			if strings.Contains(b.String(), "secret") {
				t.Error("the message tells what a reference stands for")
			}
			golden(t, "bad/"+name+".golden", b.Bytes())
		})
	}
}

const full = `app: ${APP}
api: 1
listen: 127.0.0.1:${PORT:-8080}
admin: unix:/run/admin.sock
routes:
  GET /products/{id}: handlers/product.js
  POST /orders: workflows/order.yaml
  GET /live: { run: handlers/live.js, stream: sse }
  GET /beta: { when: 'header("X-Beta") == "1"', run: handlers/beta.js, else: handlers/home.js }
  GET /: public/
use: [access-log, recover, middleware/session.js]
jobs:
  restock: { every: 5s, run: jobs/restock.js }
  report: { cron: "0 9 * * MON-FRI", tz: Europe/Berlin, run: workflows/report.yaml, overlap: queue, jitter: 30s, timeout: 1m }
rollout: { keep: 7 }
limits: { time: 2s, memory: 32MiB, depth: 10, output: 1MB, body: 512, max_pin: 90m }
permissions: { http: ["https://pay.example.com", "http://localhost:9"] }
`

func TestParse(t *testing.T) {
	m, err := Parse(File, []byte(full), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if m.App != "shop" || m.Listen != "127.0.0.1:9000" || m.Admin != "unix:/run/admin.sock" || m.Rollout.Keep != 7 {
		t.Errorf("head: %+v", m)
	}
	want := Limits{Time: Duration(2 * time.Second), Memory: 32 << 20, Depth: 10, Output: 1e6, Body: 512, Drain: Duration(30 * time.Second), MaxPin: Duration(90 * time.Minute)}
	if m.Limits != want {
		t.Errorf("limits %+v, want %+v", m.Limits, want)
	}
	if len(m.Routes) != 5 || m.Routes[3] != (Route{Pattern: "GET /beta", Run: "handlers/beta.js", When: `header("X-Beta") == "1"`, Else: "handlers/home.js", Line: 9, Column: 3}) {
		t.Errorf("routes %+v", m.Routes)
	}
	if len(m.Jobs) != 2 || m.Jobs[0].Overlap != OverlapSkip || m.Jobs[1].Jitter.Std() != 30*time.Second || m.Jobs[1].Name != "report" {
		t.Errorf("jobs %+v", m.Jobs)
	}
	for _, c := range []struct {
		path      string
		line, col int
	}{{"routes|GET /live", 8, 3}, {"use|recover", 11, 19}, {"jobs|report", 14, 3}, {"jobs|report|run", 14, 57}, {"nope", 1, 1}} {
		if line, col := m.At(strings.Split(c.path, "|")...); line != c.line || col != c.col {
			t.Errorf("At(%s) = %d:%d, want %d:%d", c.path, line, col, c.line, c.col)
		}
	}
	e := m.Problem(script.Refused, "handlers/live.js does not exist", "create it", "routes", "GET /live")
	if e.Error() != "theseus.yaml:8:3: handlers/live.js does not exist" || !strings.Contains(e.Frame, "> ") {
		t.Errorf("Problem = %v\n%s", e, e.Frame)
	}
}

func TestDefaults(t *testing.T) {
	m, err := Parse(File, []byte("app: a\napi: 1\nroutes: { /: h.js }\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := Defaults()
	if m.Listen != d.Listen || m.Admin != d.Admin || m.Limits != d.Limits || m.Rollout != d.Rollout || d.Rollout.Keep != 20 || d.Limits.Body != 1<<20 {
		t.Errorf("got %+v, defaults %+v", m, d)
	}
}

func TestSchemas(t *testing.T) {
	golden(t, "app.schema.json", Schema())
	golden(t, "tests.schema.json", TestSchema())
	for _, s := range [][]byte{Schema(), TestSchema()} {
		if !json.Valid(s) || !bytes.Contains(s, []byte(`"$schema": "https://json-schema.org/draft/2020-12/schema"`)) {
			t.Errorf("not a schema of draft 2020-12: %.200s", s)
		}
	}
}

func TestValues(t *testing.T) {
	for in, want := range map[string]string{"64MiB": "64MiB", "1MB": "1MB", "512": "512B", "1024": "1KiB", "1.5KiB": "1536B", "2 kb": "2kB", "1GiB": "1GiB", "3b": "3B"} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s.String() != want {
			t.Errorf("Size %q = %v, %v, want %s", in, s, err, want)
		}
	}
	for _, in := range []string{"", "x", "-1", "0", "1e3", "0x10", "1_0", "MiB", "inf", "NaN", "99999999999GiB", "0.1"} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("Size %q = %v, want an error", in, s)
		}
	}
	for in, want := range map[string]string{"5s": "5s", "90s": "1m30s", "60m": "1h", "1h30m": "1h30m", "500ms": "500ms"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("Duration %q = %v, %v, want %s", in, d, err, want)
		}
	}
	for in, want := range map[string]string{"10%": "10%", "0.5 %": "0.5%", "100%": "100%"} {
		var p Percent
		if err := p.UnmarshalText([]byte(in)); err != nil || p.String() != want {
			t.Errorf("Percent %q = %v, %v, want %s", in, p, err, want)
		}
	}
	for _, in := range []string{"", "10", "101%", "-1%", "NaN%", "x%"} {
		var p Percent
		if err := p.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("Percent %q = %v, want an error", in, p)
		}
	}
}

func TestImplicit(t *testing.T) {
	for _, c := range []struct{ files, want string }{
		{"hello.js", "/ hello.js"},
		{"handlers/index.js handlers/a.js handlers/lib/x.js handlers/b/index.js handlers/b/c.js public/x.css", "/a handlers/a.js|/b/c handlers/b/c.js|/b handlers/b/index.js|/{$} handlers/index.js"},
		{"", "!no theseus.yaml and no handlers/ here"},
		{"README.md a.txt", "!no theseus.yaml and no handlers/ here"},
		{"theseus.yml handlers/a.js", "/a handlers/a.js"},
		{"theseus.yml", "/ theseus.yml"},
		{"theseus.yml x.md", "!theseus.yml: no theseus.yaml and no handlers/ here"},
		{"handlers/lib/a.js handlers/x.md", "!no theseus.yaml, and handlers/ has no .js files outside lib/"},
		{"handlers/{x}.js", "!handlers/{x}.js: the name of this file cannot be part of a route"},
		{"handlers/a.js handlers/a/index.js", "!handlers/a/index.js: answers the same path as handlers/a.js"},
	} {
		m, err := Implicit(strings.Fields(c.files))
		var got []string
		if err != nil {
			got = []string{"!" + err.Error()}
		} else {
			for _, r := range m.Routes {
				got = append(got, r.Pattern+" "+r.Run)
			}
			if line, col := m.At("routes"); line != 0 || col != 0 || m.Problem(script.Refused, "x", "").Line != 0 {
				t.Error("a made-up manifest has positions")
			}
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("Implicit(%s) = %s, want %s", c.files, s, c.want)
		}
	}
}

func TestParseTests(t *testing.T) {
	tests, err := ParseTests("tests/a.yaml", []byte(`- name: bulk
  request: GET /price/apple?qty=10
  headers: { cookie: "sid=1" }
  body: { any: json }
  expect: { status: 200, json: { total: 90 }, headers: { content-type: application/json }, body: "", contains: "part" }
- name: two
  steps:
    - request: GET /a
    - { request: POST /b, body: text, expect: { status: 201 } }
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(tests) != 2 || tests[0].Line != 1 || tests[0].Expect.Body == nil || *tests[0].Expect.Body != "" || tests[0].Expect.Status != 200 ||
		len(tests[1].Steps) != 2 || tests[1].Steps[1].Line != 9 || tests[1].Steps[1].Body != "text" || tests[1].Steps[0].Expect.Body != nil {
		t.Errorf("tests %+v", tests)
	}
	for src, want := range map[string]string{
		"- name: a\n":                                                "t.yaml:1:3: request is missing",
		"- request: GET /\n":                                         `t.yaml:1:3: key "name" is missing`,
		"- { name: a, request: /x }\n":                               `t.yaml:1:23: request "/x" is not METHOD /path`,
		"- { name: a, request: GET /, expct: {} }\n":                 `t.yaml:1:30: unknown key "expct"`,
		"- { name: a, request: GET /, expect: { status: 7 } }\n":     "t.yaml:1:48: 7 is too small",
		"- { name: a, request: GET /, steps: [{request: GET /}] }\n": "t.yaml:1:3: a test has a request of its own or steps, not both",
		"name: a\n": "t.yaml:1:1: want a list, got a map",
		"- { name: a, request: GET /, headers: { x: 1 } }\n": "t.yaml:1:44: want a string, got number 1",
	} {
		if _, err := ParseTests("t.yaml", []byte(src)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ParseTests(%q) = %v, want %s", src, err, want)
		}
	}
	if tests, err := ParseTests("t.yaml", []byte("# none\n")); err != nil || tests != nil {
		t.Errorf("comments only: %v, %v", tests, err)
	}
}

// Whatever the text is, it becomes a complete manifest or a list of mistakes.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := Parse(File, src, lookup)
		if err != nil {
			if m != nil || len(yamldoc.Flatten(File, err)) == 0 || script.KindOf(err) == script.Failed {
				t.Fatalf("Parse = %v, %v", m, err)
			}
			return
		}
		if m.App == "" || m.API != 1 || m.Limits.Time <= 0 || m.Limits.Memory <= 0 || m.Rollout.Keep < 1 || len(m.Routes)+len(m.Jobs) == 0 {
			t.Fatalf("incomplete: %+v", m)
		}
	})
}
