package js

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
)

func TestCompileRefuses(t *testing.T) {
	const ok = "export default () => 1;"
	long := map[string]string{"a.js": `import "./f0.js"; ` + ok}
	for i := range maxFiles {
		n := func(i int) string { return "f" + strings.Repeat("i", i) + ".js" }
		long[n(i)] = `import "./` + n(i+1) + `";`
	}
	long["f0.js"] = `import "./f.js"`
	tests := []struct {
		name  string
		files map[string]string
		kind  script.Kind
		want  string // part of Error()
	}{
		{"missing entry", nil, script.Refused, "a.js: does not exist"},
		{"missing import", map[string]string{"a.js": "import {x} from './lib/x.js';" + ok}, script.Refused, "a.js:1:17: imports lib/x.js, which does not exist"},
		{"missing deep import", map[string]string{"a.js": "import './lib/x.js';" + ok, "lib/x.js": "\n  import '../y.js'"}, script.Refused, "lib/x.js:2:10: imports y.js, which does not exist"},
		{"escape", map[string]string{"a.js": "import '../x.js';" + ok}, script.Refused, `a.js:1:8: imports "../x.js", which is outside the app`},
		{"absolute", map[string]string{"a.js": "import '/etc/x.js';" + ok}, script.Refused, "absolute path"},
		{"bare", map[string]string{"a.js": "import x from 'lodash';" + ok}, script.Refused, `a.js:1:15: imports "lodash", which is not a relative path`},
		{"std", map[string]string{"a.js": "import * as std from 'std';" + ok}, script.Refused, "not a relative path"},
		{"url", map[string]string{"a.js": "import 'https://x.example/x.js';" + ok}, script.Refused, "which is a URL"},
		{"data url", map[string]string{"a.js": "import 'data:text/javascript,1';" + ok}, script.Refused, "which is a URL"},
		{"no extension", map[string]string{"a.js": "import './x';" + ok, "x.js": ""}, script.Refused, "which has no extension"},
		{"other extension", map[string]string{"a.js": "import './x.ts';" + ok, "x.ts": ""}, script.Refused, "not a .js"},
		{"cycle", map[string]string{"a.js": "import './b.js';" + ok, "b.js": "\nimport './a.js';"}, script.Refused, "b.js:2:8: import cycle: a.js → b.js → a.js"},
		{"self", map[string]string{"a.js": "import './a.js';" + ok}, script.Refused, "import cycle: a.js → a.js"},
		{"large", map[string]string{"a.js": "//" + strings.Repeat("x", maxFile)}, script.Refused, "a source file may have 1 MiB"},
		{"large import", map[string]string{"a.js": "import './b.js';" + ok, "b.js": "//" + strings.Repeat("x", maxFile)}, script.Refused, "a.js:1:8: imports b.js, which has"},
		{"too many files", long, script.Refused, "one file too many"},
		{"binary", map[string]string{"a.js": "x\x00y"}, script.Refused, "NUL byte in line 1"},
		{"invalid UTF-8", map[string]string{"a.js": "\n a\xff"}, script.Refused, "a.js:2:3: is not valid UTF-8"},
		{"bad JSON", map[string]string{"a.js": "import x from './x.json';" + ok, "x.json": "{\n \"a\": }"}, script.Refused, "x.json:2:7: is not JSON"},
		{"syntax", map[string]string{"a.js": "export default () => {\n  return {;\n}"}, script.Syntax, "a.js:2:11: "},
		{"syntax in import", map[string]string{"a.js": "import './b.js';" + ok, "b.js": "let é = ;"}, script.Syntax, "b.js:1:10: "},
		{"missing export", map[string]string{"a.js": "import { a,\n  b } from './b.js';" + ok, "b.js": "export const a = 1"}, script.Syntax, `a.js:2:3: imports "b" from b.js, which does not export it`},
		{"no default", map[string]string{"a.js": "export const x = 1"}, script.Refused, "has no default export"},
		{"default is data", map[string]string{"a.js": "export default 1"}, script.Refused, "not a function"},
		{"throws", map[string]string{"a.js": "let x;\nx.y;" + ok}, script.Failed, "a.js:2:2: TypeError: cannot read property 'y' of undefined"},
		{"top level loop", map[string]string{"a.js": "for(;;);" + ok}, script.Timeout, "time limit"},
		{"top level bomb", map[string]string{"a.js": "const a=[]; for(;;) a.push({a});" + ok}, script.Memory, "memory"},
		{"top level recursion", map[string]string{"a.js": "const f = () => f() + 1; f();" + ok}, script.Depth, "nested calls"},
		{"top level await", map[string]string{"a.js": "await new Promise(() => {});" + ok}, script.Failed, "never settles"},
		{"host at top level", map[string]string{"a.js": "const c = config.shop;" + ok}, script.Denied, "config.version is not available here"},
		{"nested source", map[string]string{"a.js": "export default " + strings.Repeat("[", 300000)}, script.Depth, "nested too deep"},
		{"CommonJS", map[string]string{"a.js": "module.exports = 1"}, script.Failed, "'module' is not defined"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := New()
			limit := 30 * time.Second
			if tt.kind == script.Timeout {
				limit = 200 * time.Millisecond
			}
			u, err := e.Compile(t.Context(), tree(tt.files), "a.js", script.Limits{Time: limit, Memory: 8 << 20})
			if err == nil {
				u.Close()
				t.Fatal("Compile succeeded")
			}
			if script.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Compile: %s: %v, want %s: …%s…", script.KindOf(err), err, tt.kind, tt.want)
			}
			if e := err.(*script.Error); e.Line > 0 && e.Frame == "" {
				t.Error("a position without a frame")
			}
			eventually(t, "every machine is gone", func() bool { return e.Machines() == 0 })
		})
	}
}

func TestCompileDirectory(t *testing.T) {
	_, err := New().Compile(t.Context(), tree(map[string]string{"a.js/b.js": ""}), "a.js", script.Limits{})
	if script.KindOf(err) != script.Refused || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("Compile(directory): %v", err)
	}
	for _, name := range []string{"../a.js", "/a.js", "", "."} {
		if _, err := New().Compile(t.Context(), tree(nil), name, script.Limits{}); script.KindOf(err) != script.Refused {
			t.Errorf("Compile(%q): %v", name, err)
		}
	}
}

func TestFilesAndExports(t *testing.T) {
	u := compile(t, map[string]string{
		"a.js":          `import { f } from "./lib/b.mjs"; import data from "./data.json"; export const n = 1; export { f as after }; export default () => f(data.list);`,
		"lib/b.mjs":     `import "./c.js"; export const f = (l) => [l.length, Object.isFrozen(l)];`,
		"lib/c.js":      "",
		"data.json":     `{"list": [1, 2], "line": "\u2028"}`,
		"not/linked.js": "",
	}, script.Limits{})
	files := u.Files()
	if files[0] != "a.js" {
		t.Errorf("Files() = %v, want the entry first", files)
	}
	slices.Sort(files)
	if got, want := strings.Join(files, " "), "a.js data.json lib/b.mjs lib/c.js"; got != want {
		t.Errorf("Files() = %s, want %s", got, want)
	}
	if got := strings.Join(u.Exports(), " "); got != "after default" {
		t.Errorf("Exports() = %s, want the functions: after default", got)
	}
	if got := result(t, u, nil); got != "[2,true]" {
		t.Errorf("result = %s", got)
	}
	if _, err := u.Execute(t.Context(), script.Call{Func: "n"}); script.KindOf(err) != script.Refused || !strings.Contains(err.(*script.Error).Hint, "after, default") {
		t.Errorf("calling an export that is no function: %v", err)
	}
}

// import() at run time reaches what is linked anyway and nothing else.
func TestDynamicImport(t *testing.T) {
	u := compile(t, map[string]string{
		"a.js": `import "./b.js"; export default async (name) => { try { return (await import(name)).x } catch (e) { return String(e) } };`,
		"b.js": "export const x = 7;", "c.js": "export const x = 8;",
	}, script.Limits{})
	for _, tt := range [][2]string{{"./b.js", "7"}, {"./c.js", "not part of|statically"}, {"std", "relative"}, {"/etc/passwd", "absolute"}, {"../../x.js", "outside"}, {"data:text/javascript,1", "URL"}} {
		got := result(t, u, nil, script.Of(tt[0]))
		ok := false
		for _, want := range strings.Split(tt[1], "|") {
			ok = ok || strings.Contains(got, want)
		}
		if !ok {
			t.Errorf("import(%q) = %s, want %s", tt[0], got, tt[1])
		}
	}
}
