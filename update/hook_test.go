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

// A rollback by a person waits for no guard: going back must work in an overload.
func TestGuardsLetARollbackPass(t *testing.T) {
	t.Parallel()
	ill := Facts{Load: 100, Latency: time.Hour, Workers: map[string]error{"a": errors.New("down")}}
	r, k, _ := fixture(RunnerOptions{Patience: time.Millisecond,
		Guards: func() Guards { return Guards{MaxLoad: 1, MaxLatency: time.Second} }, Facts: func() Facts { return ill }})
	for _, proven := range []bool{true, false} {
		c := change(fmt.Sprint("u", proven))
		c.Kind, c.Proven = KindRollback, proven
		if err := r.Do(t.Context(), c, &fake{to: Version{Number: 1}}); err != nil {
			t.Error(err)
		}
	}
	for _, kind := range []Kind{KindApp, KindBinary} {
		c := change("u" + string(kind))
		c.Kind = kind
		err := r.Do(t.Context(), c, &fake{to: Version{Number: 2}})
		if w, ok := errors.AsType[*WaitingError](err); !ok || w.Guard != GuardLoad || w.Patience != time.Millisecond {
			t.Errorf("%s: %v", kind, err)
		}
	}
	want(t, "live", k.m.Slot("app").Live.Number, 1)
}

// What waits says so, can be interrupted, and is told as a step.
func TestGuardsWait(t *testing.T) {
	t.Parallel()
	var steps []string
	looks, waits := 0, make(chan struct{})
	r, k, _ := fixture(RunnerOptions{
		Guards: func() Guards { return Guards{MaxLatency: time.Second, Patience: time.Hour} },
		Facts: func() Facts {
			if looks++; looks == 2 { // after the first it waits
				close(waits)
			}
			return Facts{Latency: 2 * time.Second}
		},
		Step: func(_ Change, step string, _ time.Duration, err error) {
			steps = append(steps, fmt.Sprint(step, err != nil))
		},
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Do(ctx, change("u2"), &fake{to: Version{Number: 2}}) }()
	<-waits
	want(t, "waiting", r.Doing().Waiting, "preparing waits for max_latency: the 99th percentile of answers is 2s, to be below 1s")
	cancel(errors.New("somebody goes back"))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "somebody goes back") {
		t.Error(err)
	}
	want(t, "doing", r.Doing(), Doing{})
	want(t, "steps", steps, "[preparefalse waittrue]")
	want(t, "state", k.m.State(), "idle")
}

func TestHookReports(t *testing.T) {
	t.Parallel()
	var reports []string
	var calls []HookCall
	var r *Runner
	stop := errors.New("no")
	note := func(_ context.Context, c HookCall) error {
		calls = append(calls, c)
		reports = append(reports, r.Doing().String())
		return nil
	}
	r, _, _ = fixture(RunnerOptions{
		Hooks: []Hook{
			{Name: "see", Run: note},
			{Name: "binary", Kinds: []Kind{KindBinary}, Run: func(context.Context, HookCall) error { return errors.New("not for this kind") }},
			{Name: "bad", Step: "swap", After: true, Run: func(context.Context, HookCall) error { return stop }},
			{Name: "wild", Step: "swap", After: true, Run: func(context.Context, HookCall) error { panic("wild") }},
		},
		Hooked: func(p HookReport) {
			reports = append(reports, fmt.Sprint(p.Hook, " ", place(p.Step, p.After), ": ", p.Err))
		},
	})
	if err := r.Do(t.Context(), change("u2"), &fake{to: Version{Number: 2}}); err != nil {
		t.Fatal(err)
	}
	want(t, "reports", strings.Join(reports, "\n"), strings.Join([]string{
		"before prepare, hook see", "see before prepare: <nil>", "before sync, hook see", "see before sync: <nil>",
		"before swap, hook see", "see before swap: <nil>",
		"bad after swap: hook bad, after swap: no", "wild after swap: hook wild, after swap: it panicked: wild",
	}, "\n"))
	last := calls[len(calls)-1].Change
	want(t, "from and to", fmt.Sprint(last.From.Number, last.To.Number), "1 2")
}

// The way back waits for no hook and is stopped by none; those after a step are
// left to themselves when something else is wanted.
func TestHooksHoldNoWayBack(t *testing.T) {
	t.Parallel()
	release, after, begun := make(chan struct{}), make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	hang := func(context.Context, HookCall) error { close(after); <-release; return nil }
	s := &fake{to: Version{Number: 2}}
	r, k, _ := fixture(RunnerOptions{Observe: func(string, Trial) {}, Hooks: []Hook{
		{Name: "no", Step: "revert", Run: func(context.Context, HookCall) error { return errors.New("never") }},
		{Name: "hangs", Step: "revert", Timeout: time.Hour, Run: func(ctx context.Context, _ HookCall) error { close(begun); <-ctx.Done(); return ctx.Err() }},
		{Name: "after", Step: "swap", After: true, Timeout: time.Hour, Run: hang},
	}})
	defer close(release)
	done := make(chan error, 1)
	go func() { done <- r.Do(ctx, change("u2"), s) }()
	<-after
	want(t, "live before the hook has ended", r.Machine().Slot("app").Live.Number, 2)
	cancel()
	want(t, "done", <-done, nil)

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	back := make(chan struct{})
	go func() {
		done <- r.Verdict(ctx, "app", "u2", errors.New("errors"), func(context.Context, Version) error { close(back); return nil })
	}()
	<-back
	<-begun
	cancel()
	want(t, "verdict", <-done, nil)
	want(t, "live", k.m.Slot("app").Live.Number, 1)
}

// A hook before a step that is told to end ends the change with the reason.
func TestHookInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	back := errors.New("somebody goes back")
	r, _, told := fixture(RunnerOptions{Hooks: []Hook{{Name: "slow", Step: "sync", Timeout: time.Hour,
		Run: func(ctx context.Context, _ HookCall) error { cancel(back); <-ctx.Done(); return ctx.Err() }}}})
	s := &fake{to: Version{Number: 2}}
	if err := r.Do(ctx, change("u2"), s); !errors.Is(err, back) {
		t.Error(err)
	}
	want(t, "told", *told, "[2 refused]")
	if !slices.Contains(s.did, "discard") {
		t.Error(s.did)
	}
}
