package app_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/store"
)

// counting is an app with data, a job and something to change.
var counting = map[string]string{
	"theseus.yaml":     "app: counting\napi: 1\nlisten: 127.0.0.1:0\nroutes:\n  GET /v: handlers/v.js\n  GET /n: handlers/n.js\n  GET /slow: handlers/slow.js\njobs:\n  tick: { every: 50ms, run: handlers/tick.js }\n",
	"handlers/v.js":    "export default () => 1;\n",
	"handlers/n.js":    "export default () => kv.incr('n', 1);\n",
	"handlers/tick.js": "export default () => kv.incr('ticks', 1);\n",
	"handlers/slow.js": "export default () => { sleep(300); return 1; };\n",
	"tests/v.yaml":     "- name: v\n  request: GET /v\n",
}

// start opens the app in dir, beside another one if standby.
func start(t *testing.T, dir string, standby bool, beside *app.App) *app.App {
	t.Helper()
	if beside != nil {
		if err := beside.ShareData(true); err != nil {
			t.Fatal(err)
		}
	}
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), NoSync: true, Standby: standby, Watch: true, Quiet: time.Millisecond, Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

func suspend(t *testing.T, a *app.App) []byte {
	t.Helper()
	state, err := a.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func activate(t *testing.T, a *app.App, state []byte) {
	t.Helper()
	if err := a.Activate(t.Context(), state); err != nil {
		t.Fatal(err)
	}
}

func ticks(a *app.App) int64 { return a.Jobs()[0].Ticks }

// An app passes from one App to the next with its generation, data, jobs and
// history; the next one changes nothing before it is confirmed.
func TestHandover(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, counting)
	old := start(t, dir, false, nil)
	waitFor(t, "ticks", func() bool { return ticks(old) >= 2 })
	body(t, old, "/n")
	next := start(t, dir, true, old)
	if s := next.Status(); s.Live.Number != 1 || s.Drift || s.Watch != "off" {
		t.Fatalf("standing by: %+v", s)
	}
	if _, err := next.Reload(t.Context(), app.Change{}); !errors.Is(err, app.ErrSuspended) {
		t.Fatalf("Reload while standing by: %v", err)
	}
	// What happens until the hand-over belongs to it: an update, and data.
	write(t, dir, map[string]string{"handlers/v.js": "export default () => 2;\n"})
	waitFor(t, "generation 2", func() bool { return old.Status().Live.Number == 2 })
	body(t, old, "/n")
	state := suspend(t, old)
	before := ticks(old)
	if _, err := old.Reload(t.Context(), app.Change{}); !errors.Is(err, app.ErrSuspended) {
		t.Fatalf("Reload of a suspended app: %v", err)
	}
	if _, err := old.Suspend(t.Context()); err == nil {
		t.Fatal("an app was suspended twice")
	}
	activate(t, next, state)
	activate(t, next, nil) // the owner is the owner
	if got := body(t, next, "/v") + body(t, old, "/v"); got != "22" {
		t.Fatalf("answers %s", got)
	}
	if got := body(t, next, "/n"); got != "3" {
		t.Errorf("n = %s, want 3", got)
	}
	if got := body(t, old, "/n") + body(t, next, "/n"); got != "45" { // to both it is one store
		t.Errorf("n = %s, want 4 and 5", got)
	}
	waitFor(t, "ticks there", func() bool { return ticks(next) > before })
	if got := ticks(old); got != before {
		t.Errorf("the old app ticked %d times", got-before)
	}
	write(t, dir, map[string]string{"handlers/v.js": "export default () => 3;\n"})
	for _, change := range []func() error{
		func() error { _, err := next.Reload(t.Context(), app.Change{}); return err },
		func() error { _, err := next.Rollback(t.Context(), 1, app.Change{}); return err },
	} {
		if err := change(); !errors.Is(err, app.ErrSuspended) {
			t.Fatalf("a change on probation: %v", err)
		}
	}
	if s := next.Status(); !s.Drift || s.Live.Number != 2 {
		t.Errorf("on probation: drift %t, generation %d", s.Drift, s.Live.Number)
	}
	next.Confirm()
	waitFor(t, "generation 3", func() bool { return next.Status().Live.Number == 3 })
	if got := len(next.Generations()); got != 3 {
		t.Errorf("%d generations", got)
	}
}

// When the next one fails the app takes back what it gave up.
func TestHandoverTakenBack(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, counting)
	old := start(t, dir, false, nil)
	waitFor(t, "ticks", func() bool { return ticks(old) >= 2 })
	for range 3 {
		next := start(t, dir, true, old)
		state := suspend(t, old)
		activate(t, next, state)
		if err := old.Activate(t.Context(), state); !errors.Is(err, store.ErrLocked) {
			t.Fatalf("two owners: %v", err)
		}
		body(t, old, "/n")
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := ticks(old)
		activate(t, old, state)
		waitFor(t, "ticks again", func() bool { return ticks(old) > before })
	}
	write(t, dir, map[string]string{"handlers/v.js": "export default () => 2;\n"})
	waitFor(t, "generation 2", func() bool { return old.Status().Live.Number == 2 })
	if got := body(t, old, "/n"); got != "4" {
		t.Errorf("n = %s, want 4", got)
	}
	if got := programs(old); strings.ReplaceAll(got, "rolled_back ", "") != "" || got == "" {
		t.Errorf("programs in the history: %s", got)
	}
}

// programs returns the outcomes of changes of the program in the history.
func programs(a *app.App) (all string) {
	for _, u := range a.Updates(0) {
		if u.Trigger == "upgrade" {
			all += string(u.Outcome) + " "
		}
	}
	return all
}

// An owner that dies leaves no state: the next one goes on from the history.
func TestHandoverFromTheDead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, counting)
	old := start(t, dir, false, nil)
	write(t, dir, map[string]string{"handlers/v.js": "export default () => 2;\n"})
	waitFor(t, "generation 2", func() bool { return old.Status().Live.Number == 2 })
	if _, err := old.Rollback(t.Context(), 0, app.Change{}); err != nil {
		t.Fatal(err)
	}
	next := start(t, dir, true, old)
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	activate(t, next, nil)
	next.Confirm()
	waitFor(t, "ticks", func() bool { return ticks(next) >= 2 })
	if s := next.Status(); s.Live.Number != 1 || !s.Drift || !strings.Contains(s.DriftWhy, "rolled back") {
		t.Errorf("generation %d, drift %t: %s", s.Live.Number, s.Drift, s.DriftWhy)
	}
	write(t, dir, map[string]string{"handlers/v.js": "export default () => 3;\n"})
	waitFor(t, "generation 3", func() bool { return next.Status().Live.Number == 3 })
	if got := programs(next); got != "live " {
		t.Errorf("programs in the history: %s", got)
	}
}

// Suspend waits for an update that runs, as long as it may.
func TestSuspendWaitsForAnUpdate(t *testing.T) {
	_, a := slowGate(t)
	defer a.Close(context.Background())
	reloaded := make(chan error, 1)
	go func() {
		_, err := a.Reload(context.Background(), app.Change{Trigger: "api"})
		reloaded <- err
	}()
	waitFor(t, "the tests to run", func() bool { return a.Status().State == app.StatePreparing })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Suspend(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Suspend during an update: %v", err)
	}
	if _, err := a.Rollback(t.Context(), 0, app.Change{}); err != nil { // it has given nothing up
		t.Fatal(err)
	}
	<-reloaded
	state := suspend(t, a)
	activate(t, a, state)
}

// A state that makes no sense changes nothing, and leaves the lock to others.
func TestActivateRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, counting)
	old := start(t, dir, false, nil)
	next := start(t, dir, true, old)
	good := suspend(t, old)
	for _, bad := range []string{"", "null", "{", `{"version":99}`, `{"version":1}`, `{"version":1,"generation":7}`,
		`{"version":1,"generation":1,"digest":"x"}`,
		strings.Replace(string(good), `"number":`, `"number":-`, 1)} {
		if err := next.Activate(t.Context(), []byte(bad)); err == nil {
			t.Fatalf("%.60s: no error", bad)
		}
		if s := next.Status(); s.Live.Number != 1 {
			t.Fatalf("%.60s: generation %d", bad, s.Live.Number)
		}
	}
	activate(t, old, good)
}

// Standing by needs something to stand by for.
func TestStandbyWithoutHistory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, counting)
	if _, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), Standby: true}); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Stat(filepath.Join(dir, ".theseus")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("it left something behind: %v", err)
	}
}

// CheckCurrent looks at what serves, not at the disk, and disturbs nobody.
func TestCheckCurrent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, counting)
	opt := app.Options{Engines: enginesForTest()}
	if n, problems := app.CheckCurrent(t.Context(), dir, opt); n != 1 || len(problems) > 0 {
		t.Fatalf("without history: %d tests, %v", n, problems)
	}
	start(t, dir, false, nil)
	write(t, dir, map[string]string{"theseus.yaml": "nonsense"})
	if n, problems := app.CheckCurrent(t.Context(), dir, opt); n != 1 || len(problems) > 0 {
		t.Fatalf("beside the one that serves: %d tests, %v", n, problems)
	}
	opt.Engines = nil
	if _, problems := app.CheckCurrent(t.Context(), dir, opt); len(problems) == 0 {
		t.Fatal("a program without engines can serve it")
	}
}
