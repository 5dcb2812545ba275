//go:build unix

package supervise

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// afterKill is how long the end of a killed process is waited for. Only one
// that hangs in the kernel takes that long.
const afterKill = 10 * time.Second

// retire has c drain and sees to its end, without waiting. Of too many that
// drain the oldest is killed.
func (s *Supervisor) retire(c *child) {
	s.setState(c, StateDraining)
	s.emit(Event{Kind: Draining, Child: c.number, PID: c.pid})
	s.wg.Go(func() { s.terminate(c) })
	s.mu.Lock()
	defer s.mu.Unlock()
	var draining []*child
	for _, d := range s.children {
		if d.state == StateDraining && !d.doomed {
			draining = append(draining, d)
		}
	}
	if len(draining) > mostDraining {
		oldest := slices.MinFunc(draining, func(a, b *child) int { return a.number - b.number })
		oldest.doomed = true
		close(oldest.killNow)
	}
}

// terminate tells c to stop and kills its group if it does not in time.
func (s *Supervisor) terminate(c *child) {
	_ = s.procs.signal(c.proc, s.opt.StopSignal)
	timer := time.NewTimer(s.opt.Drain)
	defer timer.Stop()
	why := ""
	select {
	case <-c.exited:
		return
	case <-timer.C:
		why = fmt.Sprintf("it did not end within %s of %s", s.opt.Drain, s.opt.StopSignal)
	case <-c.killNow:
		why = fmt.Sprintf("more than %d old children drain, and it is the oldest", mostDraining)
	case <-s.hurry:
		why = "a second signal to stop"
	}
	s.emit(Event{Kind: Killed, Child: c.number, PID: c.pid, Detail: why})
	s.discard(c)
}

// awaitEnd waits for a process that was killed.
func (s *Supervisor) awaitEnd(c *child) {
	select {
	case <-c.exited:
	case <-time.After(afterKill):
		s.emit(Event{Kind: Trouble, Child: c.number, PID: c.pid, Detail: "it was killed and does not end; it hangs in the kernel"})
	}
}

// shutdown ends everything and returns what Run returns.
func (s *Supervisor) shutdown(err error) (int, error) {
	s.mu.Lock()
	s.running, s.over = false, true
	c := s.active
	s.mu.Unlock()
	close(s.stop) // gives up a replacement
	s.systemd.stopping()
	s.emit(Event{Kind: Stopping})
	if c != nil {
		s.terminate(c)
		s.mu.Lock()
		s.lastExit = c.end().Status
		s.mu.Unlock()
	}
	s.wg.Wait()
	close(s.settled)
	s.burials.Wait()
	if err == nil && s.hurried() {
		err = ErrInterrupted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastExit, err
}

func (s *Supervisor) hurried() bool {
	select {
	case <-s.hurry:
		return true
	default:
		return false
	}
}

var errNotRunning = errors.New("no child serves")

// pass sends a signal that is not for the supervisor to the child that serves.
func (s *Supervisor) pass(sig syscall.Signal) {
	err := errNotRunning
	if c := s.current(); c != nil {
		err = s.procs.signal(c.proc, sig)
	}
	if err != nil {
		s.emit(Event{Kind: Trouble, Detail: fmt.Sprintf("signal %s was not passed on: %v", sig, err)})
	}
}
