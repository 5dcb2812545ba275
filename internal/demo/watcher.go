package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/theseus-run/theseus/app"
)

// watcher follows the app's updates.
type watcher struct {
	updates chan app.Update
	done    chan struct{}

	mu  sync.Mutex
	sub *app.Subscription
}

func newWatcher(events *app.Events) *watcher {
	w := &watcher{sub: events.Subscribe(-1), updates: make(chan app.Update, 64), done: make(chan struct{})}
	go w.follow(events)
	return w
}

func (w *watcher) follow(events *app.Events) {
	defer close(w.done)
	var last int64
	for {
		w.mu.Lock()
		sub := w.sub
		w.mu.Unlock()
		for e := range sub.C {
			last = e.ID
			w.take(e)
		}
		if !sub.Lagged() {
			return
		}
		w.mu.Lock()
		w.sub = events.Subscribe(last)
		w.mu.Unlock()
	}
}

func (w *watcher) take(e app.Event) {
	if u, ok := e.Data.(app.Update); ok && e.Type == "update" && u.Outcome != app.OutcomeNoop {
		w.updates <- u
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	sub := w.sub
	w.mu.Unlock()
	sub.Close()
	<-w.done
}

// restock is the job of the shop that ticks each second.
const restock = "restock"

// ticks is [tally] of the job's runs in the run log.
func ticks(a *app.App) (ran, lost, doubled int64, err error) {
	var list []int64
	err = a.RunLog(1<<20, func(r app.Run) {
		if r.Kind == "job" && r.Name == restock {
			list = append(list, r.Tick)
		}
	})
	ran, lost, doubled = tally(list)
	return ran, lost, doubled, err
}

// tally returns how many ticks of a job ran, how many numbers are missing between
// the first and the last, and how many came twice.
func tally(list []int64) (ran, lost, doubled int64) {
	if len(list) == 0 {
		return 0, 1, 0 // a job that never ran has lost its ticks
	}
	slices.Sort(list)
	distinct := int64(len(slices.Compact(slices.Clone(list))))
	span := list[len(list)-1] - list[0] + 1
	return int64(len(list)), span - distinct, int64(len(list)) - distinct
}

// next waits for the next update that ends.
func (w *watcher) next(ctx context.Context) (app.Update, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no update came within %s", patience))
	defer cancel()
	select {
	case u := <-w.updates:
		return u, nil
	case <-ctx.Done():
		return app.Update{}, fmt.Errorf("waiting for the outcome: %w", context.Cause(ctx))
	}
}

// quantileMs returns the q-quantile in milliseconds, 0 for nothing.
func quantileMs(list []time.Duration, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return float64(s[min(int(q*float64(len(s))), len(s)-1)].Microseconds()) / 1000
}
