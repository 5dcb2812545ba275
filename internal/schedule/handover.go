package schedule

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// A State says where schedules stand, for another scheduler to go on from, in
// this process or another. It is plain data and has a stable JSON form.
type State struct {
	Jobs []JobState `json:"jobs"`
}

// A JobState is where one job's schedule stands.
type JobState struct {
	Name   string    `json:"name"`
	Spec   Spec      `json:"spec"`         // the state fits a job of the very same Spec only
	Number int64     `json:"number"`       // of the slot that comes next, from 1
	Due    time.Time `json:"due,omitzero"` // of that slot by the wall clock, without jitter; zero for never

	Last    time.Time `json:"last,omitzero"`
	Ticks   int64     `json:"ticks"`
	Skipped int64     `json:"skipped"`
	Failed  int64     `json:"failed"`
	Missed  int64     `json:"missed"`
}

// Suspend stops the ticking, at once and until Resume, and returns where the jobs
// stand. Instances that run go on, and so do the ticks that wait in queues, in
// their turn: they came due before. They even do when the scheduler stops while
// suspended, as far as the time for that allows.
func (s *Scheduler) Suspend() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resting = true
	now := s.clock()
	st := State{Jobs: make([]JobState, 0, len(s.jobs))}
	for _, name := range slices.Sorted(maps.Keys(s.jobs)) {
		e := s.jobs[name]
		j := JobState{Name: name, Spec: e.plan.spec, Number: e.plan.number, Last: e.last,
			Ticks: e.ticks, Skipped: e.skipped, Failed: e.failed, Missed: e.missed}
		if !e.plan.slot.IsZero() {
			j.Due = e.plan.wallOf(e.plan.slot, now).Round(0)
		}
		st.Jobs = append(st.Jobs, j)
	}
	return st
}

// Adopt goes on from a state that another scheduler left: jobs of the same name
// and Spec take over its phase, its numbers and its account, others are left as
// they are. Slots that came due since count as those of a machine that was
// suspended: the latest of them ticks. Call it between Apply and Resume.
//
// An error says which job's state cannot be; then nothing has changed.
func (s *Scheduler) Adopt(st State) error {
	for _, j := range st.Jobs {
		if err := j.check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for _, j := range st.Jobs {
		e := s.jobs[j.Name]
		if e == nil || e.plan.spec != j.Spec {
			continue
		}
		e.plan.adopt(j, now)
		e.last, e.ticks, e.skipped, e.failed, e.missed = j.Last, j.Ticks, j.Skipped, j.Failed, j.Missed
	}
	s.wake()
	return nil
}

// Resume ticks again. Elsewhere says that another scheduler had the jobs since
// Suspend: slots that came due meanwhile were its own and do not tick here.
func (s *Scheduler) Resume(elsewhere bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for _, e := range s.jobs {
		if elsewhere && s.resting {
			e.plan.take(now)
		}
	}
	s.resting = false
	s.wake()
}

// check reports a state that no scheduler writes.
func (j JobState) check() error {
	var err error
	switch {
	case j.Name == "":
		err = errors.New("it has no name")
	case j.Number < 1:
		err = fmt.Errorf("its next slot has the number %d", j.Number)
	case j.Ticks < 0 || j.Skipped < 0 || j.Failed < 0 || j.Missed < 0:
		err = errors.New("a count is negative")
	case j.Spec.Every > 0 && j.Number > math.MaxInt64/2/int64(j.Spec.Every):
		err = fmt.Errorf("its next slot has the number %d, which an interval of %s never reaches", j.Number, j.Spec.Every)
	default:
		err = j.Spec.Check()
	}
	if err != nil {
		return fmt.Errorf("state of job %q: %w", j.Name, err)
	}
	return nil
}

// century bounds the distances between times that are calculated with.
const century = 100 * 365 * 24 * time.Hour

// adopt makes slot j.Number, due at j.Due, the next one.
func (p *plan) adopt(j JobState, now clock) {
	p.seen = now.wall
	if p.cal != nil {
		p.number = j.Number
		p.setSlot(j.Due)
		return
	}
	ahead := max(j.Due.Sub(now.wall), -century)
	// Further ahead than an interval only where the clock was set back: a job must
	// not wait for the old time to come again.
	ahead = min(ahead, p.spec.Every)
	gone := time.Duration(j.Number) * p.spec.Every
	p.anchor = clock{mono: now.mono.Add(ahead - gone), wall: now.wall.Add(ahead - gone)}
	p.moveTo(j.Number)
}

// finishQueue begins the next tick of a queue while Run ends. One that waited
// when the jobs went elsewhere is nobody else's; others are skipped. s.mu is held.
func (s *Scheduler) finishQueue(e *entry, out *outbox) {
	if s.resting && s.work != nil && s.work.Err() == nil {
		s.pump(s.work, e)
		return
	}
	for _, t := range e.queue {
		out.skip(e, t, ErrStopped)
	}
	e.queue = nil
}
