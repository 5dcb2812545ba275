package workflow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/theseus-run/theseus/script"
)

const (
	maxCalls  = 16 // calls of the host that a run makes at once
	maxNested = 32 // workflows that run each other
)

type depthKey struct{}

// Execute implements script.Unit. A failed run is an *script.Error of the kind
// of the failed step that stands first in the file; Refused means that the
// input is not what the workflow declares. No goroutine is left when it returns.
func (u *Unit) Execute(ctx context.Context, call script.Call) (script.Value, error) {
	if u.closed.Load() {
		return script.Value{}, u.refused("the workflow is closed")
	}
	if call.Func != "" && call.Func != "default" {
		err := &script.Error{Kind: script.Refused, File: u.name, Message: fmt.Sprintf("no export %q", call.Func), Hint: "a workflow exports default"}
		return script.Value{}, err
	}
	depth, _ := ctx.Value(depthKey{}).(int)
	if depth++; depth > min(maxNested, u.limits.Depth) {
		return script.Value{}, &script.Error{Kind: script.Depth, File: u.name, Message: fmt.Sprintf("more than %d workflows run each other", depth-1)}
	}
	input, err := u.bind(call.Args)
	if err != nil {
		return script.Value{}, err
	}
	observer, ctx := observerOf(context.WithValue(ctx, depthKey{}, depth))
	x := &execution{u: u, host: call.Host, observer: observer, caller: ctx,
		results: make(map[string]any, len(u.steps)), states: make([]state, len(u.steps)),
		ended: make(chan outcome, len(u.steps)), slots: make(chan struct{}, maxCalls)}
	if x.host == nil {
		x.host = script.HostFunc(func(context.Context, string, []script.Value) (script.Value, error) {
			return script.Value{}, &script.Error{Kind: script.Denied, Message: "the host grants nothing"}
		})
	}
	return x.execute(input)
}

// An execution is one run. Its fields belong to the goroutine of Execute, which
// computes all expressions; only the calls of the host are made by others.
type execution struct {
	u        *Unit
	host     script.Host
	observer Observer
	caller   context.Context // of Execute
	vars     map[string]any
	results  map[string]any
	states   []state
	ended    chan outcome
	slots    chan struct{}
	running  int
	memory   int64 // bytes of results so far
}

// state is where one step stands.
type state struct {
	waits       int // needs that have not ended
	ended       bool
	status      string
	failedAbove bool // a step that it needs, directly or through others, failed
	err         *script.Error
	stopped     bool // err is because the run was stopped
}

// An outcome is how the calls of one step ended.
type outcome struct {
	step     *step
	value    any
	size     int64
	err      error
	attempts int
	took     time.Duration
	stopped  bool // the run was stopped before it ended
}

func (x *execution) execute(input any) (script.Value, error) {
	ctx, cancel := context.WithTimeout(x.caller, x.u.timeout)
	defer cancel()
	id, _ := ctx.Value(runIDKey{}).(string)
	if id == "" {
		id = rand.Text()
	}
	x.vars = map[string]any{"input": input, "steps": x.results, "run": map[string]any{"id": id, "workflow": x.u.title}}
	if x.u.config {
		v, err := x.call(ctx, invocation{"config.get", nil})
		if err == nil {
			x.vars["config"], _, err = plain(v)
		}
		if err != nil {
			return script.Value{}, &script.Error{Kind: script.KindOf(err), File: x.u.name, Message: "config: " + err.Error(), Err: err}
		}
	}
	x.steps(ctx)
	if err := x.failure(ctx); err != nil {
		x.cleanUp(err)
		return script.Value{}, err
	}
	if x.u.output == nil {
		return x.u.emit(x.results)
	}
	vars, err := x.scope(ctx)
	if err != nil {
		return script.Value{}, &script.Error{Kind: script.KindOf(err), File: x.u.name, Message: err.Error(), Err: err}
	}
	out, err := x.u.output.Eval(vars)
	if err != nil {
		return script.Value{}, &script.Error{Kind: script.Failed, File: x.u.name, Message: under("output", err).Error(), Err: err}
	}
	return x.u.emit(out)
}

// steps runs all steps and returns when the last has ended.
func (x *execution) steps(ctx context.Context) {
	for i, s := range x.u.steps {
		x.states[i].waits = len(s.needs)
	}
	for {
		for again := true; again; {
			again = false
			for i, s := range x.u.steps {
				if st := &x.states[i]; st.waits == 0 && !st.ended && st.status == "" {
					st.status = Running
					x.start(ctx, s)
					again = again || st.ended
				}
			}
		}
		if x.running == 0 {
			return
		}
		o := <-x.ended
		x.running--
		x.finish(o)
	}
}

// start begins a step whose needs have ended, or ends it at once.
func (x *execution) start(ctx context.Context, s *step) {
	st := &x.states[s.index]
	needs := &status{ok: true}
	for _, n := range s.needs {
		needs.ok = needs.ok && x.states[n].status == OK
		needs.failed = needs.failed || x.states[n].status == Failure || x.states[n].failedAbove
	}
	st.failedAbove = needs.failed
	if ctx.Err() != nil {
		st.stopped = true
		x.end(s, Skipped, nil, outcome{})
		return
	}
	inv, run, err := x.decide(ctx, s, needs)
	switch {
	case err != nil:
		x.end(s, Failure, x.u.failed(s, err), outcome{})
	case !run:
		x.end(s, Skipped, nil, outcome{})
	default:
		x.running++
		go func() { x.ended <- x.perform(ctx, s, inv) }()
	}
}

// decide says whether a step runs, and with what.
func (x *execution) decide(ctx context.Context, s *step, needs *status) (inv invocation, run bool, err error) {
	if !needs.ok && !s.decides {
		return inv, false, nil
	}
	vars, err := x.scope(ctx)
	if err != nil {
		return inv, false, err
	}
	if s.cond != nil {
		vars[statusKey] = needs
		ok, err := s.cond.Test(vars)
		if err != nil {
			return inv, false, fmt.Errorf("if: %w", err)
		}
		if !ok {
			return inv, false, nil
		}
		delete(vars, statusKey)
	}
	inv, err = s.prepare(vars)
	return inv, err == nil, err
}

// scope returns the variables of expressions that are computed now.
func (x *execution) scope(ctx context.Context) (map[string]any, error) {
	vars := maps.Clone(x.vars)
	if x.u.now {
		v, err := x.call(ctx, invocation{"now", nil})
		if err == nil {
			vars["now"], _, err = plain(v)
		}
		if err != nil {
			return nil, fmt.Errorf("now: %w", err)
		}
	}
	return vars, nil
}

// finish records how the calls of a step ended.
func (x *execution) finish(o outcome) {
	st := &x.states[o.step.index]
	if o.err != nil {
		st.stopped = o.stopped
		x.end(o.step, Failure, x.u.failed(o.step, o.err), o)
		return
	}
	if o.size > x.u.limits.Memory-x.memory {
		err := &script.Error{Kind: script.Memory, Message: fmt.Sprintf("the results of all steps are larger than %d bytes", x.u.limits.Memory),
			Hint: "let steps return less, or raise limits.memory"}
		x.end(o.step, Failure, x.u.failed(o.step, err), o)
		return
	}
	x.memory += o.size
	x.results[o.step.name] = o.value
	x.end(o.step, OK, nil, o)
}

// end closes a step and lets those go that wait for it.
func (x *execution) end(s *step, status string, err *script.Error, o outcome) {
	st := &x.states[s.index]
	st.ended, st.status, st.err = true, status, err
	if status != OK {
		x.results[s.name] = nil
	}
	x.report(s, status, o.attempts, err, o.took)
	for i, other := range x.u.steps {
		for _, n := range other.needs {
			if n == s.index {
				x.states[i].waits--
			}
		}
	}
}

// report tells the observer, with a nil error rather than a nil *script.Error.
func (x *execution) report(s *step, status string, attempt int, err *script.Error, took time.Duration) {
	if err == nil {
		x.observer.Step(s.name, status, attempt, nil, took)
		return
	}
	x.observer.Step(s.name, status, attempt, err, took)
}

// failure returns why the run failed, nil when it did not: the failed step that
// stands first in the file, or else that the run was stopped.
func (x *execution) failure(ctx context.Context) *script.Error {
	var first *script.Error
	failed, stopped := 0, false
	for i := range x.states {
		st := &x.states[i]
		stopped = stopped || st.stopped
		if st.err == nil || st.stopped {
			continue
		}
		if failed++; first == nil {
			first = st.err
		}
	}
	if first != nil {
		all := *first // the observer has the original
		if failed > 1 {
			all.Message += fmt.Sprintf(" (%d more failed)", failed-1)
		}
		return &all
	}
	if !stopped {
		return nil
	}
	err := &script.Error{Kind: script.Timeout, File: x.u.name, Err: ctx.Err()}
	switch {
	case x.caller.Err() == nil:
		err.Message = fmt.Sprintf("the workflow took longer than %v", x.u.timeout)
		err.Hint = "raise timeout, or give slow steps a timeout of their own"
	case errors.Is(x.caller.Err(), context.DeadlineExceeded):
		err.Message = "the workflow ran into its caller's deadline"
	default:
		err.Kind, err.Message = script.Failed, "the workflow was canceled"
		if cause := context.Cause(x.caller); cause != x.caller.Err() {
			err.Message += ": " + cause.Error()
		}
	}
	return err
}

// cleanUp runs on_failure once, unless the caller is gone. Its own failure is
// added to err.
func (x *execution) cleanUp(err *script.Error) {
	s := x.u.onFailure
	if s == nil || x.caller.Err() != nil {
		return
	}
	limit := defaultCleanup
	if s.timeout > 0 {
		limit = s.timeout*time.Duration(s.retries+1) + s.maxBackoff*time.Duration(s.retries)
	}
	ctx, cancel := context.WithTimeout(x.caller, limit)
	defer cancel()
	about := map[string]any{"step": x.firstFailed(), "message": err.Message, "kind": string(err.Kind)}
	var o outcome
	vars, failed := x.scope(ctx)
	if failed == nil {
		vars["error"] = about
		var inv invocation
		if inv, failed = s.prepare(vars); failed == nil {
			if s.with == nil && s.run != "" {
				inv.args[1] = map[string]any{"error": about, "steps": x.results, "input": x.vars["input"]}
			}
			o = x.perform(ctx, s, inv)
			failed = o.err
		}
	}
	if failed == nil {
		x.report(s, OK, o.attempts, nil, o.took)
		return
	}
	problem := x.u.failed(s, failed)
	x.report(s, Failure, o.attempts, problem, o.took)
	err.Message += "; " + problem.Message
	err.Err = errors.Join(err.Err, problem)
}

// firstFailed names the failed step that stands first, nil for none.
func (x *execution) firstFailed() any {
	for i := range x.states {
		if st := &x.states[i]; st.err != nil {
			return x.u.steps[i].name
		}
	}
	return nil
}
