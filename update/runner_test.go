package update

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A memory keeps a machine in memory; fail makes its writes fail.
type memory struct {
	m    Machine
	log  []string // phases that were committed
	fail func(commit int) error
	n    int
}

func (k *memory) Machine() *Machine { return k.m.Clone() }

func (k *memory) Step(e Event, _ ...File) ([]Effect, error) {
	effects, err := k.m.Step(e)
	if err != nil {
		return nil, err
	}
	var rest []Effect
	for _, f := range effects {
		if f.Do != Commit && f.Do != Write {
			rest = append(rest, f)
			continue
		}
		k.n++
		if k.fail != nil {
			if ferr := k.fail(k.n); ferr != nil {
				err = &KeepError{ferr}
			}
		}
		if f.Do == Commit {
			k.log = append(k.log, string(k.m.at()))
		}
	}
	return rest, err
}

// A fake is a Subject that notes what is asked of it.
type fake struct {
	did  []string
	errs map[string]error
	to   Version
}

func (f *fake) do(step string) error { f.did = append(f.did, step); return f.errs[step] }

func (f *fake) Prepare(context.Context) (Version, error) { return f.to, f.do("prepare") }
func (f *fake) Sync(context.Context) ([]File, error)     { return nil, f.do("sync") }
func (f *fake) Swap(context.Context) error               { return f.do("swap") }
func (f *fake) Revert(context.Context) error             { return f.do("revert") }
func (f *fake) Discard()                                 { f.did = append(f.did, "discard") }
func (f *fake) back(context.Context, Version) error      { return f.do("back") }

func fixture(opt RunnerOptions) (*Runner, *memory, *[]string) {
	k := &memory{m: Machine{Slots: map[string]*Slot{"app": {Live: Version{Number: 1}, Permanent: Version{Number: 1}}}}}
	var told []string
	opt.Keeper = k
	opt.Report = func(r Report) { told = append(told, fmt.Sprintf("%d %s", r.Version.Number, r.Outcome)) }
	return NewRunner(opt), k, &told
}

func change(id string) Change { return Change{ID: id, Kind: KindApp, Slot: "app", Source: id} }

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func TestRunner(t *testing.T) {
	t.Parallel()
	var observed []string
	r, k, told := fixture(RunnerOptions{Observe: func(slot string, t Trial) { observed = append(observed, slot+" "+t.Change) }})
	s := &fake{to: Version{Number: 2}}
	if err := r.Do(t.Context(), change("u2"), s); err != nil {
		t.Fatal(err)
	}
	want(t, "did", s.did, "[prepare sync swap]")
	want(t, "committed", k.log, "[swapping idle]")
	want(t, "observed", observed, "[app u2]")
	want(t, "verdict on another", r.Verdict(t.Context(), "app", "u1", nil, nil), ErrNotOnTrial)
	want(t, "verdict", r.Verdict(t.Context(), "app", "u2", nil, nil), nil)
	want(t, "told", *told, "[2 live 2 permanent]")
	want(t, "permanent", k.m.Slot("app").Permanent.Number, 2)

	s = &fake{to: Version{Number: 3}}
	if err := r.Do(t.Context(), change("u3"), s); err != nil {
		t.Fatal(err)
	}
	want(t, "bad verdict", r.Verdict(t.Context(), "app", "u3", errors.New("errors"), s.back), nil)
	want(t, "did", s.did, "[prepare sync swap back]")
	want(t, "live", k.m.Slot("app").Live.Number, 2)
	want(t, "told", (*told)[2:], "[3 live 3 rolled_back]")
	if _, held := errors.AsType[*HeldError](r.Do(t.Context(), change("u3"), s)); !held {
		t.Error("it is applied again")
	}
}

func TestRunnerFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		step string
		did  string
	}{
		{"prepare", "[prepare discard]"},
		{"sync", "[prepare sync discard]"},
		{"swap", "[prepare sync swap revert discard]"},
	} {
		r, k, told := fixture(RunnerOptions{})
		s := &fake{to: Version{Number: 2}, errs: map[string]error{c.step: broken}}
		err := r.Do(t.Context(), change("u2"), s)
		if e, ok := errors.AsType[*ChangeError](err); !ok || e.Step != c.step || !errors.Is(err, broken) {
			t.Errorf("%s: %v", c.step, err)
		}
		want(t, c.step+" did", s.did, c.did)
		want(t, c.step+" live", k.m.Slot("app").Live.Number, 1)
		want(t, c.step+" state", k.m.State(), "idle")
		want(t, c.step+" told", len(*told), 1)
	}
}

// TestRunnerJournalFails: nothing becomes visible of which the journal does not know,
// and what is visible is told even if the journal fails then.
func TestRunnerJournalFails(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for n := 1; n <= 6; n++ {
		r, k, _ := fixture(RunnerOptions{})
		k.fail = func(i int) error {
			if i == n {
				return full
			}
			return nil
		}
		s := &fake{to: Version{Number: 2}}
		err := r.Do(t.Context(), change("u2"), s)
		visible := slices.Contains(s.did, "swap")
		live := k.m.Slot("app").Live.Number == 2
		_, unkept := errors.AsType[*KeepError](err)
		_, failed := errors.AsType[*ChangeError](err)
		if visible != live || visible == failed {
			t.Errorf("write %d fails: visible %v, live %v, %v", n, visible, live, err)
		}
		if err != nil && !unkept && !failed {
			t.Errorf("write %d fails: %v", n, err)
		}
		if k.m.at() != Idle {
			t.Errorf("write %d fails: stuck in %s", n, k.m.at())
		}
	}
}

func TestRunnerGuards(t *testing.T) {
	t.Parallel()
	load := make(chan float64, 3)
	load <- 5
	load <- 4
	r, _, _ := fixture(RunnerOptions{
		Guards: func() Guards { return Guards{MaxLoad: 2} },
		Facts: func() Facts {
			select {
			case l := <-load:
				return Facts{Load: l}
			default:
				return Facts{Load: 1}
			}
		},
	})
	if err := r.Do(t.Context(), change("u2"), &fake{to: Version{Number: 2}}); err != nil {
		t.Fatal(err)
	}
	r, k, _ := fixture(RunnerOptions{Patience: time.Millisecond, Facts: func() Facts { return Facts{Workers: map[string]error{"db": errors.New("down")}} }})
	s := &fake{to: Version{Number: 2}}
	err := r.Do(t.Context(), change("u2"), s)
	if err == nil || !strings.Contains(err.Error(), "syncing waits for workers: not healthy: db: down; for longer than 1ms") {
		t.Error(err)
	}
	want(t, "did", s.did, "[prepare sync discard]")
	want(t, "state", k.m.State(), "idle")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("given up"))
	if err := r.Do(ctx, change("u3"), &fake{}); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Error(err)
	}
}

func TestHooks(t *testing.T) {
	t.Parallel()
	var called []string
	note := func(name string, err error) func(context.Context, HookCall) error {
		return func(_ context.Context, c HookCall) error {
			called = append(called, fmt.Sprintf("%s %s %v", name, c.Step, c.After))
			return err
		}
	}
	stop := errors.New("not on Fridays")
	r, k, _ := fixture(RunnerOptions{Hooks: []Hook{
		{Name: "all", Run: note("all", nil)},
		{Name: "swap", Step: "swap", Run: note("swap", stop)},
		{Name: "never", Step: "swap", Run: note("never", nil)},
		{Name: "after", Step: "swap", After: true, Run: note("after", nil)},
	}})
	s := &fake{to: Version{Number: 2}}
	err := r.Do(t.Context(), change("u2"), s)
	if !errors.Is(err, stop) || err.Error() != "swap: hook swap, before swap: not on Fridays" {
		t.Error(err)
	}
	want(t, "called", strings.Join(called, ", "), "all prepare false, all sync false, all swap false, swap swap false, after swap true")
	want(t, "did", s.did, "[prepare sync discard]")
	want(t, "live", k.m.Slot("app").Live.Number, 1)

	// One that does not heed its context is left behind.
	forever := make(chan struct{})
	defer close(forever)
	r, _, _ = fixture(RunnerOptions{Hooks: []Hook{{Name: "slow", Step: "prepare", Timeout: time.Millisecond, Run: func(context.Context, HookCall) error { <-forever; return nil }}}})
	if err := r.Do(t.Context(), change("u2"), &fake{}); err == nil || !strings.Contains(err.Error(), "hook slow, before prepare: it has not ended within 1ms") {
		t.Error(err)
	}
}
