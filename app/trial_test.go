package app_test

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/engines"
)

// proven waits until the live generation has proved itself.
func proven(t *testing.T, a *app.App) {
	t.Helper()
	waitFor(t, "the end of the trial", func() bool { return !a.Status().OnTrial })
}

// onTrial is an app whose generations are on trial for so long.
func onTrial(d string) map[string]string {
	files := maps.Clone(minimal)
	files["theseus.yaml"] = "rollout: { trial: " + d + " }\n" + files["theseus.yaml"]
	return files
}

// patient is one whose trials outlast the test.
func patient() map[string]string { return onTrial("24h") }

// broken answers 500 to all but the app's own test.
var broken = map[string]string{"handlers/v.js": "export default (req) => { if (req.query.test) return 1; throw new Error('bug'); };\n",
	"tests/v.yaml": "- name: consistent\n  request: GET /v?test=1\n  expect: { status: 200 }\n"}

func code(a *app.App, path string) int {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code
}

func TestTrialProves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, onTrial("50ms"))
	a := open(t, dir)
	if s := a.Status(); s.Permanent != 1 || s.OnTrial {
		t.Fatalf("the first generation: %+v", s)
	}
	write(t, dir, version(2))
	reload(t, a)
	proven(t, a)
	s := a.Status()
	if s.Live.Number != 2 || s.Permanent != 2 || s.Anchor != 1 || s.State != app.StateIdle {
		t.Errorf("live %d permanent %d anchor %d %s", s.Live.Number, s.Permanent, s.Anchor, s.State)
	}
	if u := a.Updates(1)[0]; u.Trial == nil || u.Trial.Outcome != app.OutcomePermanent {
		t.Errorf("history: %+v", u)
	}
}

// What misbehaves on trial is taken back by itself, and not applied again unless
// somebody asks for it.
func TestTrialRollsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, patient())
	a := open(t, dir)
	write(t, dir, broken)
	reload(t, a)
	if s := a.Status(); !s.OnTrial || s.State != app.StateActive {
		t.Fatalf("%+v", s)
	}
	for range 19 {
		if code := code(a, "/v"); code != 500 {
			t.Fatal(code)
		}
	}
	if s := a.Status(); s.Live.Number != 2 {
		t.Error("a verdict on 19 answers")
	}
	waitFor(t, "the rollback", func() bool {
		code(a, "/v")
		return a.Status().Live.Number == 1
	})
	if code := code(a, "/v"); code != 200 {
		t.Error(code)
	}
	waitFor(t, "the end of the update", func() bool { return a.Status().State == app.StateIdle })
	s := a.Status()
	if !s.Drift || !strings.Contains(s.DriftWhy, "failed with 5xx") || s.Permanent != 1 {
		t.Errorf("drift %v %q, permanent %d", s.Drift, s.DriftWhy, s.Permanent)
	}
	var refused *app.RefusedError
	if _, err := a.Reload(t.Context(), app.Change{Trigger: "watch"}); !errors.As(err, &refused) || refused.Update.Problems[0].Kind != "held" {
		t.Errorf("it is applied again: %v", err)
	}
	if u := reload(t, a); u.Outcome != app.OutcomeLive {
		t.Errorf("asked for: %+v", u)
	}
	if us := a.Updates(0); us[len(us)-2].Trial == nil || us[len(us)-2].Trial.Outcome != app.OutcomeRolledBack {
		t.Errorf("history: %+v", us[len(us)-2])
	}
}

// died returns a copy of an app's folder: what a process that is killed now leaves.
func died(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

func openAt(t *testing.T, dir string) *app.App {
	t.Helper()
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

// A process that dies while a generation is on trial comes back with the one that was
// proven; the disk is an ordinary update then, until it has killed too often.
func TestDeathOnTrial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, patient())
	a := openAt(t, dir)
	write(t, dir, version(2))
	reload(t, a)
	for deaths := 1; deaths <= 2; deaths++ {
		dir = died(t, dir)
		a = openAt(t, dir)
		s := a.Status()
		switch {
		case deaths == 1 && (s.Live.Number != 3 || s.Permanent != 1 || !s.OnTrial):
			t.Errorf("after one death: live %d permanent %d trial %v", s.Live.Number, s.Permanent, s.OnTrial)
		case deaths == 2 && (s.Live.Number != 1 || !s.Drift || !strings.Contains(s.DriftWhy, "2 processes died")):
			t.Errorf("after two deaths gen %d is live, drift %q", s.Live.Number, s.DriftWhy)
		}
		var ends []int
		for _, u := range a.Updates(0) {
			if u.Trial != nil && u.Trial.Outcome == app.OutcomeInterrupted {
				ends = append(ends, u.Generation)
			}
		}
		if len(ends) != deaths {
			t.Errorf("after %d deaths the history tells of %v", deaths, ends)
		}
	}
	if u := reload(t, a); u.Outcome != app.OutcomeLive {
		t.Errorf("asked for: %+v", u)
	}
}

// The permanent generation is what comes back, even when the disk is broken and what
// was live had not proved itself.
func TestColdStartLoadsWhatIsPermanent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, patient())
	a := openAt(t, dir)
	write(t, dir, version(2))
	reload(t, a)
	left := died(t, dir)
	write(t, left, map[string]string{"handlers/v.js": "export default ("})
	b := openAt(t, left)
	if got := body(t, b, "/v"); got != `{"handler":1,"lib":1,"config":1}` {
		t.Error(got)
	}
	if s := b.Status(); s.Live.Number != 1 || !s.Drift || !strings.Contains(s.Staged.Error, "handlers/v.js:1") {
		t.Errorf("%+v", s)
	}
	// Nor when what is permanent is damaged: the anchor is there.
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(left, ".theseus", "objects")); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Open(t.Context(), left, app.Options{Engines: enginesForTest()}); err == nil {
		t.Error("an app of which nothing is left was opened")
	}
}

// What scripts store is there after a restart, and after a death.
func TestDataSurvives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"theseus.yaml":  "app: counting\napi: 1\nroutes:\n  GET /n: handlers/n.js\n",
		"handlers/n.js": "export default () => kv.incr('n', 1);\n",
	})
	for n := range 3 {
		a := openAt(t, dir)
		if got, want := body(t, a, "/n"), string(rune('1'+2*n)); got != want {
			t.Fatalf("n = %s, want %s", got, want)
		}
		body(t, a, "/n")
		if n == 1 {
			dir = died(t, dir)
			continue
		}
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// A process that ends by itself has not died, and was not about to be replaced: its
// program gives up what it owns, drains, and closes.
func TestEndIsNoDeath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, patient())
	a := openAt(t, dir)
	write(t, dir, version(2))
	reload(t, a)
	for range 3 {
		a.Drain()
		if _, err := a.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		a = openAt(t, dir)
		if s := a.Status(); !s.OnTrial || s.Drift {
			t.Fatalf("live %d, on trial %v, drift %q", s.Live.Number, s.OnTrial, s.DriftWhy)
		}
	}
	for _, u := range a.Updates(0) {
		if u.Trigger == "upgrade" {
			t.Errorf("an upgrade that nobody asked for: %+v", u)
		}
	}
}

// An update whose trial ended before it did is one line of the log, and is in the
// history of the next process too.
func TestHistoryOfProvenAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, minimal)
	u, err := app.Apply(t.Context(), dir, app.Options{Engines: engines.All(), NoSync: true}, app.Change{Trigger: "apply"})
	if err != nil {
		t.Fatal(err)
	}
	a := openAt(t, dir)
	for _, o := range a.Updates(0) {
		if o.ID == u.ID && o.Trial != nil && o.Trial.Outcome == app.OutcomePermanent {
			return
		}
	}
	t.Errorf("no line of %s in %+v", u.ID, a.Updates(0))
}
