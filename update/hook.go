package update

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Hook is somebody's own code around a step of a change. One that runs before a
// step and fails stops the change there; a failure after a step is only told.
//
// The way back of what misbehaved, the step "revert", is never stopped and waits for
// no hook: those before it are begun first, and run beside it.
type Hook struct {
	Name    string        // for messages
	Step    string        // one of Steps; empty means each
	Kinds   []Kind        // of the changes that it is for; empty means all
	After   bool          // it runs after the step, else before
	Timeout time.Duration // zero means 10 seconds
	Run     func(ctx context.Context, call HookCall) error
}

// Steps are what hooks may stand around.
var Steps = []string{"prepare", "sync", "swap", "revert"}

// DefaultHookTimeout is that of a hook that sets none.
const DefaultHookTimeout = 10 * time.Second

// A HookCall tells a hook what it is called for.
type HookCall struct {
	Change Change `json:"change"`
	Step   string `json:"step"`
	After  bool   `json:"after"`
	Error  string `json:"error,omitempty"` // why the step failed, after it did
}

// A HookReport tells how a hook ended.
type HookReport struct {
	Change Change
	Hook   string // its name
	Step   string
	After  bool
	Took   time.Duration
	Err    error // a *HookError; nil when it went well
}

// A HookError is the failure of a hook.
type HookError struct {
	Name  string
	Step  string
	After bool
	Err   error
}

// Error names the hook and where it stands.
func (e *HookError) Error() string {
	return fmt.Sprintf("hook %s, %s: %v", e.Name, place(e.Step, e.After), e.Err)
}

// Unwrap returns the cause.
func (e *HookError) Unwrap() error { return e.Err }

// place is "before swap", "after swap".
func place(step string, after bool) string {
	if after {
		return "after " + step
	}
	return "before " + step
}

// Before runs the hooks before a step of a change, and returns the failure of the
// first that fails. Ctx ending ends them. [Runner.Do] calls it by itself: it is for
// changes whose effects are the caller's own, see [Runner.Step].
func (r *Runner) Before(ctx context.Context, c Change, step string) error {
	return r.tell(r.hooks(ctx, HookCall{Change: c, Step: step}))
}

// After runs those after the step; failure is why the step failed, nil if it did
// not. They are not stopped when ctx ends, but left to themselves.
func (r *Runner) After(ctx context.Context, c Change, step string, failure error) {
	call := HookCall{Change: c, Step: step, After: true}
	if failure != nil {
		call.Error = failure.Error()
	}
	if !r.any(call) {
		return
	}
	done := make(chan []HookReport, 1)
	go func() { done <- r.hooks(context.WithoutCancel(ctx), call) }()
	select {
	case reports := <-done:
		_ = r.tell(reports)
	case <-ctx.Done():
	}
}

// Revert calls revert, which waits for none of the hooks around that step, and then
// waits for them until ctx ends.
func (r *Runner) Revert(ctx context.Context, c Change, revert func() error) error {
	call := HookCall{Change: c, Step: "revert"}
	before := make(chan []HookReport, 1)
	if r.any(call) {
		go func() { before <- r.hooks(ctx, call) }()
	} else {
		before <- nil
	}
	began := time.Now()
	err := revert()
	r.opt.Step(c, "revert", time.Since(began), err)
	select {
	case reports := <-before:
		_ = r.tell(reports)
	case <-ctx.Done():
	}
	r.After(ctx, c, "revert", err)
	return err
}

// hooks runs those of a step, in their order. One before a step that fails is the
// last.
func (r *Runner) hooks(ctx context.Context, call HookCall) (reports []HookReport) {
	for _, h := range r.opt.Hooks {
		if !h.fits(call) {
			continue
		}
		began := time.Now()
		leave := r.at(Doing{Step: call.Step, Hook: h.Name, After: call.After, Since: began})
		err := h.call(ctx, call)
		leave()
		reports = append(reports, HookReport{Change: call.Change, Hook: h.Name, Step: call.Step, After: call.After, Took: time.Since(began), Err: err})
		if err != nil && !call.After && call.Step != "revert" {
			break
		}
	}
	return reports
}

// tell passes reports on, and returns the first failure.
func (r *Runner) tell(reports []HookReport) (first error) {
	for _, p := range reports {
		r.opt.Hooked(p)
		if first == nil {
			first = p.Err
		}
	}
	return first
}

// any reports whether a hook is for that call.
func (r *Runner) any(call HookCall) bool {
	return slices.ContainsFunc(r.opt.Hooks, func(h Hook) bool { return h.fits(call) })
}

// fits reports whether the hook is for that call.
func (h Hook) fits(call HookCall) bool {
	return h.After == call.After && (h.Step == "" || h.Step == call.Step) && (len(h.Kinds) == 0 || slices.Contains(h.Kinds, call.Change.Kind))
}

// call runs the hook. One that does not heed its context is left behind.
func (h Hook) call(ctx context.Context, call HookCall) error {
	limit := h.Timeout
	if limit == 0 {
		limit = DefaultHookTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it has not ended within %s", limit))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("it panicked: %v", p)
			}
		}()
		done <- h.Run(ctx, call)
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
		select {
		case e := <-done: // it was told to end; it may say more of that
			if e == nil || errors.Is(e, err) {
				err = e
			}
		case <-time.After(hookGrace):
		}
	}
	if err != nil {
		return &HookError{Name: h.Name, Step: call.Step, After: call.After, Err: err}
	}
	return nil
}

// hookGrace is what a hook gets to return once its context has ended.
const hookGrace = 2 * time.Second
