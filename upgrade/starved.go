package upgrade

import (
	"errors"
	"fmt"
	"time"
)

// errStarved is why a process is taken back that kept silent on a machine that is too
// busy to tell whether it hangs.
var errStarved = errors.New("no heartbeat")

// A silence is the time since a process gave its last sign of life, and what speaks
// for its having had no processor time in it.
type silence struct {
	pid    int
	queued func(pid int) time.Duration
	began  time.Time
	before time.Duration // what it had been queued for then
	late   time.Duration // of the ticks of this process
	last   time.Time     // of those
}

// silence begins one of s.
func (s *successor) silence() *silence {
	quiet := &silence{pid: s.pid, queued: s.u.opt.queued}
	quiet.hear()
	return quiet
}

// hear begins a silence anew.
func (s *silence) hear() {
	s.began, s.before, s.late = time.Now(), s.queued(s.pid), 0
	s.last = s.began
}

// tick notes when this process ran, which should be at every interval.
func (s *silence) tick(interval time.Duration) {
	now := time.Now()
	s.late += max(0, now.Sub(s.last)-interval)
	s.last = now
}

// reason is what to hold against the process, which has been silent for limit. It
// counts as starved if it waited for a processor for half of the time, or this process
// did, which is as good or bad off.
func (s *silence) reason(limit time.Duration) error {
	waited := max(s.late, s.queued(s.pid)-s.before)
	if waited < limit/2 {
		return fmt.Errorf("%w for %s", errHung, limit)
	}
	return fmt.Errorf("%w for %s; the machine is too busy, with %s of waiting for a processor, so the program is not blamed and may be tried again",
		errStarved, limit, waited.Round(time.Millisecond))
}
