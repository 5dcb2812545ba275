//go:build unix

package supervise

import (
	"context"
	"errors"
	"time"
)

// errOvertaken says that another child serves already.
var errOvertaken = errors.New("a replacement serves already")

// awaitReady waits until c is ready, ends, or misses the deadline. A value
// from overtaken, which may be nil, ends the wait too.
func (s *Supervisor) awaitReady(ctx context.Context, c *child, overtaken chan struct{}) error {
	var probed chan error
	var met probeLog
	ready, delay := c.ready, (<-chan time.Time)(nil)
	switch s.opt.Ready.Kind {
	case ReadyDelay:
		ready, delay = nil, time.After(s.opt.Ready.Delay)
	case ReadyTCP, ReadyHTTP:
		ready, probed = nil, make(chan error, 1)
		probing, cancel := context.WithCancel(ctx)
		defer cancel()
		s.wg.Go(func() { probed <- s.probeUntilGood(probing, c, &met) })
	}
	deadline := time.NewTimer(s.opt.ReadyTimeout)
	defer deadline.Stop()
	select {
	case <-ready:
	case <-delay:
	case err := <-probed:
		if err != nil {
			return err
		}
	case <-c.exited:
		return c.exitError()
	case <-deadline.C:
		return &NotReadyError{After: s.opt.ReadyTimeout, How: s.opt.Ready, Last: met.last()}
	case <-overtaken:
		return errOvertaken
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.emit(Event{Kind: NowReady, Child: c.number, PID: c.pid, Took: time.Since(c.started)})
	return nil
}

// probation watches c, which is ready, while the old child is kept. It ends
// early, and well, when the old child ends: there is nothing to go back to.
func (s *Supervisor) probation(ctx context.Context, c *child) error {
	old := s.current()
	if old == nil || s.opt.Probation < 0 {
		return nil
	}
	s.setState(c, StateProbation)
	s.emit(Event{Kind: OnTrial, Child: c.number, PID: c.pid, Took: s.opt.Probation})
	over := time.NewTimer(s.opt.Probation)
	defer over.Stop()
	var bad chan error
	if s.opt.Ready.probes() {
		bad = make(chan error, 1)
		probing, cancel := context.WithCancel(ctx)
		defer cancel()
		s.wg.Go(func() { bad <- s.probeWhileGood(probing, c, over.C) })
	}
	for {
		timer := over.C
		if bad != nil {
			timer = nil // the prober has it
		}
		select {
		case <-timer:
			return nil
		case err := <-bad:
			return err
		case <-c.exited:
			return c.exitError()
		case <-old.exited:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Supervisor) setState(c *child, state State) {
	s.mu.Lock()
	c.state = state
	s.mu.Unlock()
}
