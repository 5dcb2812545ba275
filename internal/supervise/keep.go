//go:build unix

package supervise

import (
	"context"
	"errors"
	"time"
)

// keep has a child serve until ctx ends. Its error is that of a program that
// cannot even be started for the first time.
func (s *Supervisor) keep(ctx context.Context) error {
	pause, trigger := s.opt.pace.first, time.Now()
	for ctx.Err() == nil {
		if c := s.current(); c != nil {
			select {
			case <-ctx.Done():
			case <-s.swapped:
			case <-c.exited:
				if s.lost(c) {
					if time.Since(c.started) >= s.opt.pace.steady {
						pause = s.opt.pace.first
					}
					trigger = time.Now()
					s.rest(ctx, &pause, c.exitError())
				}
			}
			continue
		}
		if err := s.bring(ctx, trigger); err != nil && ctx.Err() == nil && s.current() == nil {
			if _, ok := errors.AsType[*StartError](err); ok && !s.hasServed() {
				return err
			}
			s.rest(ctx, &pause, err)
		}
	}
	return nil
}

// rest waits before the next start, unless a replacement serves meanwhile.
func (s *Supervisor) rest(ctx context.Context, pause *time.Duration, cause error) {
	if s.current() != nil {
		return
	}
	s.emit(Event{Kind: Degraded, Took: *pause, Detail: cause.Error() + "; connections wait"})
	timer := time.NewTimer(*pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.swapped:
	case <-timer.C:
	}
	*pause = min(2**pause, s.opt.pace.most)
}

// bring starts a child and, once it is ready, has it serve.
func (s *Supervisor) bring(ctx context.Context, trigger time.Time) error {
	p, pinned := s.again()
	c, err := s.launch(ctx, p, pinned)
	if err != nil {
		return err
	}
	err = s.awaitReady(ctx, c, s.swapped)
	switch {
	case err == nil && s.promote(c, nil, false, trigger):
	case err == nil || errors.Is(err, errOvertaken):
		s.retire(c)
	case ctx.Err() != nil: // it may have begun to serve what waits
		s.terminate(c)
		s.mu.Lock()
		s.lastExit = c.end().Status
		s.mu.Unlock()
	default:
		s.discard(c)
	}
	return err
}

// again returns what to start after a crash: what ran before. A file that has
// changed since waits for its replacement, if the old one can still be run.
func (s *Supervisor) again() (p *program, pinned bool) {
	s.mu.Lock()
	old := s.program
	s.mu.Unlock()
	now, err := lookup(s.opt.Command, s.workDir)
	switch {
	case err == nil && now.digest == old.digest:
		now.close()
		return old, false
	case canPin && old.pin != nil && (err != nil || now.file != old.file):
		now.close()
		s.emit(Event{Kind: Trouble, Detail: "the program's file has changed or is gone: what ran before is started, from its open descriptor"})
		return old, true
	case err != nil:
		return old, false
	}
	s.emit(Event{Kind: Trouble, Detail: "a script or a file named by an argument has changed: it is run as it is"})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.program != old { // a replacement was quicker
		now.close()
		return s.program, false
	}
	s.program = now
	old.close()
	return now, false
}

// current returns the child that serves, or nil.
func (s *Supervisor) current() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

func (s *Supervisor) hasServed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// lost takes note that c, which served, has ended. It is false if c does not
// serve any longer.
func (s *Supervisor) lost(c *child) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active != c {
		return false
	}
	s.active = nil
	s.lastExit = c.exitError().Status
	s.restarts++
	select {
	case <-s.swapped: // it was about c
	default:
	}
	return true
}

// promote makes c the child that serves, in place of old; with anew it is what
// a crash restarts, too. It is false if another child than old serves, another
// program does, or the supervisor stops.
func (s *Supervisor) promote(c, old *child, anew bool, trigger time.Time) bool {
	s.mu.Lock()
	if !s.running || s.active != nil && s.active != old || !anew && s.program != c.prog {
		s.mu.Unlock()
		return false
	}
	last := s.program
	s.active, s.ready, s.program, c.state = c, true, c.prog, StateServing
	if anew {
		s.replaced++
		delete(s.refused, c.prog.digest)
		select {
		case s.swapped <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	if last != c.prog {
		last.close()
	}
	s.emit(Event{Kind: Serving, Child: c.number, PID: c.pid, Took: time.Since(trigger)})
	if !anew { // else it is said with the verdict
		s.systemd.ready(s)
	}
	return true
}
