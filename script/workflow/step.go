package workflow

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theseus-run/theseus/internal/expr"
)

// A step is a compiled step. It is immutable.
type step struct {
	name         string
	index        int // in Unit.steps
	path         []string
	line, column int
	needs        []int         // indices, sorted
	cond         *expr.Program // nil for none
	decides      bool          // cond asks for the status of needs
	run          string        // name of a unit; empty for an http step
	with         *expr.Tree    // nil for none
	http         *request      // nil for a run step
	retries      int           // tries after the first
	backoff      time.Duration // before the first retry
	maxBackoff   time.Duration
	timeout      time.Duration // of one try; 0 for none
}

// A request is a compiled http action.
type request struct {
	method  string
	target  string // the URL as written
	url     *expr.Tree
	query   *expr.Tree // nil for none
	headers *expr.Tree
	body    *expr.Tree // nil for none
	hasJSON bool       // body is sent as JSON
	accept  []int
}

func (s *step) need(i int) {
	if at, ok := slices.BinarySearch(s.needs, i); !ok {
		s.needs = slices.Insert(s.needs, at, i)
	}
}

// action is what the step does, for people.
func (s *step) action() string {
	if s.http != nil {
		return "http " + s.http.method + " " + s.http.target
	}
	return "run " + s.run
}

// wait is how long to wait before the retry with number n, from 1.
func (s *step) wait(n int) time.Duration {
	d := s.backoff
	for ; n > 1 && d < s.maxBackoff; n-- {
		d *= 2
	}
	return min(d, s.maxBackoff)
}

// The variables of expressions.
var (
	stepVars    = []string{"input", "steps", "config", "run", "now"}
	cleanupVars = []string{"input", "steps", "config", "run", "now", "error"}
)

// statusKey is the variable that holds the *status of the step whose condition
// is computed. Expressions can't name it.
const statusKey = "$status"

// A status is how the steps ended that a step needs.
type status struct {
	ok     bool // all of them ended well
	failed bool // one of them, or one that they need, failed
}

// statusFuncs are the functions that only conditions have.
var statusFuncs = []expr.Func{
	{Name: "success", Call: func(vars map[string]any, _ []any) (any, error) { return statusOf(vars).ok, nil }},
	{Name: "failure", Call: func(vars map[string]any, _ []any) (any, error) { return statusOf(vars).failed, nil }},
	{Name: "always", Call: func(map[string]any, []any) (any, error) { return true, nil }},
}

func statusOf(vars map[string]any) *status {
	if s, ok := vars[statusKey].(*status); ok {
		return s
	}
	return &status{}
}

// under says under which key of the step an error of a tree is.
func under(key string, err error) error {
	if pe, ok := errors.AsType[*expr.PathError](err); ok && len(pe.At) > 0 {
		return fmt.Errorf("%s.%w", key, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// An invocation is what a step asks of the host, with all expressions computed.
type invocation struct {
	capability string
	args       []any
}

// prepare computes the step's expressions.
func (s *step) prepare(vars map[string]any) (invocation, error) {
	if s.http != nil {
		return s.http.prepare(vars)
	}
	var with any = map[string]any{}
	if s.with != nil {
		v, err := s.with.Eval(vars)
		if err != nil {
			return invocation{}, under("with", err)
		}
		with = v
	}
	if err := untagged(with); err != nil {
		return invocation{}, fmt.Errorf("with: %w", err)
	}
	return invocation{"run", []any{s.run, with}}, nil
}
