package evalunit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/js"
)

// TestMain lets the test binary be the child.
func TestMain(m *testing.M) {
	if os.Getenv("EVALUNIT_CHILD") == "1" {
		os.Exit(Child(context.Background(), script.Set{js.New(), fragile{}}, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// fragile is an engine without any limit: it does to its process what the
// source says.
type fragile struct{ script.Unit }

func (fragile) Name() string           { return "fragile" }
func (fragile) Extensions() []string   { return []string{".fragile"} }
func (fragile) Enforces() script.Limit { return 0 }
func (fragile) Compile(_ context.Context, files fs.FS, name string, _ script.Limits) (script.Unit, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	switch string(text) {
	case "spin":
		//lint:ignore SA5002 the child is meant to burn until it is killed
		for {
		}
	case "eat":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			//lint:ignore SA4010 what is kept is the point
			all = append(all, b)
		}
	case "recurse":
		var f func(int) int
		f = func(n int) int { return f(n+1) + 1 }
		f(0)
	case "panic":
		panic("out of ideas")
	case "exit":
		os.Exit(0)
	case "flood":
		for {
			os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<16))
		}
	}
	return nil, &script.Error{Kind: script.Syntax, Message: "unknown word"}
}

// evaluate writes files to a directory of its own and evaluates the first.
func evaluateFiles(t *testing.T, o Options, files ...string) Report {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.File = filepath.Join(dir, filepath.FromSlash(files[0]))
	return evaluateHere(t, o)
}

func evaluateHere(t *testing.T, o Options) Report {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Self, o.ChildEnv = exe, []string{"EVALUNIT_CHILD=1"}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	return Main(t.Context(), o)
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		name, source, input string
		outcome, want       string // part of the report's JSON
		status              int
	}{
		{"ok", "export default (x) => ({ twice: x.n * 2 })", `{"n": 21}`, "ok", `"result":{"twice":42}`, 0},
		{"no input", "export default (x) => x", "", "ok", `"result":{}`, 0},
		{"null error", "export default (x) => 'text'", "", "ok", `"error":null`, 0},
		{"response", "export default () => { throw new HttpError(404, 'gone') }", "", "ok", `"status":404`, 0},
		{"error", "export default (x) => {\n x.a.b }", "", "error", `"line":2`, 1},
		{"syntax", "export default (x) => {\n x.a. }", "", "syntax", `> 2 |`, 3},
		{"refused", "import './y.js'; export default () => 1", "", "refused", "which does not exist", 4},
		{"bad input", "export default () => 1", "{", "refused", "the input is not JSON", 4},
		{"timeout", "export default () => { for(;;); }", "", "timeout", "time limit", 10},
		{"memory", "export default () => { const a = []; for(;;) a.push({a}) }", "", "memory", "limit of 32 MiB", 11},
		{"depth", "const f = () => f() + 1; export default f", "", "depth", "nested calls", 12},
		{"output", "export default () => 'x'.repeat(1e7)", "", "output", "limit of", 13},
		{"denied", "export default () => http.fetch('https://x.example')", "", "denied", "no network", 14},
		{"host", "export default () => { kv.set('a', 1); kv.update('a', (n) => n + 1); emit('t', 1); log.info('x'); sleep(1); return [kv.get('a'), kv.keys(), kv.cas('a', 2, 3), kv.incr('a'), kv.delete('a'), kv.get('a'), now() > 1e12, config] }", "",
			"ok", `"result":[2,["a"],true,4,true,null,true,{}]`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			if tt.outcome == "timeout" {
				timeout = time.Second
			}
			r := evaluateFiles(t, Options{Input: []byte(tt.input), Timeout: timeout, Memory: 32 << 20, Output: 1 << 20}, "x.js", tt.source)
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			plain := strings.ReplaceAll(string(text), `\u003e`, ">")
			if r.Outcome != tt.outcome || r.ExitStatus() != tt.status || !strings.Contains(plain, tt.want) {
				t.Errorf("status %d, %s\nwant %d, %s, …%s…", r.ExitStatus(), plain, tt.status, tt.outcome, tt.want)
			}
			if (r.Error == nil) != (r.Outcome == OK) {
				t.Errorf("outcome %s with error %v", r.Outcome, r.Error)
			}
			if r.DurationMS <= 0 {
				t.Error("no duration")
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.js")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 100<<20); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "binary.js")
	if err := os.WriteFile(binary, []byte{0x7f, 'E', 'L', 'F', 0, 1, 2}, 0o644); err != nil {
		t.Fatal(err)
	}
	unknown := filepath.Join(dir, "x.unknown")
	if err := os.WriteFile(unknown, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{large: "104857600 bytes", binary: "NUL byte", unknown: "no engine runs", dir: "is a directory", filepath.Join(dir, "none.js"): "does not exist", "": "does not exist"} {
		start := time.Now()
		r := evaluateHere(t, Options{File: file})
		if r.Outcome != "refused" || r.ExitStatus() != 4 || !strings.Contains(r.Error.Message, want) {
			t.Errorf("%q: %s %+v, want refused: %s", file, r.Outcome, r.Error, want)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%q took %v", file, took)
		}
	}
}

func TestDyingChild(t *testing.T) {
	for source, outcome := range map[string]string{"spin": "timeout", "eat": "memory", "recurse": "depth", "panic": "error", "exit": "error", "flood": "output", "?": "syntax"} {
		t.Run(source, func(t *testing.T) {
			if instrumented > 0 && source == "eat" {
				t.Skip("the race detector cannot run under a data limit")
			}
			r := evaluateFiles(t, Options{Timeout: time.Second, Memory: 16 << 20, Output: 64 << 10}, "x.fragile", source)
			if r.Outcome != outcome && !(source == "eat" && r.Outcome == "timeout") && !(source == "recurse" && r.Outcome == "memory") { // which of its limits a Go stack meets first depends on the heap
				t.Errorf("%s: %s %+v", source, r.Outcome, r.Error)
			}
			if source == "panic" && !strings.Contains(r.Error.Message, "out of ideas") {
				t.Errorf("%+v", r.Error)
			}
		})
	}
}

// The tree is the app around the file; nothing outside it is reached.
func TestTree(t *testing.T) {
	const lib, entry = "export const f = () => 'lib'", "import { f } from '../lib/b.js'; export default () => f() + run('handlers/c.js', { n: 1 })"
	other := "export default (x) => 'c' + x.n"
	r := evaluateFiles(t, Options{}, "handlers/a.js", entry, "lib/b.js", lib, "handlers/c.js", other, "theseus.yaml", "")
	if text, _ := r.Result.Text(); string(text) != `"libc1"` {
		t.Errorf("in an app: %s %+v", text, r.Error)
	}
	r = evaluateFiles(t, Options{}, "handlers/a.js", entry, "lib/b.js", lib)
	if r.Outcome != "refused" || !strings.Contains(r.Error.Message, "outside the app") {
		t.Errorf("without an app: %s %+v", r.Outcome, r.Error)
	}
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.js")
	if err := os.WriteFile(outside, []byte("export const s = 'secret'"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.js")); err != nil {
		t.Skip("no symbolic links here")
	}
	if err := os.WriteFile(filepath.Join(dir, "a.js"), []byte("import { s } from './link.js'; export default () => s"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := evaluateHere(t, Options{File: filepath.Join(dir, "a.js")}); r.Outcome != "refused" {
		t.Errorf("through a link: %+v %v", r.Error, r.Result)
	}
}

func TestLogAndEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_PARENT", "x")
	var log bytes.Buffer
	r := evaluateFiles(t, Options{Log: &log}, "a.js", `export default () => { log.warn("careful\nfatal error: out of memory", { id: 7 }) }`)
	if r.Outcome != "ok" || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "id=7") || strings.Contains(log.String(), "\nfatal") {
		t.Errorf("%+v, log: %s", r.Error, log.String())
	}
}

func TestCallerCancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	exe, _ := os.Executable()
	file := filepath.Join(t.TempDir(), "a.js")
	if err := os.WriteFile(file, []byte("export default () => 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := Main(ctx, Options{File: file, Self: exe, ChildEnv: []string{"EVALUNIT_CHILD=1"}}); r.Outcome == "ok" {
		t.Errorf("%+v", r)
	}
}

func TestChildRefusesGarbage(t *testing.T) {
	var log bytes.Buffer
	if status := Child(t.Context(), nil, strings.NewReader("not a task"), io.Discard, &log); status != 2 || log.Len() == 0 {
		t.Errorf("status %d, %s", status, log.String())
	}
}
