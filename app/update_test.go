package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app"
)

// slowGate is an app whose next change has tests that take a minute.
func slowGate(t *testing.T) (string, *app.App) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, minimal)
	write(t, dir, map[string]string{"handlers/slow.js": "export default () => { sleep(4000); return 1; };\n",
		"theseus.yaml": minimal["theseus.yaml"] + "  GET /slow: handlers/slow.js\n"})
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, version(2))
	reload(t, a)
	test := ""
	for n := range 15 {
		test += fmt.Sprintf("- name: slow %d\n  request: GET /slow\n", n)
	}
	write(t, dir, map[string]string{"tests/slow.yaml": test})
	return dir, a
}

// A rollback does not wait for the tests of a change.
func TestRollbackInterruptsAnUpdate(t *testing.T) {
	_, a := slowGate(t)
	defer a.Close(context.Background())
	reloaded := make(chan error, 1)
	go func() {
		_, err := a.Reload(context.Background(), app.Change{Trigger: "api"})
		reloaded <- err
	}()
	waitFor(t, "the tests to run", func() bool { return a.Status().State == app.StatePreparing })
	begin := time.Now()
	if u, err := a.Rollback(t.Context(), 0, app.Change{}); err != nil || u.Generation != 1 {
		t.Fatal(u, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the rollback took %v", took)
	}
	if err := <-reloaded; err == nil || !strings.Contains(err.Error(), "a rollback was asked for") {
		t.Errorf("the interrupted update: %v", err)
	}
	if s := a.Status(); s.Live.Number != 1 || !s.Drift {
		t.Errorf("live %d, drift %v", s.Live.Number, s.Drift)
	}
}

// Closing ends an update; nothing goes live on the way out.
func TestCloseInterruptsAnUpdate(t *testing.T) {
	_, a := slowGate(t)
	reloaded := make(chan error, 1)
	go func() {
		_, err := a.Reload(context.Background(), app.Change{Trigger: "api"})
		reloaded <- err
	}()
	waitFor(t, "the tests to run", func() bool { return a.Status().State == app.StatePreparing })
	begin := time.Now()
	if err := a.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("closing took %v", took)
	}
	if err := <-reloaded; err == nil {
		t.Error("the update went live while the app closed")
	}
}

// A generation that is live again while its former self drains is freed when
// both are done, and not before.
func TestLiveAgainWhileDraining(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, minimal)
	write(t, dir, map[string]string{"handlers/slow.js": "export default () => { while (!kv.get('go')) sleep(2); return 1; };\n",
		"handlers/go.js": "export default () => { kv.set('go', true); };\n",
		"theseus.yaml":   minimal["theseus.yaml"] + "  GET /slow: handlers/slow.js\n  GET /go: handlers/go.js\n"})
	a := open(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		get(t, a, "GET", "/slow", "")
	}()
	waitFor(t, "the request", func() bool { return a.Status().Live.Inflight == 1 })
	write(t, dir, version(2))
	reload(t, a)
	for _, n := range []int{1, 2} {
		if _, err := a.Rollback(t.Context(), n, app.Change{}); err != nil {
			t.Fatal(err)
		}
	}
	d := a.Status().Draining
	if len(d) != 1 || d[0].Number != 1 || d[0].Inflight != 1 {
		t.Errorf("draining %+v", d)
	}
	get(t, a, "GET", "/go", "")
	<-done
	waitFreed(t, a)
}

// What a refused generation's tests began ends with them.
func TestRefusedGenerationRunsNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, minimal)
	a := open(t, dir)
	write(t, dir, map[string]string{
		"theseus.yaml":          minimal["theseus.yaml"] + "  POST /wf: workflows/wf.yaml\n",
		"workflows/wf.yaml":     "name: wf\nsteps:\n  a: { run: handlers/lib/wait.js, retry: { max: 50, backoff: 1s } }\n",
		"handlers/lib/wait.js":  "export default () => { sleep(4000); throw new Error('again'); };\n",
		"tests/a-workflow.yaml": "- name: begins\n  request: POST /wf\n  body: {}\n  expect: { status: 202 }\n",
		"tests/b-fails.yaml":    "- name: fails\n  request: GET /v\n  expect: { status: 404 }\n",
	})
	begin := time.Now()
	if _, err := a.Reload(t.Context(), app.Change{}); err == nil {
		t.Fatal("not refused")
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	if s := a.Status(); s.Runs != 0 || len(a.Runs(0)) != 0 {
		t.Errorf("%d runs are in progress", s.Runs)
	}
}

// Links never lead to what is hidden: the admin token lies in .theseus.
func TestLinkToTheToken(t *testing.T) {
	dir, a := mini(t)
	if err := os.Mkdir(filepath.Join(dir, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{".theseus/admin.json": "{}"})
	link := filepath.Join(dir, "public", "adm.txt")
	if err := os.Symlink("../.theseus/admin.json", link); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reload(t.Context(), app.Change{}); err == nil || !strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	if _, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), StateDir: filepath.Join(dir, "state")}); err == nil || !strings.Contains(err.Error(), "inside the app") {
		t.Errorf("a state directory inside the app: %v", err)
	}
}
