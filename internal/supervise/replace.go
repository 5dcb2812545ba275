//go:build unix

package supervise

import (
	"context"
	"errors"
	"time"
)

// Replace starts the program anew, as it is on disk now, and has it take over
// once it is ready and its probation is over; then the old child drains. It
// returns when the verdict is known: nil if the new child serves, and a
// [*RollbackError] if it was given up and the old child goes on. ctx gives up
// a replacement that has no verdict yet.
//
// Nothing was begun if the error is [ErrInProgress], [ErrStopping] or, without
// force, [ErrRolledBack].
func (s *Supervisor) Replace(ctx context.Context, force bool) error {
	s.mu.Lock()
	err := error(nil)
	if !s.running {
		err = ErrStopping
	} else if s.replacing {
		err = ErrInProgress
	} else {
		s.replacing = true
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if errors.Is(err, ErrInProgress) {
		s.emit(Event{Kind: Refused, Detail: err.Error()})
	}
	if err != nil {
		return err
	}
	defer s.wg.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := s.onStop(func() { cancel(ErrStopping) })
	defer stopped()
	trigger := time.Now()
	s.systemd.reloading(s)
	c, err := s.replace(ctx, trigger, force || s.opt.Force)
	s.conclude(c, err, trigger)
	return err
}

// onStop calls f when the supervisor stops, until the returned function is
// called.
func (s *Supervisor) onStop(f func()) func() {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.stop:
			f()
		case <-over:
		}
	}()
	return func() { close(over); <-done }
}

// replace does the work of Replace; the child is nil if none was started.
func (s *Supervisor) replace(ctx context.Context, trigger time.Time, force bool) (*child, error) {
	p, err := lookup(s.opt.Command, s.workDir)
	if err != nil {
		return nil, &RollbackError{Stage: StateStarting, Err: err}
	}
	if s.isRefused(p) && !force {
		p.close()
		return nil, ErrRolledBack
	}
	s.emit(Event{Kind: Replacing})
	c, err := s.launch(ctx, p, false)
	if err != nil {
		p.close()
		return nil, &RollbackError{Stage: StateStarting, Err: err}
	}
	stage := StateStarting
	if err = s.awaitReady(ctx, c, nil); err == nil {
		stage = StateProbation
		err = s.probation(ctx, c)
	}
	if err == nil {
		err = s.commit(ctx, c, trigger)
	}
	if err != nil {
		if isOwnFault(err) {
			s.remember(p)
			s.discard(c)
		} else { // it may serve somebody
			s.retire(c)
		}
		p.close()
		return c, &RollbackError{PID: c.pid, Stage: stage, Err: err}
	}
	return c, nil
}

// commit has c serve and its predecessor drain. A child that was restarted
// meanwhile is the predecessor as well.
func (s *Supervisor) commit(ctx context.Context, c *child, trigger time.Time) error {
	for {
		old := s.current()
		select {
		case <-c.exited:
			return c.exitError()
		default:
		}
		if s.promote(c, old, true, trigger) {
			if old != nil {
				s.retire(old)
			}
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !s.isRunning() {
			return ErrStopping
		}
	}
}

func (s *Supervisor) isRefused(p *program) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.digest != "" && s.refused[p.digest]
}

func (s *Supervisor) isRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// isOwnFault tells a failure of the new child from a replacement given up.
func isOwnFault(err error) bool {
	var exit *ExitError
	var late *NotReadyError
	var probe *ProbeError
	return errors.As(err, &exit) || errors.As(err, &late) || errors.As(err, &probe)
}

// remember has p refused from now on. What serves at the moment cannot be bad
// in itself.
func (s *Supervisor) remember(p *program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.digest != "" && p.digest != s.program.digest {
		s.refused[p.digest] = true
	}
}

// conclude records and announces the verdict.
func (s *Supervisor) conclude(c *child, err error, trigger time.Time) {
	v := &Verdict{Time: time.Now(), OK: err == nil, TookMS: float64(time.Since(trigger).Microseconds()) / 1000}
	e := Event{Kind: RolledBack, Took: time.Since(trigger)}
	if c != nil {
		v.PID, e.Child, e.PID = c.pid, c.number, c.pid
	}
	if err != nil {
		v.Reason, e.Detail = err.Error(), err.Error()
	}
	if errors.Is(err, ErrRolledBack) {
		e.Kind = Refused
	}
	s.mu.Lock()
	s.replacing, s.last = false, v
	s.mu.Unlock()
	if err != nil {
		s.emit(e)
	} else {
		s.changed()
	}
	s.systemd.ready(s)
}

// discard kills a child that is not wanted and waits for its end: what was
// found to be bad must not take another connection.
func (s *Supervisor) discard(c *child) {
	s.procs.kill(c.proc)
	s.awaitEnd(c)
}
