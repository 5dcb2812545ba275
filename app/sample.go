package app

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// sample publishes the traffic of each second until ctx ends.
func (a *App) sample(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			a.events.Publish(Event{Type: "stats", Message: "stats", Generation: a.liveNumber(), Data: a.stats(now)})
		}
	}
}

// stats takes the counts of the current second.
func (a *App) stats(now time.Time) Stats {
	s := Stats{Time: now, Goroutines: runtime.NumGoroutine()}
	a.mu.Lock()
	recs := make([]*record, 0, len(a.order))
	for _, n := range a.order {
		recs = append(recs, a.records[n])
	}
	s.Drift, _ = a.drift()
	a.mu.Unlock()
	var second [latencyBuckets]int64
	for _, r := range recs {
		gs := r.window.take(&second)
		gs.Number = r.snapshot().Number
		s.Streams += r.streams.Load()
		s.Inflight += r.inflight.Load()
		if gs.Requests > 0 || gs.Number == a.liveNumber() {
			s.Generation = append(s.Generation, gs)
		}
	}
	a.recent.push(&second)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.HeapBytes = m.HeapAlloc
	return s
}

// latencyLog keeps the latest durations of something rare.
type latencyLog struct {
	mu   sync.Mutex
	last []time.Duration
}

func (l *latencyLog) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) >= 10000 {
		l.last = slices.Delete(l.last, 0, 5000)
	}
	l.last = append(l.last, d)
}

// quantile returns the q-quantile of what is kept, 0 for nothing.
func (l *latencyLog) quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l.last))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// SwapTime returns a quantile (0 to 1) of how long the pointer swap of recent
// updates took, 0 before the first.
func (a *App) SwapTime(q float64) time.Duration { return a.swapNanos.quantile(q) }
