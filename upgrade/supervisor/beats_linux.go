package supervisor

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/beat"
)

// watch looks at the heartbeats of w, which serves.
func (s *Supervisor) watch(w *worker) {
	reader, err := s.beatsOf(w)
	if err != nil {
		s.trouble(w, "the heartbeats of a worker cannot be read, so nobody notices when it hangs", err)
		return
	}
	monitor, err := beat.NewMonitor(reader, beat.MonitorOptions{Interval: s.opt.Heartbeat, Missed: missed, Lost: s.patience()})
	if err != nil {
		_ = reader.Close()
		s.trouble(w, "watch heartbeats", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.unwatch = cancel
	go func() {
		defer reader.Close()
		_ = monitor.Run(ctx, func(c beat.Change) { // it ends by ctx alone
			s.post(func() {
				if ctx.Err() == nil {
					s.beatChanged(w, c)
				}
			})
		})
	}()
}

// patience is how many heartbeats may be missing until the worker is killed.
func (s *Supervisor) patience() int {
	if s.opt.StallTimeout < 0 {
		return math.MaxInt
	}
	return missed + max(1, int(s.opt.StallTimeout/s.opt.Heartbeat))
}

// beatsOf maps the heartbeat memory of w.
func (s *Supervisor) beatsOf(w *worker) (*beat.Reader, error) {
	fd, err := duplicate(w.beats, 3)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "heartbeat")
	defer f.Close()
	return beat.NewReader(f)
}

// unwatch ends the watch of w.
func (s *Supervisor) unwatch(w *worker) {
	if w.unwatch != nil {
		w.unwatch()
		w.unwatch = nil
	}
}

// beatChanged handles a change of what the heartbeats say.
func (s *Supervisor) beatChanged(w *worker, c beat.Change) {
	if w != s.serving || w.dead {
		return
	}
	switch c.State {
	case beat.OK:
		if since := s.degraded; !since.IsZero() {
			s.degraded = time.Time{}
			s.emit(Event{Kind: Recovered, Worker: w.number, PID: w.pid, Took: time.Since(since)})
		}
	case beat.Degraded, beat.Lost:
		if s.degraded.IsZero() {
			s.degraded = time.Now()
		}
		why := fmt.Sprintf("%d heartbeats of %s are missing", c.Missed, s.opt.Heartbeat)
		if c.Missed < missed {
			why = fmt.Sprintf("it says that it is not well (status %d)", c.Beat.Status)
		}
		if c.State == beat.Lost {
			s.kill(w, why)
			return
		}
		s.emit(Event{Kind: Degraded, Worker: w.number, PID: w.pid, Detail: why})
		_ = s.opt.point("degraded")
	}
}
