//go:build linux

package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/app"
)

// laughs is the YAML that expands to 10⁹ items.
func laughs() string {
	s := "app: mini\napi: 1\na0: &a0 [x]\n"
	for i := 1; i < 10; i++ {
		s += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return s
}

// Each bad edit is refused with a message that says what and where, and a hint
// that says what to do; what was serving is untouched.
func TestBadInput(t *testing.T) {
	routes := "app: mini\napi: 1\nroutes:\n"
	cases := []struct {
		name  string
		files map[string]string
		want  string // in the first problem
		hint  bool
	}{
		{"empty manifest", map[string]string{"theseus.yaml": ""}, "theseus.yaml", true},
		{"manifest of comments", map[string]string{"theseus.yaml": "# nothing\n"}, "theseus.yaml", true},
		{"missing manifest and handlers", map[string]string{"theseus.yaml": "-", "handlers": "-"}, "the manifest was deleted", true},
		{"unknown key", map[string]string{"theseus.yaml": "app: mini\napi: 1\nrotes: {}\n"}, `theseus.yaml:3:1: unknown key "rotes"`, true},
		{"duplicate route", map[string]string{"theseus.yaml": routes + "  GET /v: handlers/v.js\n  GET /v: handlers/other.js\n"}, "theseus.yaml:5:3", true},
		{"conflicting routes", map[string]string{"theseus.yaml": routes + "  GET /{a}/x: handlers/v.js\n  GET /x/{b}: handlers/other.js\n"}, "theseus.yaml:5:3", true},
		{"route to a missing file", map[string]string{"theseus.yaml": routes + "  GET /v: handlers/ver.js\n"}, "theseus.yaml:4:3: handlers/ver.js does not exist", false},
		{"route to an unknown kind of file", map[string]string{"theseus.yaml": routes + "  GET /v: handlers/v.txt\n", "handlers/v.txt": "x"}, "no engine runs .txt", true},
		{"import cycle", map[string]string{"handlers/lib/lib.js": "import './used.js'; export const lib = 1;", "handlers/lib/used.js": "import './lib.js'; export const used = 1;"}, "cycle", true},
		{"import outside the app", map[string]string{"handlers/v.js": "import x from '../../../etc/passwd.js'; export default () => x;"}, "handlers/v.js:1:", true},
		{"import of a package", map[string]string{"handlers/v.js": "import x from 'left-pad'; export default () => x;"}, "handlers/v.js:1:", true},
		{"binary script", map[string]string{"handlers/v.js": "\x7fELF\x02\x01\x01\x00\x00"}, "handlers/v.js", true},
		{"invalid UTF-8", map[string]string{"handlers/v.js": "export default () => '\xff\xfe';"}, "handlers/v.js", true},
		{"invalid UTF-8 in the manifest", map[string]string{"theseus.yaml": "app: mini\xff\napi: 1\n"}, "theseus.yaml:1:10", true},
		{"billion laughs", map[string]string{"theseus.yaml": laughs()}, "theseus.yaml", true},
		{"deep YAML", map[string]string{"config/deep.yaml": strings.Repeat("[", 5000)}, "config/deep.yaml:1:", true},
		{"two documents", map[string]string{"config/two.yaml": "a: 1\n---\nb: 2\n"}, "config/two.yaml", true},
		{"unknown tag", map[string]string{"config/tag.yaml": "a: !!python/object:os.system {}\n"}, "config/tag.yaml:1:4", true},
		{"endless top level", map[string]string{"theseus.yaml": minimal["theseus.yaml"] + "limits: { time: 100ms }\n", "handlers/v.js": "for (;;) {}\nexport default () => 1;"}, "handlers/v.js", false},
		{"bad schedule", map[string]string{"theseus.yaml": minimal["theseus.yaml"] + "jobs: { j: { cron: \"99 * * * *\", run: handlers/v.js } }\n"}, "theseus.yaml:5:", false},
		{"bad zone", map[string]string{"theseus.yaml": minimal["theseus.yaml"] + "jobs: { j: { cron: \"0 9 * * *\", tz: Mars/Base, run: handlers/v.js } }\n"}, "Mars/Base", false},
		{"workflow with a cycle", map[string]string{"workflows/w.yaml": "name: w\nsteps:\n  a: { needs: [b], run: handlers/v.js }\n  b: { needs: [a], run: handlers/v.js }\n"}, "workflows/w.yaml", true},
		{"workflow of a missing unit", map[string]string{"workflows/w.yaml": "name: w\nsteps:\n  a: { run: handlers/nope.js }\n"}, "workflows/w.yaml:3:", false},
		{"test file that is no list", map[string]string{"tests/x.yaml": "name: x\n"}, "tests/x.yaml", false},
	}
	dir, a := mini(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			write(t, dir, c.files)
			defer func() {
				for name := range c.files {
					if _, ok := minimal[name]; !ok {
						write(t, dir, map[string]string{name: "-"})
					}
				}
				write(t, dir, minimal)
			}()
			refusedWith(t, a, c.want, c.hint)
		})
	}
}

// refusedWith reloads, wants a refusal with the text, and nothing changed.
func refusedWith(t *testing.T, a *app.App, want string, hint bool) {
	t.Helper()
	u, err := a.Reload(t.Context(), app.Change{Trigger: "api"})
	var refused *app.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("outcome %q, error %v; want it refused", u.Outcome, err)
	}
	p := u.Problems[0]
	if !strings.Contains(p.String(), want) {
		t.Errorf("problem %q, want %q", p, want)
	}
	if hint && p.Hint == "" {
		t.Errorf("problem %q has no hint", p)
	}
	if p.Line > 0 && p.Frame == "" {
		t.Errorf("problem %q has a place and no frame", p)
	}
	s := a.Status()
	if !s.Drift || !s.Ready || s.Live.Number != 1 {
		t.Errorf("drift %v, ready %v, gen %d", s.Drift, s.Ready, s.Live.Number)
	}
	if got := body(t, a, "/v"); got != `{"handler":1,"lib":1,"config":1}` {
		t.Error(got)
	}
}

func TestLargeFile(t *testing.T) {
	dir, a := mini(t)
	f, err := os.Create(filepath.Join(dir, "handlers", "large.js"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(100<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, a, "handlers/large.js", true)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	if u := reload(t, a); u.Outcome != app.OutcomeNoop {
		t.Error(u.Outcome)
	}
}

func TestJobFasterThanItsRun(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"theseus.yaml":  "app: fast\napi: 1\nroutes:\n  GET /n: handlers/n.js\njobs:\n  slow: { every: 10ms, run: jobs/slow.js }\n",
		"handlers/n.js": "export default () => kv.get('most') ?? 0;\n",
		"jobs/slow.js":  "export default () => { const n = kv.incr('running'); if (n > (kv.get('most') ?? 0)) kv.set('most', n); sleep(100); kv.incr('running', -1); };\n",
	})
	a := open(t, dir)
	waitFor(t, "skipped ticks", func() bool { j := a.Jobs()[0]; return j.Skipped >= 10 && j.Ticks > j.Skipped+1 })
	if got := body(t, a, "/n"); got != "1" {
		t.Errorf("%s runs at a time, want 1", got)
	}
	skipped := a.Events().Recent(100, func(e app.Event) bool { return e.Type == "job" && strings.Contains(e.Message, "skipped") })
	if len(skipped) == 0 {
		t.Error("no event tells of the skipped ticks")
	}
}

func TestHistoryCannotBeWritten(t *testing.T) {
	t.Run("a file in its place", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, minimal)
		write(t, dir, map[string]string{".theseus": "not a folder"})
		_, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()})
		if err == nil || !strings.Contains(err.Error(), ".theseus") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another process", func(t *testing.T) {
		dir, _ := mini(t)
		_, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("got %v; want the pid of the process that holds it", err)
		}
	})
}

// A full disk while the new generation is stored: refused with a hint, the old one serves; once
// there is room, the same edit goes live.
func TestDiskFull(t *testing.T) {
	state := t.TempDir()
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=512k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("mounting a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(state, 0); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	write(t, dir, minimal)
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), StateDir: filepath.Join(state, "theseus")})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	stop := func() {
		if !closed {
			closed = true
			if err := a.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	filler := filepath.Join(state, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	write(t, dir, version(2))
	refusedWith(t, a, "could not be stored", true)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if u := reload(t, a); u.Outcome != app.OutcomeLive {
		t.Errorf("with room again: %+v", u)
	}
	if got := body(t, a, "/v"); got != `{"handler":2,"lib":2,"config":2}` {
		t.Error(got)
	}
	stop()
}
