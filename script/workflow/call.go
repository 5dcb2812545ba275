package workflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/script"
)

// perform makes the call of a step, again after failures as far as its retries
// go.
func (x *execution) perform(ctx context.Context, s *step, inv invocation) outcome {
	o := outcome{step: s}
	began := time.Now()
	for {
		o.attempts++
		o.value, o.size, o.err = x.attempt(ctx, s, inv, o.attempts, o.err, began)
		o.took = time.Since(began)
		if o.err == nil {
			return o
		}
		if ctx.Err() != nil {
			o.stopped = true
			return o
		}
		if o.attempts > s.retries || !passing(o.err) {
			return o
		}
		timer := time.NewTimer(s.wait(o.attempts))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			o.stopped = true
			return o
		}
	}
}

// passing reports whether an error may be gone at the next try. An answer from
// 400 to 499 blames the request, which stays the same, but for three statuses
// that ask to come again.
func passing(err error) bool {
	if a, ok := errors.AsType[*answerError](err); ok && a.status < 500 {
		return a.status == http.StatusRequestTimeout || a.status == http.StatusTooEarly || a.status == http.StatusTooManyRequests
	}
	switch script.KindOf(err) {
	case script.Failed, script.Timeout:
		return true
	}
	return false
}

// attempt makes one call of a step. last is the error of the try before.
func (x *execution) attempt(ctx context.Context, s *step, inv invocation, n int, last error, began time.Time) (any, int64, error) {
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	x.observer.Step(s.name, Running, n, last, time.Since(began))
	run := ctx
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	v, err := x.call(ctx, inv)
	if err != nil {
		if ctx.Err() != nil && run.Err() == nil {
			err = &script.Error{Kind: script.Timeout, Message: fmt.Sprintf("timed out after %v", s.timeout), Err: err}
		}
		return nil, 0, err
	}
	tree, size, err := plain(v)
	if err == nil && s.http != nil {
		tree, err = s.http.result(tree)
	}
	return tree, size, err
}

// call asks the host. A panic of the host is an error.
func (x *execution) call(ctx context.Context, inv invocation) (v script.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s panicked: %v", inv.capability, r)
		}
	}()
	args := make([]script.Value, len(inv.args))
	for i, a := range inv.args {
		if !expr.Fits(a, x.u.limits.Output) {
			return v, &script.Error{Kind: script.Output, Message: fmt.Sprintf("the argument is larger than %d bytes", x.u.limits.Output)}
		}
		args[i] = script.Of(a)
	}
	v, err = x.host.Call(ctx, inv.capability, args)
	if err == nil {
		return v, nil
	}
	if _, ok := errors.AsType[*script.Error](err); !ok && errors.Is(err, context.DeadlineExceeded) {
		err = &script.Error{Kind: script.Timeout, Message: err.Error(), Err: err}
	}
	return v, err
}
