package update

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Hook is somebody's own code around a step of a change. One that runs before a
// step and fails stops the change there; a failure after a step is only told.
// Nothing stops the step "revert".
type Hook struct {
	Name    string        // for messages
	Step    string        // "prepare", "sync", "swap", "revert"; empty means each
	After   bool          // it runs after the step, else before
	Timeout time.Duration // zero means 10 seconds
	Run     func(ctx context.Context, call HookCall) error
}

// A HookCall tells a hook what it is called for.
type HookCall struct {
	Change Change `json:"change"`
	Step   string `json:"step"`
	After  bool   `json:"after"`
	Error  string `json:"error,omitempty"` // why the step failed, after it did
}

// A HookError is the failure of a hook.
type HookError struct {
	Name string
	Err  error
}

// Error names the hook.
func (e *HookError) Error() string { return fmt.Sprintf("hook %s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *HookError) Unwrap() error { return e.Err }

// hooks runs those of a step, in their order, and returns the first error. After
// a step all are run.
func (r *Runner) hooks(ctx context.Context, c Change, step string, after bool, failure error) error {
	call := HookCall{Change: c, Step: step, After: after}
	if failure != nil {
		call.Error = failure.Error()
	}
	var first error
	for _, h := range r.opt.Hooks {
		if h.After != after || h.Step != "" && h.Step != step {
			continue
		}
		if err := h.call(ctx, call); err != nil {
			first = errors.Join(first, err)
			if !after {
				return first
			}
		}
	}
	if first != nil {
		r.opt.Step(c, "after "+step, 0, first)
	}
	return first
}

// call runs the hook. One that does not heed its context is left behind.
func (h Hook) call(ctx context.Context, call HookCall) error {
	limit := h.Timeout
	if limit == 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, fmt.Errorf("it has not ended within %s", limit))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, call) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return &HookError{Name: h.Name, Err: err}
	}
	return nil
}
