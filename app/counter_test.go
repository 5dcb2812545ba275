package app_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/internal/executable"
)

// stating is version n of an app that states a rollback counter.
func stating(n, counter int) map[string]string {
	files := maps.Clone(minimal)
	maps.Copy(files, version(n))
	files["theseus.yaml"] = fmt.Sprintf("rollout: { trial: 24h, counter: %d }\n", counter) + minimal["theseus.yaml"]
	return files
}

// wantDowngrade fails unless err is a refusal by the counter.
func wantDowngrade(t *testing.T, err error, text string) {
	t.Helper()
	var refused *app.RefusedError
	if !errors.As(err, &refused) || refused.Update.Problems[0].Kind != "counter" || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v, want %q", err, text)
	}
}

// A counter protects once its generation is permanent, and then in every direction
// but by force; the way back from a trial is open.
func TestCounter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, stating(1, 1))
	a := open(t, dir)
	write(t, dir, stating(2, 5))
	reload(t, a)
	if s := a.Status(); s.Floor != 1 || !s.OnTrial || s.Live.Counter != 5 {
		t.Fatalf("on trial: floor %d, %+v", s.Floor, s.Live)
	}
	u, err := a.Rollback(t.Context(), 1, app.Change{Who: "alice"})
	if err != nil || u.Who != "alice" {
		t.Fatalf("from a trial: %+v %v", u, err)
	}
	if _, err := a.Rollback(t.Context(), 2, app.Change{}); err != nil { // which makes it permanent
		t.Fatal(err)
	}
	if s := a.Status(); s.Floor != 5 {
		t.Fatalf("the floor is %d, want 5", s.Floor)
	}

	staged := a.Status().Staged
	_, err = a.Rollback(t.Context(), 1, app.Change{})
	wantDowngrade(t, err, "counter 1 is below 5, which gen 2 has proved")
	if s := a.Status(); s.Live.Number != 2 || s.Staged.Error != staged.Error {
		t.Fatalf("a refused rollback: gen %d, the disk %+v", s.Live.Number, s.Staged)
	}
	write(t, dir, stating(3, 4))
	_, err = a.Reload(t.Context(), app.Change{Trigger: "api"})
	wantDowngrade(t, err, "theseus.yaml:1:24: counter 4 is below 5")
	if p, err := a.Plan(t.Context()); err != nil || len(p.Problems) != 1 {
		t.Errorf("plan: %+v %v", p.Problems, err)
	}

	u, err = a.Rollback(t.Context(), 1, app.Change{Force: true, Who: "alice"})
	if err != nil || len(u.Warnings) != 1 || !strings.Contains(u.Warnings[0].Message, "it was forced") {
		t.Fatalf("forced: %+v %v", u.Warnings, err)
	}
	if s := a.Status(); s.Live.Number != 1 || s.Floor != 5 {
		t.Errorf("forced: gen %d, floor %d", s.Live.Number, s.Floor)
	}

	// A restart knows all that, also what it must not do.
	left := died(t, dir)
	write(t, left, stating(4, 4))
	b := open(t, left)
	if s := b.Status(); s.Live.Number != 1 || s.Floor != 5 || !strings.Contains(s.DriftWhy, "counter 4 is below 5") {
		t.Errorf("restarted: gen %d, floor %d, %s", s.Live.Number, s.Floor, s.DriftWhy)
	}
	if u := b.Updates(0); !strings.Contains(fmt.Sprintf("%+v", u), "Who:alice") {
		t.Error("the history has lost who it was")
	}
	write(t, left, stating(4, 5))
	reload(t, b)
}

// A generation says which program made it, a status which one runs.
func TestProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, minimal)
	want := app.Program{Version: "v1", Commit: "abc", Counter: 3}
	a, err := app.Open(t.Context(), dir, app.Options{Engines: engines.All(), NoSync: true, Program: &want})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	want.Digest, err = executable.SelfDigest()
	if self, e := os.Executable(); err == nil && e == nil {
		info, e := executable.Inspect(self)
		if e != nil || info.Digest != want.Digest {
			t.Errorf("the digest is %s, of the file %v %v", want.Digest, info, e)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if s := a.Status(); s.Program == nil || *s.Program != want || s.Live.Program == nil || *s.Live.Program != want {
		t.Errorf("status %+v, generation %+v, want %+v", s.Program, s.Live.Program, want)
	}
	if g := open(t, died(t, dir)).Generations(); g[0].Program == nil || *g[0].Program != want {
		t.Errorf("stored: %+v", g[0])
	}
	for _, c := range []struct {
		counter int64
		force   bool
		ok      bool
	}{{2, false, false}, {3, false, true}, {4, false, true}, {0, true, true}} {
		if err := a.AcceptProgram(app.Program{Counter: c.counter}, "alice", c.force); (err == nil) != c.ok {
			t.Errorf("a program with counter %d, force %t: %v", c.counter, c.force, err)
		}
	}
}
