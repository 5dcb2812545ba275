package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	// warnEvery is how often a job may warn that it skips ticks.
	warnEvery = time.Minute

	// killWait is how long canceled instances get to return.
	killWait = 5 * time.Second
)

// throttle makes one warning a minute of many.
type throttle struct {
	last   time.Time
	unsaid int64
}

// add notes n more, and returns how many to warn of now; 0 means not now.
func (w *throttle) add(now clock, n int64) int64 {
	w.unsaid += n
	if w.unsaid == 0 || !w.last.IsZero() && now.mono.Sub(w.last) < warnEvery {
		return 0
	}
	n, w.last, w.unsaid = w.unsaid, now.mono, 0
	return n
}

// outbox collects what is told to others once the mutex is released.
type outbox struct {
	results []Result
	warn    []func()
}

// skip counts t as skipped.
func (o *outbox) skip(e *entry, t Tick, why error) {
	e.skipped++
	o.results = append(o.results, Result{Tick: t, Status: Skipped, Err: why})
}

// deliver tells what the outbox holds. The mutex is not held.
func (s *Scheduler) deliver(o outbox) {
	for _, f := range o.warn {
		f()
	}
	if s.opt.Done != nil {
		for _, r := range o.results {
			s.opt.Done(r)
		}
	}
}

// Run ticks until ctx ends or Stop is called. Instances that run then may go on
// for Options.Grace, after which their contexts are canceled. Run returns nil
// when all have returned, and an error naming those that have not within five
// seconds of that. It may be called once; after Stop it returns at once.
func (s *Scheduler) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.started {
		defer s.mu.Unlock()
		if s.halted {
			return nil
		}
		return errors.New("the scheduler was run before")
	}
	s.started = true
	s.mu.Unlock()

	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(ErrStopped)
	s.mu.Lock()
	s.work = work
	s.mu.Unlock()
	s.loop(ctx, work)
	err := s.drain(cancel)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	close(s.over)
	return err
}

// loop ticks until ctx ends or Stop is called.
func (s *Scheduler) loop(ctx, work context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.quit:
			return
		case <-timer.C:
		case <-s.poke:
		}
		if ctx.Err() == nil {
			timer.Reset(s.step(work))
		}
	}
}

// Stop ends the ticking and waits for Run to return. Instances may go on until
// ctx ends, whatever Options.Grace says; then their contexts are canceled. It
// returns what Run does. It may be called more than once.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.mu.Lock()
	if !s.halted {
		s.halted = true
		close(s.quit)
	}
	if !s.started {
		s.started = true
		close(s.over)
	}
	s.mu.Unlock()
	select {
	case <-s.over:
	case <-ctx.Done():
		s.mu.Lock()
		if !s.pressed {
			s.pressed = true
			close(s.hurry)
		}
		s.mu.Unlock()
		<-s.over
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// step starts what is due and returns how long to wait for the next slot.
func (s *Scheduler) step(work context.Context) time.Duration {
	var out outbox
	wait := time.Hour
	s.mu.Lock()
	now := s.clock()
	for _, e := range s.jobs {
		s.pump(work, e)
		if s.resting {
			continue
		}
		if t, missed, ok := e.plan.take(now); ok {
			e.ticks++
			e.missed += missed
			e.last = t.Scheduled
			if n := e.misses.add(now, missed); n > 0 {
				out.warn = append(out.warn, func() {
					s.opt.Log.Warn("job ticks missed, the program could not look in time", "job", t.Job, "missed", n, "tick", t.Number)
				})
			}
			s.admit(work, e, t, now, &out)
		}
		wait = min(wait, e.plan.wait(now))
	}
	s.mu.Unlock()
	s.deliver(out)
	return max(wait, 0)
}

// admit starts, queues or skips a tick by the job's policy. s.mu is held.
func (s *Scheduler) admit(work context.Context, e *entry, t Tick, now clock, out *outbox) {
	switch overlap := e.overlap(); {
	case overlap == Allow, e.running == 0 && len(e.queue) == 0:
		s.start(work, e, t)
	case overlap == Queue && len(e.queue) < s.opt.MaxQueue:
		e.queue = append(e.queue, t)
	default:
		out.skip(e, t, ErrOverlap)
		if n := e.overlaps.add(now, 1); n > 0 {
			out.warn = append(out.warn, func() {
				s.opt.Log.Warn("job ticks skipped, its runs take longer than its interval",
					"job", t.Job, "skipped", n, "tick", t.Number, "overlap", string(overlap))
			})
		}
	}
}

// pump starts queued ticks that may run now. s.mu is held.
func (s *Scheduler) pump(work context.Context, e *entry) {
	for len(e.queue) > 0 && (e.running == 0 || e.overlap() == Allow) {
		t := e.queue[0]
		e.queue = slices.Delete(e.queue, 0, 1)
		s.start(work, e, t)
	}
}

// start runs a tick in a goroutine of its own. s.mu is held.
func (s *Scheduler) start(work context.Context, e *entry, t Tick) {
	e.running++
	s.live++
	go s.execute(work, e, e.job, t)
}

// execute runs a tick. A panic of the job, or the end of its goroutine, is a
// failure like any other.
func (s *Scheduler) execute(ctx context.Context, e *entry, job Job, t Tick) {
	if job.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, job.Timeout,
			fmt.Errorf("job %q took longer than its timeout of %s: %w", job.Name, short(job.Timeout), context.DeadlineExceeded))
		defer cancel()
	}
	r := Result{Tick: t, Started: time.Now(), Err: fmt.Errorf("job %q ended its goroutine", job.Name)}
	defer func() {
		if p := recover(); p != nil {
			r.Err = fmt.Errorf("job %q panicked: %v", job.Name, p)
			s.opt.Log.Error("job panicked", "job", t.Job, "tick", t.Number, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		r.Duration = time.Since(r.Started)
		s.ended(e, r)
	}()
	r.Err = job.Run(ctx, t)
}

// ended takes the end of an instance into account.
func (s *Scheduler) ended(e *entry, r Result) {
	r.Status = OK
	s.mu.Lock()
	e.running--
	if r.Err != nil {
		r.Status = Failed
		e.failed++
	}
	if e.running == 0 && s.gone[r.Tick.Job] == e {
		delete(s.gone, r.Tick.Job)
	}
	var out outbox
	if s.ending {
		s.finishQueue(e, &out)
	}
	s.mu.Unlock()
	s.wake()

	if r.Err != nil && s.opt.Done == nil {
		s.opt.Log.Error("job failed", "job", r.Tick.Job, "tick", r.Tick.Number, "error", r.Err)
	}
	out.results = append(out.results, r)
	s.deliver(out)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live--; s.live == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// drain waits for the running instances, cancels them after the grace, and
// reports those that do not return.
func (s *Scheduler) drain(cancel context.CancelCauseFunc) error {
	var out outbox
	s.mu.Lock()
	s.ending = true
	for _, e := range s.jobs {
		s.finishQueue(e, &out)
	}
	idle := make(chan struct{})
	if s.live == 0 {
		close(idle)
	} else {
		s.idle = idle
	}
	s.mu.Unlock()
	s.deliver(out)

	if s.await(idle) {
		return nil
	}
	cancel(ErrStopped)
	timer := time.NewTimer(killWait)
	defer timer.Stop()
	select {
	case <-idle:
		return nil
	case <-timer.C:
		return fmt.Errorf("jobs still run after being canceled: %s", strings.Join(s.runningNames(), ", "))
	}
}

// await waits for idle as long as Options.Grace or Stop allows, and reports
// whether it came.
func (s *Scheduler) await(idle <-chan struct{}) bool {
	var grace <-chan time.Time // nil waits without limit
	if s.opt.Grace > 0 {
		timer := time.NewTimer(s.opt.Grace)
		defer timer.Stop()
		grace = timer.C
	}
	quit := s.quit
	for {
		select {
		case <-idle:
			return true
		case <-s.hurry:
			return false
		case <-grace:
			return false
		case <-quit: // from here on hurry alone counts
			quit, grace = nil, nil
		}
	}
}

// runningNames lists the jobs with running instances, sorted.
func (s *Scheduler) runningNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make(map[string]bool)
	for _, set := range []map[string]*entry{s.jobs, s.gone} {
		for name, e := range set {
			if e.running > 0 {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
