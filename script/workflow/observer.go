package workflow

import (
	"context"
	"time"
)

// The states of a step that an Observer is told.
const (
	Running = "running" // a try begins; err is why the one before failed
	OK      = "ok"
	Failure = "failed"
	Skipped = "skipped"
)

// An Observer is told how the steps of a run go. Step is called from one
// goroutine at a time per step, but for several steps at once. attempt counts
// the tries from 1 and is 0 for a skipped step; took is the time since the step
// began. The on_failure step is called "on_failure".
type Observer interface {
	Step(name string, status string, attempt int, err error, took time.Duration)
}

type observerKey struct{}

// WithObserver returns a context under which the next workflow that is executed
// reports to o. Workflows that it runs in turn don't.
func WithObserver(ctx context.Context, o Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
}

// observerOf takes the observer out of ctx.
func observerOf(ctx context.Context) (Observer, context.Context) {
	o, _ := ctx.Value(observerKey{}).(Observer)
	if o == nil {
		return silent{}, ctx
	}
	return o, context.WithValue(ctx, observerKey{}, nil)
}

// silent is the Observer that hears nothing.
type silent struct{}

func (silent) Step(string, string, int, error, time.Duration) {}

type runIDKey struct{}

// WithRunID returns a context under which run.id is id. Without one a run gets
// a random id.
func WithRunID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, runIDKey{}, id)
}

// A StepInfo is one step of a workflow, for display.
type StepInfo struct {
	Name   string
	Needs  []string // in file order; with those that expressions imply
	Action string   // "run handlers/price.js" or "http POST https://pay.example.com"
}
