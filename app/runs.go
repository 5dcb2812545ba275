package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/workflow"
)

// keptRuns is how many ended runs stay in memory; all go to the run log.
const keptRuns = 512

// runs is the log of workflow and job runs. The zero value is ready.
type runs struct {
	mu     sync.Mutex
	byID   map[string]*Run
	order  []string // ids, oldest first
	next   int64
	active int64
}

// begin adds a run and gives it its id.
func (l *runs) begin(r Run) *Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = make(map[string]*Run)
	}
	l.next++
	r.ID = "r" + strconv.FormatInt(r.Started.UnixMilli(), 36) + "-" + strconv.FormatInt(l.next, 10)
	r.Status = "running"
	l.byID[r.ID] = &r
	l.order = append(l.order, r.ID)
	l.active++
	for i := 0; len(l.byID) > keptRuns && i < len(l.order); {
		if id := l.order[i]; l.byID[id].Status != "running" {
			delete(l.byID, id)
			l.order = slices.Delete(l.order, i, i+1)
			continue
		}
		i++
	}
	return &r
}

// maxActiveRuns is how many runs may be in progress. A workflow that calls its
// own route would else take all that the machine has.
const maxActiveRuns = 1000

// busy reports whether no further run may begin.
func (l *runs) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active >= maxActiveRuns
}

// change updates a run and returns a copy.
func (l *runs) change(r *Run, f func(*Run)) Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(r)
	return r.clone()
}

// end closes a run.
func (l *runs) end(r *Run, err error) Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	r.Duration = time.Since(r.Started)
	switch {
	case err == nil:
		r.Status = "ok"
	case errors.Is(err, context.Canceled):
		r.Status, r.Error = "canceled", err.Error()
	default:
		r.Status, r.Error = "failed", err.Error()
	}
	return r.clone()
}

func (r *Run) clone() Run {
	c := *r
	c.Steps = slices.Clone(r.Steps)
	return c
}

// Runs returns the latest runs, newest first, at most limit; 0 means all that
// are in memory.
func (a *App) Runs(limit int) []Run {
	l := &a.runs
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Run
	for i := len(l.order) - 1; i >= 0 && (limit <= 0 || len(out) < limit); i-- {
		out = append(out, l.byID[l.order[i]].clone())
	}
	return out
}

// Run returns one run, or an error wrapping [ErrNotFound].
func (a *App) Run(id string) (Run, error) {
	l := &a.runs
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.byID[id]
	if !ok {
		return Run{}, fmt.Errorf("run %q: %w", id, ErrNotFound)
	}
	return r.clone(), nil
}

// RunLog calls each with the latest ended runs of the run log, at most n, oldest
// first. The log is on disk and reaches back beyond this process; it is
// bounded, see internal/store.
func (a *App) RunLog(n int, each func(Run)) error {
	return a.store.Tail("runs", n, func(line json.RawMessage) error {
		var r Run
		if err := json.Unmarshal(line, &r); err != nil {
			return nil // a line of another version
		}
		each(r)
		return nil
	})
}

// finish ends a run and tells everyone.
func (a *App) finish(r *Run, env *environment, err error) Run {
	done := env.runs.end(r, err)
	if env.test {
		return done
	}
	level := ""
	if done.Status == "failed" {
		level = "warn"
	}
	a.events.Publish(Event{Type: "run", Level: level, Message: done.Kind + " " + done.Name + " " + done.Status, Generation: done.Generation, Data: done})
	if o := a.opt.Observer; o != nil {
		o.RunEnded(done)
	}
	if err := a.store.Append("runs", done); err != nil {
		a.log.Warn("run log not written", "run", done.ID, "generation", done.Generation, "error", err)
	}
	return done
}

// serveWorkflow starts a run: 202 with its id, or its result with ?wait=true.
// The run belongs to the generation it began in and goes on when the client
// goes away.
func (x *exchange) serveWorkflow(u *unit, params []string) error {
	in, err := x.workflowInput(params)
	if err != nil {
		return err
	}
	a, g := x.gen.app, x.gen
	if x.env.runs.busy() {
		x.w.Header().Set("Retry-After", "1")
		return &httpError{status: http.StatusServiceUnavailable, message: "too many workflow runs are in progress"}
	}
	if !g.tryAcquire() {
		return ErrClosed // cannot be: the request holds a lease
	}
	run := x.env.runs.begin(Run{Kind: "workflow", Name: workflowName(u), Unit: u.Name(), Generation: g.number, Started: time.Now(), Steps: planned(u)})
	result := make(chan workflowResult, 1)
	started := x.env.work.run(func(ctx context.Context) {
		defer g.release()
		v, err := g.executeRun(ctx, x.env, u, run, in)
		a.finish(run, x.env, err)
		result <- workflowResult{v, err}
	})
	if !started {
		g.release()
		return &httpError{status: http.StatusServiceUnavailable, message: "the app is shutting down"}
	}
	if x.r.URL.Query().Get("wait") != "true" {
		x.w.Header().Set("Theseus-Run", run.ID)
		x.w.Header().Set("Content-Type", "application/json")
		x.w.WriteHeader(http.StatusAccepted)
		_, err := fmt.Fprintf(x.w, "{\"run\":%q}\n", run.ID)
		return ignoreWrite(err)
	}
	_ = http.NewResponseController(x.w.ResponseWriter).SetWriteDeadline(time.Time{})
	x.w.Header().Set("Theseus-Run", run.ID)
	select {
	case r := <-result:
		if r.err != nil {
			return workflowHTTP(r.err)
		}
		return x.send(r.v)
	case <-x.r.Context().Done():
		return x.r.Context().Err()
	}
}

type workflowResult struct {
	v   script.Value
	err error
}

// workflowHTTP maps input that the workflow refuses to 400, and passes on the
// 4xx that a step answered.
func workflowHTTP(err error) error {
	if ae, ok := errors.AsType[*workflow.AnswerError](err); ok && ae.Status < 500 {
		return &httpError{status: ae.Status, message: ae.Message}
	}
	if se, ok := errors.AsType[*script.Error](err); ok && se.Kind == script.Refused {
		return &httpError{status: http.StatusBadRequest, message: se.Message}
	}
	return err
}

// workflowInput is the JSON body, or the query and path parameters without one.
func (x *exchange) workflowInput(params []string) (script.Value, error) {
	body, err := x.readBody()
	if err != nil {
		return script.Value{}, err
	}
	in := make(map[string]any)
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return script.Value{}, &httpError{status: http.StatusBadRequest, message: "the request body is not a JSON object"}
		}
	} else {
		for k, v := range x.r.URL.Query() {
			if k != "wait" {
				in[k] = v[0]
			}
		}
	}
	for _, p := range params {
		in[p] = x.r.PathValue(p)
	}
	return script.Of(in), nil
}

// executeRun runs a workflow or any other unit as a run, recording its steps.
func (g *Generation) executeRun(ctx context.Context, env *environment, u *unit, run *Run, in script.Value) (script.Value, error) {
	ctx = workflow.WithObserver(workflow.WithRunID(ctx, run.ID), &stepRecorder{app: g.app, run: run, env: env})
	return g.execute(ctx, u, script.Call{Args: []script.Value{in}, Host: g.host(env, u.Name())})
}

// stepRecorder notes the steps of a run. It is a workflow.Observer.
type stepRecorder struct {
	app *App
	run *Run
	env *environment
}

// Step implements workflow.Observer.
func (s *stepRecorder) Step(name, status string, attempt int, err error, took time.Duration) {
	snapshot := s.env.runs.change(s.run, func(r *Run) {
		i := slices.IndexFunc(r.Steps, func(st RunStep) bool { return st.Name == name })
		if i < 0 {
			r.Steps = append(r.Steps, RunStep{Name: name})
			i = len(r.Steps) - 1
		}
		st := &r.Steps[i]
		st.Status, st.Attempts, st.Duration = status, attempt, took
		if status == "running" && st.Started.IsZero() {
			st.Started = time.Now()
		}
		st.Error = ""
		if err != nil {
			st.Error = err.Error()
		}
	})
	if !s.env.test {
		s.app.events.Publish(Event{Type: "run", Message: "step " + name + " " + status, Generation: snapshot.Generation, Data: snapshot})
	}
}

// workflowName is the name of a unit for people.
func workflowName(u *unit) string {
	if w, ok := u.Unit.(interface{ Title() string }); ok && w.Title() != "" {
		return w.Title()
	}
	return u.Name()
}

// planned lists the steps of a workflow before they run.
func planned(u *unit) []RunStep {
	w, ok := u.Unit.(interface{ Graph() []workflow.StepInfo })
	if !ok {
		return nil
	}
	var steps []RunStep
	for _, s := range w.Graph() {
		steps = append(steps, RunStep{Name: s.Name, Needs: s.Needs, Status: "waiting"})
	}
	return steps
}
