package update

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Subject is what one change is about: it knows how to build the version, to
// keep it, and to show it. Its methods are called one at a time, in the order of
// the phases.
type Subject interface {
	// Prepare builds and checks the version. Nothing that others see changes.
	Prepare(ctx context.Context) (Version, error)

	// Sync makes it survive a crash, and warms it. The files are kept by the
	// journal: they need not be synced.
	Sync(ctx context.Context) ([]File, error)

	// Swap makes it visible to all that begins from now on. An error means that it
	// may be seen in part; Revert follows.
	Swap(ctx context.Context) error

	// Revert makes what was visible before Swap visible again.
	Revert(ctx context.Context) error

	// Discard drops what was built. It is called at most once, and never after
	// Swap has succeeded.
	Discard()
}

// A Final is a Subject that may have no way back. It is asked once Prepare has
// succeeded; if it says so the version is proven when it is visible, without a trial.
type Final interface{ Final() bool }

// A Settled is a Subject that may be of a version that serves already, and only needs
// to be noted: no hooks run around it then.
type Settled interface{ Settled() bool }

// A Blamed error of a Subject holds its source back: what failed is the version's
// own doing, and is not to be tried again by itself.
type Blamed struct{ Err error }

// Error is that of the cause.
func (b Blamed) Error() string { return b.Err.Error() }

// Unwrap returns the cause.
func (b Blamed) Unwrap() error { return b.Err }

// A Keeper keeps a machine: each Step is one of [Machine.Step], of which it
// carries out Write and Commit, so that the effects that it returns may be carried
// out.
//
// After an error of the disk the event has happened in memory alone: the error is a
// [*KeepError], and the effects are returned all the same.
type Keeper interface {
	Step(e Event, files ...File) ([]Effect, error)
	Machine() *Machine // a copy
}

// A KeepError says that the journal could not be written.
type KeepError struct{ Err error }

// Error says so.
func (e *KeepError) Error() string { return "the journal could not be written: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *KeepError) Unwrap() error { return e.Err }

// RunnerOptions configure a [Runner]. Keeper is required; the rest may be zero.
type RunnerOptions struct {
	Keeper Keeper
	Hooks  []Hook

	// Guards and Facts are asked for as often as a guard is looked at. Nil means that
	// all pass.
	Guards func() Guards
	Facts  func() Facts

	// Patience is how long a change waits for its guards before it is refused, where
	// they do not say. Zero means one minute.
	Patience time.Duration

	// Observe is called when a version is on trial in a slot; it returns at once, and
	// calls [Runner.Verdict] in time. Nil means that it is proven at once.
	Observe func(slot string, t Trial)

	// Report is called for each report, in their order. It must return soon.
	Report func(Report)

	// Now returns the time by the wall clock. Nil means time.Now.
	Now func() time.Time

	// Step is called when a step of a change has ended, with its hooks before it, and
	// as "wait" when the change has waited for a guard. It must return soon.
	Step func(c Change, step string, took time.Duration, err error)

	// Hooked is called when a hook has ended, unless nobody waited for that. It must
	// return soon.
	Hooked func(HookReport)
}

// A Runner carries changes through a machine. Methods are safe for concurrent use;
// one change is under way at a time, the next gets [ErrBusy].
type Runner struct {
	opt RunnerOptions

	mu sync.Mutex // held for each event and its effects up to the next

	seen  sync.Mutex
	doing []*Doing // the last is the innermost; guarded by seen
}

// Doing is what the change under way is at.
type Doing struct {
	Step    string    // "prepare", "sync", "swap", "revert"; empty between them
	Hook    string    // the hook that runs; empty for none
	After   bool      // it is one after the step
	Waiting string    // the guard that the change waits for, with its ceiling and the value; empty for none
	Since   time.Time // when that began
}

// String is "swap", "before swap, hook NAME"; empty for nothing.
func (d Doing) String() string {
	if d.Hook != "" {
		return place(d.Step, d.After) + ", hook " + d.Hook
	}
	return d.Step
}

// guardPause is between two looks at a guard that does not pass.
const guardPause = 50 * time.Millisecond

// NewRunner returns a Runner.
func NewRunner(opt RunnerOptions) *Runner {
	if opt.Patience == 0 {
		opt.Patience = time.Minute
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Guards == nil {
		opt.Guards = func() Guards { return Guards{} }
	}
	if opt.Facts == nil {
		opt.Facts = func() Facts { return Facts{} }
	}
	if opt.Report == nil {
		opt.Report = func(Report) {}
	}
	if opt.Step == nil {
		opt.Step = func(Change, string, time.Duration, error) {}
	}
	if opt.Hooked == nil {
		opt.Hooked = func(HookReport) {}
	}
	return &Runner{opt: opt}
}

// Doing returns what the change under way is at; the zero Doing for none.
func (r *Runner) Doing() Doing {
	r.seen.Lock()
	defer r.seen.Unlock()
	if len(r.doing) == 0 {
		return Doing{}
	}
	return *r.doing[len(r.doing)-1]
}

// at notes what the change is at until leave is called.
func (r *Runner) at(d Doing) (leave func()) {
	r.seen.Lock()
	defer r.seen.Unlock()
	r.doing = append(r.doing, &d)
	return func() {
		r.seen.Lock()
		defer r.seen.Unlock()
		r.doing = slices.DeleteFunc(r.doing, func(o *Doing) bool { return o == &d })
	}
}

// Machine returns a copy of the machine.
func (r *Runner) Machine() *Machine { return r.opt.Keeper.Machine() }

// Do carries a change through, and returns when it is visible, or refused. The
// change must have its ID, Kind, Slot and Trigger; Began is set when it is zero.
//
// The error is [ErrBusy] or a [*HeldError] when it was not begun, a [*KeepError]
// when it is visible and the disk does not know, so that a restart would begin with
// what was permanent before, else a [*ChangeError]. Ctx ending before the swap ends
// the change.
func (r *Runner) Do(ctx context.Context, c Change, s Subject) error {
	if c.Began.IsZero() {
		c.Began = r.opt.Now()
	}
	if _, err := r.step(Trigger{c}); err != nil && !isKeep(err) {
		return err
	}
	if m := r.Machine(); m.Change != nil {
		c = *m.Change // with what it comes from
	}
	defer r.at(Doing{Since: c.Began})()
	run := &running{r: r, c: c, s: s}
	if q, ok := s.(Settled); ok {
		run.quiet = q.Settled()
	}
	if err := run.all(ctx); err != nil {
		run.fail(ctx, err)
		return &ChangeError{Step: run.at, Err: err}
	}
	return run.kept
}

// A ChangeError says at which step a change failed. What was live is.
type ChangeError struct {
	Step string // "prepare", "sync", "swap"
	Err  error
}

// Error says what failed.
func (e *ChangeError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ChangeError) Unwrap() error { return e.Err }

func isKeep(err error) bool {
	_, ok := errors.AsType[*KeepError](err)
	return ok
}

// step takes an event, tells the reports, and returns the other effects.
func (r *Runner) step(e Event, files ...File) (rest []Effect, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	effects, err := r.opt.Keeper.Step(e, files...)
	if err != nil && !isKeep(err) {
		return nil, err
	}
	for _, f := range effects {
		if f.Do == Tell {
			r.opt.Report(f.Report)
		} else {
			rest = append(rest, f)
		}
	}
	return rest, err
}

// running is a change under way.
type running struct {
	r       *Runner
	c       Change
	s       Subject
	at      string
	files   []File
	quiet   bool  // no hooks run
	swapped bool  // Swap was called
	kept    error // why the journal does not know that it was swapped
}

// all takes the change through its phases.
func (run *running) all(ctx context.Context) error {
	r := run.r
	if _, err := r.step(Begin{}); err != nil {
		return err
	}
	var to Version
	err := run.timed(ctx, "prepare", func() (err error) {
		to, err = run.s.Prepare(ctx)
		return err
	})
	if err != nil {
		return err
	}
	f, ok := run.s.(Final)
	if _, err := r.step(Prepared{To: to, Final: ok && f.Final()}); err != nil {
		return err
	}
	run.c.To = to
	if err := run.proceed(ctx); err != nil {
		return err
	}
	err = run.timed(ctx, "sync", func() (err error) {
		run.files, err = run.s.Sync(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := r.step(Synced{}); err != nil {
		return err
	}
	return run.swap(ctx)
}

// swap makes the version visible.
func (run *running) swap(ctx context.Context) error {
	return run.timed(ctx, "swap", func() error {
		if err := run.proceed(ctx, run.files...); err != nil {
			return err
		}
		run.swapped = true
		if err := run.s.Swap(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		effects, err := run.r.step(Swapped{run.r.opt.Now()})
		if err != nil && !isKeep(err) {
			return err
		}
		run.kept = err // it serves
		run.r.observe(run.c.Slot, effects)
		return nil
	})
}

// observe begins the trial of what is live now.
func (r *Runner) observe(slot string, effects []Effect) {
	for _, f := range effects {
		t := r.Machine().Slot(slot).Trial
		if f.Do != Observe || t == nil {
			continue
		}
		if r.opt.Observe != nil {
			r.opt.Observe(slot, *t)
			continue
		}
		_ = r.Verdict(context.Background(), slot, t.Change, nil, nil)
	}
}

// proceed leaves a phase that is done when the guards let it.
func (run *running) proceed(ctx context.Context, files ...File) error {
	r := run.r
	return r.await(ctx, run.c, func() (time.Duration, error) {
		guards := r.opt.Guards()
		_, err := r.step(Proceed{guards, r.opt.Facts()}, files...)
		return guards.Patience, err
	})
}

// Await waits for the guards that hold a change before it is written; see
// [Runner.Before].
func (r *Runner) Await(ctx context.Context, c Change, guards Guards) error {
	return r.await(ctx, c, func() (time.Duration, error) {
		if guard, why := guards.waiting(Preparing, r.opt.Facts()); guard != "" {
			return guards.Patience, &WaitingError{Phase: Preparing, Guard: guard, For: why}
		}
		return 0, nil
	})
}

// await tries to go on until that is not refused by a guard any more.
func (r *Runner) await(ctx context.Context, c Change, try func() (patience time.Duration, _ error)) (failure error) {
	began := time.Now()
	leave := func() {}
	var over <-chan time.Time
	for {
		patience, err := try()
		w, waits := errors.AsType[*WaitingError](err)
		if !waits {
			return err
		}
		w.Patience = cmp.Or(patience, r.opt.Patience)
		if over == nil {
			over = time.After(w.Patience)
			defer func() {
				leave()
				r.opt.Step(c, "wait", time.Since(began), failure)
			}()
		}
		before := leave
		leave = r.at(Doing{Waiting: w.Error(), Since: began})
		before() // at no time it is seen not to wait
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over:
			return fmt.Errorf("%w; for longer than %s", w, w.Patience)
		case <-time.After(guardPause):
		}
	}
}

// timed runs a step between its hooks.
func (run *running) timed(ctx context.Context, step string, do func() error) error {
	run.at = step
	began := time.Now()
	defer run.r.at(Doing{Step: step, Since: began})()
	err := context.Cause(ctx)
	if err == nil && !run.quiet {
		err = run.r.Before(ctx, run.c, step)
	}
	if err == nil {
		err = do()
	}
	run.r.opt.Step(run.c, step, time.Since(began), err)
	if !run.quiet {
		run.r.After(ctx, run.c, step, err)
	}
	return err
}

// fail takes the change back.
func (run *running) fail(ctx context.Context, why error) {
	_, blame := errors.AsType[Blamed](why)
	effects, err := run.r.step(Failed{Why: why.Error(), Blame: blame, At: run.r.opt.Now()})
	if err != nil && !isKeep(err) {
		return // it has not begun
	}
	for _, f := range effects {
		switch f.Do {
		case Discard:
			run.s.Discard()
		case Revert:
			_ = run.r.Revert(ctx, run.c, func() (err error) {
				if run.swapped {
					err = run.s.Revert(context.WithoutCancel(ctx))
				}
				_ = run.r.reverted(run.s.Discard) // why it is taken back is what counts
				return err
			})
		}
	}
}

// reverted says that what was permanent serves again.
func (r *Runner) reverted(discard func()) error {
	effects, err := r.step(Reverted{r.opt.Now()})
	for _, f := range effects {
		if f.Do == Discard && discard != nil {
			discard()
		}
	}
	return err
}

// Step takes an event whose effects are the caller's own doing, and tells what there
// is to tell. The errors are those of [Keeper].
func (r *Runner) Step(e Event) error {
	_, err := r.step(e)
	return err
}

// Verdict ends the trial of a change in a slot: a nil why proves the version, any
// other takes it back by revert, which makes the given version visible again. The
// error is [ErrNotOnTrial] when it is not on trial any more, [ErrBusy] while another
// change is under way, and a [*KeepError] when the journal could not be written: the
// version that is visible is right all the same. Ctx ending ends the waiting for hooks
// alone.
func (r *Runner) Verdict(ctx context.Context, slot, change string, why error, revert func(context.Context, Version) error) error {
	m := r.Machine()
	switch t := m.Slot(slot).Trial; {
	case t == nil || t.Change != change:
		return ErrNotOnTrial
	case m.at() != Idle:
		return fmt.Errorf("%w: %s", ErrBusy, m.at())
	case why == nil:
		_, err := r.step(Proven{Slot: slot, At: r.opt.Now()})
		return err
	}
	c := Change{ID: change, Kind: KindRevert, Slot: slot, Trigger: "trial", Began: r.opt.Now(),
		From: m.Slot(slot).Live, To: m.Slot(slot).Permanent, Message: why.Error()}
	_, kept := r.step(Misbehaved{Slot: slot, Why: why.Error(), At: c.Began})
	if kept != nil && !isKeep(kept) {
		return kept
	}
	defer r.at(Doing{Step: "revert", Since: c.Began})()
	err := r.Revert(ctx, c, func() error {
		err := revert(context.WithoutCancel(ctx), c.To)
		if e := r.reverted(nil); kept == nil {
			kept = e
		}
		return err
	})
	return errors.Join(err, kept)
}
