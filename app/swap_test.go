package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app"
)

// minimal is a small app with one handler, one library, config and a test.
var minimal = map[string]string{
	"theseus.yaml":         "app: mini\napi: 1\nroutes:\n  GET /v: handlers/v.js\n",
	"handlers/v.js":        "import { lib } from './lib/lib.js';\nexport default () => ({ handler: 1, lib, config: config.v.n });\n",
	"handlers/lib/lib.js":  "export const lib = 1;\n",
	"config/v.yaml":        "n: 1\n",
	"tests/v.yaml":         "- name: consistent\n  request: GET /v\n  expect: { status: 200 }\n",
	"handlers/other.js":    "export default () => 'other';\n",
	"handlers/lib/used.js": "export const used = 1;\n",
}

// version gives the three files that must agree the number n.
func version(n int) map[string]string {
	return map[string]string{
		"handlers/v.js":       fmt.Sprintf("import { lib } from './lib/lib.js';\nexport default () => ({ handler: %d, lib, config: config.v.n });\n", n),
		"handlers/lib/lib.js": fmt.Sprintf("export const lib = %d;\n", n),
		"config/v.yaml":       fmt.Sprintf("n: %d\n", n),
	}
}

func mini(t testing.TB) (string, *app.App) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, minimal)
	return dir, open(t, dir)
}

// reload applies the disk and fails the test when it is refused.
func reload(t testing.TB, a *app.App) app.Update {
	t.Helper()
	u, err := a.Reload(t.Context(), app.Change{Trigger: "api"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func body(t testing.TB, a http.Handler, target string) string {
	t.Helper()
	resp, text := get(t, a, "GET", target, "")
	if resp.StatusCode != 200 {
		t.Fatalf("GET %s: status %d: %s", target, resp.StatusCode, text)
	}
	return text
}

func TestSwapCarriesUnchangedUnits(t *testing.T) {
	dir, a := mini(t)
	write(t, dir, version(2))
	u := reload(t, a)
	if u.Outcome != app.OutcomeLive || u.Generation != 2 || u.From != 1 || u.Tests != 1 {
		t.Fatalf("update %+v", u)
	}
	if got := body(t, a, "/v"); got != `{"handler":2,"lib":2,"config":2}` {
		t.Error(got)
	}
	s := a.Status()
	if s.Live.Carried != 1 || s.Live.Units != 2 {
		t.Errorf("carried %d of %d units, want 1 of 2", s.Live.Carried, s.Live.Units)
	}
	for _, unit := range a.Units() {
		if want := map[string]int{"handlers/v.js": 2, "handlers/other.js": 1}[unit.Name]; unit.Since != want {
			t.Errorf("%s is since gen %d, want %d", unit.Name, unit.Since, want)
		}
	}
	// Nothing changed: no new generation.
	if u := reload(t, a); u.Outcome != app.OutcomeNoop || a.Status().Live.Number != 2 {
		t.Errorf("a second reload gave %s, gen %d", u.Outcome, a.Status().Live.Number)
	}
}

func TestRefusedEditChangesNothing(t *testing.T) {
	dir, a := mini(t)
	cases := []struct {
		name  string
		files map[string]string
		want  string // in the first problem
	}{
		{"syntax", map[string]string{"handlers/v.js": "export default ( => 1"}, "handlers/v.js:1:"},
		{"failing test", map[string]string{"tests/v.yaml": "- name: nope\n  request: GET /v\n  expect: { json: { handler: 9 } }\n"}, "tests/v.yaml:1:3: nope: want handler 9, got 1"},
		{"deleted library", map[string]string{"handlers/lib/lib.js": "-"}, "handlers/lib/lib.js, which was deleted but is still needed by handlers/v.js"},
		{"deleted handler", map[string]string{"handlers/v.js": "-"}, "theseus.yaml:4:3: handlers/v.js was deleted but is still needed by theseus.yaml"},
		{"missing config", map[string]string{"config/v.yaml": "n: ${NO_SUCH_VARIABLE}\n"}, "config/v.yaml:1:4"},
		{"broken manifest", map[string]string{"theseus.yaml": "app: mini\napi: 1\nrotes: {}\n"}, "theseus.yaml:3:1: unknown key \"rotes\""},
		{"route to a missing file", map[string]string{"theseus.yaml": "app: mini\napi: 1\nroutes:\n  GET /v: handlers/vv.js\n"}, "theseus.yaml:4:3: handlers/vv.js does not exist"},
		{"deleted manifest and handlers", map[string]string{"theseus.yaml": "-", "handlers": "-"}, "the manifest was deleted"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			write(t, dir, c.files)
			defer write(t, dir, minimal)
			u, err := a.Reload(t.Context(), app.Change{Trigger: "api"})
			var refused *app.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("outcome %v, error %v; want it refused", u.Outcome, err)
			}
			if got := u.Problems[0].String(); !strings.Contains(got, c.want) {
				t.Errorf("problem %q, want %q", got, c.want)
			}
			s := a.Status()
			if !s.Drift || !s.Ready || s.Live.Number != 1 || s.Staged.Error == "" {
				t.Errorf("drift %v, ready %v, live %d, staged %q", s.Drift, s.Ready, s.Live.Number, s.Staged.Error)
			}
			if got := body(t, a, "/v"); got != `{"handler":1,"lib":1,"config":1}` {
				t.Error(got)
			}
		})
	}
	if u := reload(t, a); u.Outcome != app.OutcomeNoop || a.Status().Drift {
		t.Errorf("repaired: outcome %s, drift %v", u.Outcome, a.Status().Drift)
	}
}

func TestRollback(t *testing.T) {
	dir, a := mini(t)
	write(t, dir, version(2))
	reload(t, a)
	u, err := a.Rollback(t.Context(), 0, app.Change{Message: "oops"})
	if err != nil || u.Outcome != app.OutcomeRolledBack || u.Generation != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	if got := body(t, a, "/v"); got != `{"handler":1,"lib":1,"config":1}` {
		t.Error(got)
	}
	s := a.Status()
	if !s.Drift || s.Live.Number != 1 || s.DriftWhy != "rolled back to gen 1" {
		t.Errorf("drift %v %q, live %d", s.Drift, s.DriftWhy, s.Live.Number)
	}
	if _, err := a.Rollback(t.Context(), 99, app.Change{}); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("rollback to 99: %v", err)
	}
	if _, err := a.Rollback(t.Context(), 2, app.Change{Expect: 2}); !errors.Is(err, app.ErrConflict) {
		t.Errorf("rollback expecting gen 2: %v", err)
	}
	if _, err := a.Rollback(t.Context(), 2, app.Change{Expect: 1}); err != nil {
		t.Fatal(err)
	}
	if got := body(t, a, "/v"); got != `{"handler":2,"lib":2,"config":2}` || a.Status().Drift {
		t.Error(got, a.Status().DriftWhy)
	}
}

// Requests that run while generations are swapped are each served by one
// generation whole, and none fails.
func TestSwapUnderLoad(t *testing.T) {
	dir, a := mini(t)
	swaps := 40
	if testing.Short() {
		swaps = 10
	}
	var stop atomic.Bool
	var served, wrong atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				resp, text := get(t, a, "GET", "/v", "")
				var h, l, c int
				if _, err := fmt.Sscanf(text, `{"handler":%d,"lib":%d,"config":%d}`, &h, &l, &c); err != nil || h != l || l != c || resp.StatusCode != 200 ||
					resp.Header.Get("Theseus-Generation") != fmt.Sprint(h) {
					wrong.Add(1)
					t.Errorf("status %d, gen %s: %s", resp.StatusCode, resp.Header.Get("Theseus-Generation"), text)
					return
				}
				served.Add(1)
			}
		})
	}
	for n := 2; n <= swaps; n++ {
		write(t, dir, version(n))
		reload(t, a)
	}
	stop.Store(true)
	wg.Wait()
	if wrong.Load() > 0 || served.Load() < int64(swaps) {
		t.Errorf("%d served, %d wrong", served.Load(), wrong.Load())
	}
	t.Logf("%d requests over %d swaps, swap p50 %s", served.Load(), swaps-1, a.SwapTime(.5))
	waitFreed(t, a)
}

// waitFreed waits until every replaced generation is proven freed.
func waitFreed(t testing.TB, a *app.App) {
	t.Helper()
	sub := a.Events().Subscribe(0)
	defer sub.Close()
	deadline := time.After(time.Minute)
	for {
		open := 0
		for _, g := range a.Generations() {
			if g.State == app.GenDraining || g.State == app.GenRetired {
				open++
			}
		}
		if open == 0 {
			return
		}
		select {
		case <-sub.C:
		case <-deadline:
			t.Fatalf("%d replaced generations are not freed: %+v", open, a.Generations())
		}
	}
}

// A generation that is in use is not closed, and serves its request to the end.
func TestRequestEndsInItsGeneration(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"theseus.yaml":     "app: slow\napi: 1\nroutes:\n  GET /slow: handlers/slow.js\n",
		"handlers/slow.js": "export default (req) => { emit('begun', 1); while (!kv.get('go')) sleep(5); return { gen: req.generation, v: config.a.v }; };\n",
		"config/a.yaml":    "v: old\n",
	})
	a := open(t, dir)
	result := make(chan string, 1)
	go func() {
		_, text := get(t, a, "GET", "/slow", "")
		result <- text
	}()
	waitFor(t, "the request to begin", func() bool { return a.Status().Live.Inflight == 1 })
	write(t, dir, map[string]string{"config/a.yaml": "v: new\n", "handlers/slow.js": "export default (req) => { kv.set('go', true); return { gen: req.generation, v: config.a.v }; };\n"})
	reload(t, a)
	if s := a.Status(); len(s.Draining) != 1 || s.Draining[0].Number != 1 || s.Draining[0].Inflight != 1 {
		t.Errorf("draining %+v", s.Draining)
	}
	if got := body(t, a, "/slow"); got != `{"gen":2,"v":"new"}` {
		t.Error(got)
	}
	if got := <-result; got != `{"gen":1,"v":"old"}` {
		t.Error(got)
	}
	waitFreed(t, a)
}

// waitFor polls until cond holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestColdStartWithBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, onTrial("50ms"))
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, version(2))
	reload(t, a)
	proven(t, a)
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"handlers/v.js": "export default ("})
	b := open(t, dir)
	if got := body(t, b, "/v"); got != `{"handler":2,"lib":2,"config":2}` {
		t.Error(got)
	}
	s := b.Status()
	if s.Live.Number != 2 || !s.Drift || !strings.Contains(s.Staged.Error, "handlers/v.js:1") || !s.Ready {
		t.Errorf("status %+v", s)
	}
	// The history of the earlier process can be returned to.
	if u, err := b.Rollback(t.Context(), 1, app.Change{}); err != nil || u.Generation != 1 {
		t.Fatal(u, err)
	}
	if got := body(t, b, "/v"); got != `{"handler":1,"lib":1,"config":1}` {
		t.Error(got)
	}
}

// A restart with the same files goes on under the same number; a deleted
// manifest is a mistake, not another app.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, minimal)
	for range 3 {
		a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()})
		if err != nil {
			t.Fatal(err)
		}
		if s := a.Status(); s.Live.Number != 1 || len(a.Generations()) != 1 || s.Live.Trigger != "start" || s.Live.Tests != 1 {
			t.Errorf("status %+v", s)
		}
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, version(2))
	a := open(t, dir)
	if n := a.Status().Live.Number; n != 2 {
		t.Errorf("changed files came up as gen %d", n)
	}
	write(t, dir, map[string]string{"theseus.yaml": "-"})
	_, err := a.Reload(t.Context(), app.Change{})
	if err == nil || !strings.Contains(err.Error(), "the manifest was deleted") {
		t.Errorf("got %v", err)
	}
	if u, err := a.Rollback(t.Context(), 2, app.Change{}); err != nil || u.Outcome != app.OutcomeNoop || u.Generation != 2 {
		t.Errorf("rollback to what is live: %+v, %v", u, err)
	}
}

func TestNoAppLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if _, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()}); err == nil {
		t.Fatal("an empty directory was opened")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	a := openMinimal(t)
	if _, err := a.Rollback(t.Context(), 0, app.Change{}); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("rollback without a past: %v", err)
	}
}

func openMinimal(t *testing.T) *app.App {
	_, a := mini(t)
	return a
}

// A rollback outlives a restart: the disk that it turned away from stays away
// until it changes or somebody asks for it.
func TestRollbackOutlivesRestart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, minimal)
	opt := app.Options{Engines: enginesForTest()}
	a, err := app.Open(t.Context(), dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, version(2))
	reload(t, a)
	if _, err := a.Rollback(t.Context(), 0, app.Change{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if a, err = app.Open(t.Context(), dir, opt); err != nil {
			t.Fatal(err)
		}
		s := a.Status()
		if s.Live.Number != 1 || !s.Drift || s.DriftWhy != "rolled back to gen 1" {
			t.Errorf("after a restart: gen %d, drift %v %q", s.Live.Number, s.Drift, s.DriftWhy)
		}
		if got := body(t, a, "/v"); got != `{"handler":1,"lib":1,"config":1}` {
			t.Error(got)
		}
	}
	if u := reload(t, a); u.Outcome != app.OutcomeLive || a.Status().Drift {
		t.Errorf("asked for: %+v", u)
	}
	if got := body(t, a, "/v"); got != `{"handler":2,"lib":2,"config":2}` {
		t.Error(got)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Disk ≠ live shows without the watcher, and while a lock holds changes back.
func TestDriftIsNeverHidden(t *testing.T) {
	for name, opt := range map[string]app.Options{
		"no watcher": {Notice: true},
		"lock":       {Watch: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, minimal)
			opt.Engines, opt.NoSync = enginesForTest(), true
			a, err := app.Open(t.Context(), dir, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close(context.Background())
			if opt.Watch {
				write(t, dir, map[string]string{".theseus-lock": ""})
			}
			write(t, dir, version(2))
			waitFor(t, "drift", func() bool { return a.Status().Drift })
			if s := a.Status(); s.Live.Number != 1 || !strings.Contains(s.DriftWhy, "changed on disk") {
				t.Errorf("gen %d, %q", s.Live.Number, s.DriftWhy)
			}
			write(t, dir, map[string]string{".theseus-lock": "-"})
			if !opt.Watch {
				reload(t, a)
			}
			waitFor(t, "the change to be applied", func() bool { s := a.Status(); return s.Live.Number == 2 && !s.Drift })
		})
	}
}
