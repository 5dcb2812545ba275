package beat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// DefaultMissed is how many beats may be missing before a process counts as
// degraded.
const DefaultMissed = 3

// State is what a [Monitor] makes of the beats.
type State string

// The states. A monitor begins in none of them, "".
const (
	// OK: beats arrive and say [Healthy].
	OK State = "ok"

	// Degraded: Missed beats in a row are missing, or the last one says that the
	// process is not healthy.
	Degraded State = "degraded"

	// Lost: Lost beats in a row are missing.
	Lost State = "lost"
)

// MonitorOptions configures a [Monitor].
type MonitorOptions struct {
	// Interval is how often the writer beats, and the monitor looks. Required,
	// more than zero.
	Interval time.Duration

	// Missed is how many intervals in a row without a new beat make the process
	// degraded. Zero means [DefaultMissed].
	Missed int

	// Lost is how many make it lost; if no more than Missed, it is never degraded
	// for missing beats. Zero means twice Missed.
	Lost int
}

// A Change is a new state, or a new status in the same state.
type Change struct {
	State State

	// Beat is the last one, zero if there was none.
	Beat Beat

	// Missed is how many intervals in a row have passed without a new one.
	Missed int

	// Err is why there was none to read, [ErrNone] or [ErrCorrupt]; nil if there is
	// one.
	Err error
}

// A Monitor judges the beats of one writer. It counts how often it looked in vain,
// not the time that went by: when both processes were frozen, or this one got no
// processor, that is one missing beat and not the death of the other.
type Monitor struct {
	read func() (Beat, error)
	opts MonitorOptions
}

// NewMonitor makes a monitor of what r reads. An error wraps [os.ErrInvalid] and
// says which option is out of range.
func NewMonitor(r *Reader, opts MonitorOptions) (*Monitor, error) {
	if opts.Interval <= 0 {
		return nil, fmt.Errorf("monitor heartbeat: Interval is %v, want more than zero: %w", opts.Interval, os.ErrInvalid)
	}
	if opts.Missed < 0 || opts.Lost < 0 {
		return nil, fmt.Errorf("monitor heartbeat: Missed is %d and Lost is %d, want none below zero: %w", opts.Missed, opts.Lost, os.ErrInvalid)
	}
	if opts.Missed == 0 {
		opts.Missed = DefaultMissed
	}
	if opts.Lost == 0 {
		opts.Lost = 2 * opts.Missed
	}
	return &Monitor{read: r.Read, opts: opts}, nil
}

// Run looks once per interval until ctx ends, and returns its cause, or an error
// that wraps [os.ErrClosed] once the reader is closed. It calls notify, in the same
// goroutine, with the first state and each time that it, or the status of the last
// beat, is another one: a process that was lost can come back. A beat from before Run says nothing; the
// first new one has as much time to arrive as any other. A Monitor may run several
// times, each begins anew.
func (m *Monitor) Run(ctx context.Context, notify func(Change)) error {
	tick := time.NewTicker(m.opts.Interval)
	defer tick.Stop()
	j := judge{opts: m.opts}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b, err := m.read()
		if errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("monitor heartbeat: %w", err)
		}
		if change, ok := j.step(b, err); ok {
			notify(change)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// A judge turns readings into states. It has no clock: a step is an interval.
type judge struct {
	opts   MonitorOptions
	began  bool // the first step, which only says where the writer stands, is done
	heard  bool // there was a new beat since
	state  State
	status Status // that was told with the state
	last   Beat
	missed int
}

// step takes one reading, and reports whether there is something to tell.
func (j *judge) step(b Beat, err error) (Change, bool) {
	fresh := err == nil && b.Sequence != j.last.Sequence
	if fresh {
		j.last = b
	}
	switch {
	case !j.began:
		j.began = true
	case fresh:
		j.heard, j.missed = true, 0
	default:
		j.missed++
	}
	state := j.judge()
	if state == j.state && (state == "" || j.last.Status == j.status) {
		return Change{}, false
	}
	j.state, j.status = state, j.last.Status
	return Change{State: state, Beat: j.last, Missed: j.missed, Err: err}, true
}

func (j *judge) judge() State {
	switch {
	case j.missed >= j.opts.Lost:
		return Lost
	case j.missed >= j.opts.Missed:
		return Degraded
	case !j.heard:
		return ""
	case j.last.Status != Healthy:
		return Degraded
	}
	return OK
}
