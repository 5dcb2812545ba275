// Package schedule runs jobs at intervals and by cron, and lets the whole set
// of jobs be exchanged while it runs.
//
// Start with [New], give it jobs with [Scheduler.Apply], as often as the app
// changes, and call [Scheduler.Run] once. A job is known by its name: as long
// as its [Spec] stays equal, applying another set keeps its phase, the numbers
// of its ticks and the account of what is running, so that no tick is lost or
// doubled by it. Instances that run are never canceled by Apply.
//
// # Ticks
//
// A schedule is an endless row of slots, numbered from 1 from when it first
// appeared. A slot that comes due is a tick. Slots that passed while the
// program could not look (a suspended machine, a clock set forward) are not made
// up for one by one: the latest of them ticks, the others are counted as
// missed, and the gap shows in the numbers.
//
// Interval jobs count monotonic time: setting the clock does not touch them.
// Cron jobs follow the wall clock, which is looked at again at least once a
// minute. A clock set back by up to three hours repeats no tick; one set back
// further was wrong before, and cron jobs start over from the new time.
//
// # Cron and daylight saving time
//
// A cron line names local times. A local time that a day does not have, because
// clocks went forward over it, ticks once, at the first moment after the gap;
// several such times of one gap are one tick. A local time that a day has
// twice, because clocks went back, ticks the first time only. A line that names
// every hour of the day ("*/10 * * * *") means a rhythm rather than a time of
// day: it ticks whenever the local clock shows a time that it matches, so that
// the gap is no pause to make up for and the repeated hour is no silent one.
//
// All methods are safe for concurrent use.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Overlap says what becomes of a tick while an earlier one still runs.
type Overlap string

// The overlap policies.
const (
	Skip  Overlap = "skip"  // the tick is dropped and counted
	Queue Overlap = "queue" // the tick waits, up to Options.MaxQueue of them; more are skipped
	Allow Overlap = "allow" // the tick runs beside the others
)

// A Job is something to run by a schedule.
type Job struct {
	Name    string        // unique in a set
	Spec    Spec          // when
	Overlap Overlap       // empty means Skip
	Timeout time.Duration // of one run; zero means none

	// Run does the work of one tick. Its context ends at Timeout, or when the
	// scheduler stops and Options.Grace has passed. A panic counts as a failure.
	Run func(ctx context.Context, t Tick) error
}

// A Tick is one slot of a schedule that has come due.
type Tick struct {
	Job       string
	Scheduled time.Time // the slot's time, without jitter
	Number    int64     // of the slot, from 1
}

// Status is how a tick ended.
type Status string

// The ways a tick can end.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // it never ran; Result.Err says why
)

// A Result tells how a tick ended.
type Result struct {
	Tick     Tick
	Status   Status
	Err      error // nil when Status is OK
	Started  time.Time
	Duration time.Duration // zero when it was skipped
}

// Errors of a Result. Others are what Job.Run returned.
var (
	// ErrOverlap is the reason of a tick skipped because an earlier one ran.
	ErrOverlap = errors.New("an earlier run has not finished")
	// ErrStopped is the reason of a tick skipped because the scheduler stops,
	// and the cause of contexts that it cancels.
	ErrStopped = errors.New("the scheduler stops")
	// ErrRemoved is the reason of a queued tick whose job was removed.
	ErrRemoved = errors.New("the job was removed")
)

// Options configures a [Scheduler]. The zero value is ready to use.
type Options struct {
	// Log receives warnings. Nil discards them.
	Log *slog.Logger

	// MaxQueue is how many ticks of a job may wait under the policy Queue. Zero
	// means 1.
	MaxQueue int

	// Grace is how long instances may go on once Run's context has ended, unless
	// Stop says otherwise. Zero means 30 seconds; a negative value waits without
	// limit.
	Grace time.Duration

	// Suspended makes a scheduler that does not tick before Resume.
	Suspended bool

	// Now returns the time by the wall clock, which cron follows. Nil means time.Now.
	Now func() time.Time

	// Done is told of every tick that ended or was skipped. It is called from
	// several goroutines and should be quick. May be nil.
	Done func(Result)
}

// Info describes a job of the set.
type Info struct {
	Name    string
	Spec    string // such as "every 5s"
	Overlap Overlap
	Next    time.Time // when the next tick runs, with its jitter
	Last    time.Time // when the last tick came due; zero before the first
	Ticks   int64     // slots that came due, skipped ones among them
	Skipped int64
	Failed  int64
	Missed  int64 // slots that passed unseen
	Running int
	Queued  int
}

// A Scheduler runs a set of jobs. Make one with [New].
type Scheduler struct {
	opt  Options
	poke chan struct{} // one message: something changed, look again

	quit  chan struct{} // closed by the first Stop
	hurry chan struct{} // closed when a Stop has waited long enough
	over  chan struct{} // closed when Run has returned, or never will have to

	applying sync.Mutex // one Apply at a time

	mu      sync.Mutex // guards what follows; taken after applying
	started bool
	halted  bool  // quit is closed
	resting bool  // suspended
	ending  bool  // Run waits for what runs
	pressed bool  // hurry is closed
	err     error // what Run returned; set before over is closed
	jobs    map[string]*entry
	gone    map[string]*entry // removed, with instances still running
	live    int               // instances running, removed jobs' too
	idle    chan struct{}     // made when stopping, closed when live is 0
	work    context.Context   // of instances; set by Run
}

// entry is a job with its account. The scheduler's mutex guards it.
type entry struct {
	job              Job
	plan             *plan
	running          int
	queue            []Tick
	last             time.Time
	overlaps, misses throttle // of the warnings

	ticks, skipped, failed, missed int64
}

// New returns a scheduler without jobs.
func New(opt Options) *Scheduler {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MaxQueue <= 0 {
		opt.MaxQueue = 1
	}
	if opt.Grace == 0 {
		opt.Grace = 30 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Scheduler{
		resting: opt.Suspended,

		opt:   opt,
		poke:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		hurry: make(chan struct{}),
		over:  make(chan struct{}),
		jobs:  make(map[string]*entry),
		gone:  make(map[string]*entry),
	}
}

// Apply replaces the whole set of jobs at once. A job that was there with the
// same Spec keeps its phase and its account; Run, Overlap and Timeout are
// exchanged from the next tick on. A job with another Spec starts that schedule
// now. A removed job ticks no more; its running instances finish. When a job is
// not valid (see [Job.Check]) or a name comes twice, nothing changes and the
// error says why.
func (s *Scheduler) Apply(jobs []Job) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	plans, err := s.prepare(jobs)
	if err != nil {
		return err
	}
	var out outbox
	s.mu.Lock()
	now := s.clock()
	next := make(map[string]*entry, len(jobs))
	for i, j := range jobs {
		e := s.jobs[j.Name]
		if e == nil {
			e = s.gone[j.Name] // still running from before; its plan is nil
		}
		if e == nil {
			e = new(entry)
		}
		e.job = j
		if p := plans[i]; p != nil {
			p.begin(now)
			e.plan = p
		}
		delete(s.jobs, j.Name)
		delete(s.gone, j.Name)
		next[j.Name] = e
	}
	for name, e := range s.jobs {
		for _, t := range e.queue {
			out.skip(e, t, ErrRemoved)
		}
		e.plan, e.queue = nil, nil
		if e.running > 0 {
			s.gone[name] = e
		}
	}
	s.jobs = next
	s.mu.Unlock()
	s.wake()
	s.deliver(out)
	return nil
}

// prepare checks the jobs and compiles the plans of those that are new or have
// another Spec; the others' are nil. s.applying is held.
func (s *Scheduler) prepare(jobs []Job) ([]*plan, error) {
	plans := make([]*plan, len(jobs))
	seen := make(map[string]bool, len(jobs))
	for i, j := range jobs {
		if seen[j.Name] {
			return nil, fmt.Errorf("job %q is there twice: names must be unique", j.Name)
		}
		seen[j.Name] = true
		if err := j.check(); err != nil {
			return nil, err
		}
		if s.has(j) {
			continue
		}
		p, err := newPlan(j.Name, j.Spec)
		if err != nil {
			return nil, fmt.Errorf("job %q: %w", j.Name, err)
		}
		plans[i] = p
	}
	return plans, nil
}

// has reports whether the set has the job with the same Spec.
func (s *Scheduler) has(j Job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.jobs[j.Name]
	return e != nil && e.plan.spec == j.Spec
}

// Check reports what is wrong with the job.
func (j Job) Check() error {
	if err := j.check(); err != nil {
		return err
	}
	if err := j.Spec.Check(); err != nil {
		return fmt.Errorf("job %q: %w", j.Name, err)
	}
	return nil
}

// check reports what is wrong with all but the Spec.
func (j Job) check() error {
	switch {
	case j.Name == "":
		return errors.New("a job has no name")
	case j.Run == nil:
		return fmt.Errorf("job %q has nothing to run", j.Name)
	case j.Timeout < 0:
		return fmt.Errorf("job %q: timeout %v is negative: leave it out for none", j.Name, j.Timeout)
	}
	switch j.Overlap {
	case "", Skip, Queue, Allow:
		return nil
	}
	return fmt.Errorf("job %q: overlap %q is not known: use skip, queue or allow", j.Name, j.Overlap)
}

// Jobs describes the jobs of the set, sorted by name.
func (s *Scheduler) Jobs() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	infos := make([]Info, 0, len(s.jobs))
	for _, name := range slices.Sorted(maps.Keys(s.jobs)) {
		e := s.jobs[name]
		infos = append(infos, Info{
			Name: name, Spec: e.plan.spec.String(), Overlap: e.overlap(),
			Next: e.plan.wallOf(e.plan.fire, now), Last: e.last,
			Ticks: e.ticks, Skipped: e.skipped, Failed: e.failed, Missed: e.missed,
			Running: e.running, Queued: len(e.queue),
		})
	}
	return infos
}

// overlap returns the policy with its default.
func (e *entry) overlap() Overlap {
	if e.job.Overlap == "" {
		return Skip
	}
	return e.job.Overlap
}

// wake makes the loop look again. It never blocks.
func (s *Scheduler) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// clock reads both clocks. s.mu is held.
func (s *Scheduler) clock() clock {
	now := time.Now()
	return clock{mono: now, wall: s.opt.Now().Round(0)}
}
