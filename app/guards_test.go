package app_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/theseus-run/theseus/app"
)

// guarded is an app with a rollout, and a load that a test sets, in hundredths.
func guarded(t *testing.T, rollout string, opt app.Options) (string, *app.App, *atomic.Int64) {
	t.Helper()
	load := new(atomic.Int64)
	dir := t.TempDir()
	files := maps.Clone(minimal)
	files["theseus.yaml"] = "rollout: " + rollout + "\n" + files["theseus.yaml"]
	write(t, dir, files)
	opt.Engines, opt.NoSync = enginesForTest(), true
	opt.Load = func() (float64, error) { return float64(load.Load()) / 100, nil }
	a, err := app.Open(t.Context(), dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return dir, a, load
}

// waiting begins a reload and returns once it waits for a guard.
func waiting(t *testing.T, a *app.App, guard string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := a.Reload(context.Background(), app.Change{Trigger: "api"})
		done <- err
	}()
	waitFor(t, "the guard", func() bool { return strings.Contains(a.Status().Waiting, guard) })
	return done
}

func TestGuardHoldsAChange(t *testing.T) {
	t.Parallel()
	dir, a, load := guarded(t, "{ guards: { max_load: 0.5 }, patience: 24h }", app.Options{})
	load.Store(70)
	write(t, dir, version(2))
	done := waiting(t, a, "preparing waits for max_load: the load is 0.70 per processor, to be below 0.50")
	if s := a.Status(); s.Live.Number != 1 || !s.Ready || s.State != app.StatePreparing || a.Doing().Since.IsZero() {
		t.Errorf("%+v", s)
	}
	load.Store(40)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	u := a.Updates(1)[0]
	if s := a.Status(); s.Live.Number != 2 || s.Waiting != "" || a.Doing() != (app.Doing{}) {
		t.Errorf("%+v", s)
	}
	waited := false
	for _, p := range u.Phases {
		waited = waited || p.Name == "wait" && p.Duration > 0
	}
	if !waited {
		t.Errorf("%+v", u.Phases)
	}
}

// After its patience a change is refused, with the place of the guard; and nobody
// else's ceilings count but its own.
func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	dir, a, load := guarded(t, "{ guards: { max_load: 0.5 }, patience: 10ms }", app.Options{})
	load.Store(70)
	write(t, dir, version(2))
	_, err := a.Reload(t.Context(), app.Change{Trigger: "api"})
	refused, ok := errors.AsType[*app.RefusedError](err)
	if !ok {
		t.Fatal(err)
	}
	p := refused.Update.Problems[0]
	if p.Kind != "guard" || p.File != "theseus.yaml" || p.Line != 1 || !strings.Contains(p.Message, "max_load: the load is 0.70 per processor, to be below 0.50") ||
		!strings.Contains(p.Message, "within 10ms") {
		t.Errorf("%+v", p)
	}
	if s := a.Status(); s.Live.Number != 1 || !s.Drift || !s.Ready {
		t.Errorf("%+v", s)
	}
	write(t, dir, map[string]string{"theseus.yaml": "rollout: { guards: { max_load: 0.9 } }\n" + minimal["theseus.yaml"]})
	reload(t, a)
}

// Going back must work in an overload, at once, and ends a change that waits.
func TestRollbackPassesGuards(t *testing.T) {
	t.Parallel()
	ill := new(atomic.Bool)
	dir, a, load := guarded(t, "{ guards: { max_load: 0.5 }, patience: 24h }", app.Options{Workers: func() map[string]error {
		if ill.Load() {
			return map[string]error{"second": errors.New("does not answer")}
		}
		return nil
	}})
	write(t, dir, version(2))
	reload(t, a)
	write(t, dir, version(3))
	ill.Store(true)
	done := waiting(t, a, "syncing waits for workers: not healthy: second: does not answer")
	load.Store(1000)
	if u, err := a.Rollback(t.Context(), 0, app.Change{}); err != nil || u.Generation != 1 {
		t.Fatal(u, err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "a rollback was asked for") {
		t.Error(err)
	}
	done = waiting(t, a, "max_load")
	if u, err := a.Rollback(t.Context(), 2, app.Change{}); err != nil || u.Generation != 2 {
		t.Fatal(u, err)
	}
	if err := <-done; err == nil {
		t.Error("it was applied")
	}
	done = waiting(t, a, "max_load")
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("it was applied while the app closed")
	}
}

// What misbehaves on trial is taken back though a change waits and hooks refuse.
func TestTrialPassesGuardsAndHooks(t *testing.T) {
	t.Parallel()
	refuse := new(atomic.Bool)
	dir, a, load := guarded(t, "{ trial: 24h, guards: { max_load: 0.5 }, patience: 24h }", app.Options{Hooks: []app.Hook{{
		Name: "never", Kinds: nil, Run: func(context.Context, app.HookCall) error {
			if refuse.Load() {
				return errors.New("no")
			}
			return nil
		}}}})
	write(t, dir, broken)
	reload(t, a)
	load.Store(1000)
	write(t, dir, map[string]string{"handlers/other.js": "export default () => 'new';\n"})
	done := waiting(t, a, "max_load")
	refuse.Store(true)
	waitFor(t, "the way back", func() bool {
		code(a, "/v")
		return a.Status().Live.Number == 1
	})
	if err := <-done; err == nil || !strings.Contains(err.Error(), "the generation on trial misbehaves") {
		t.Error(err)
	}
}

// The latency of the answers of late is measured, not made up.
func TestLatencyGuard(t *testing.T) {
	t.Parallel()
	dir, a, _ := guarded(t, "{ guards: { max_latency: 5ms }, patience: 24h }", app.Options{})
	write(t, dir, map[string]string{"handlers/other.js": "export default () => { sleep(20); return 1; };\n",
		"theseus.yaml": "rollout: { guards: { max_latency: 5ms }, patience: 24h }\n" + minimal["theseus.yaml"] + "  GET /slow: handlers/other.js\n"})
	reload(t, a)
	seen := a.Events().Subscribe(-1)
	defer seen.Close()
	for range 25 {
		if code := code(a, "/slow"); code != 200 {
			t.Fatal(code)
		}
	}
	for n := int64(0); n < 25; { // the seconds have to end in which they were answered
		if s, ok := (<-seen.C).Data.(app.Stats); ok {
			for _, g := range s.Generation {
				n += g.Requests
			}
		}
	}
	write(t, dir, version(3))
	done := waiting(t, a, "max_latency: the 99th percentile of answers is ")
	if err := <-done; err != nil { // until they are forgotten
		t.Error(err)
	}
}

func TestLoadThatCannotBeMeasured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := maps.Clone(minimal)
	files["theseus.yaml"] += "rollout:\n  guards:\n    max_load: 2\n"
	write(t, dir, files)
	_, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), NoSync: true,
		Load: func() (float64, error) { return 0, errors.New("nobody knows") }})
	refused, ok := errors.AsType[*app.RefusedError](err)
	if !ok {
		t.Fatal(err)
	}
	if p := refused.Update.Problems[0]; p.Line != 7 || p.Message != "max_load: the load cannot be measured here: nobody knows" {
		t.Errorf("%+v", p)
	}
}
