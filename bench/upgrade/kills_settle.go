package main

import (
	"context"
	"slices"
	"time"
)

// settle waits until one process is the service and nothing else is there. It
// restarts the service when that is needed, as an init would.
func (l *lane) settle(ctx context.Context, r *killRound) error {
	s := l.s
	begin := time.Now()
	for {
		pid, f := s.ask(ctx)
		if f == nil && !slices.Contains(l.dead(r), pid) {
			if r.upfrom.IsZero() {
				r.upfrom = time.Now()
			}
			if named, err := s.pid(); err == nil && named == pid && l.alone(pid) && l.decided(r, pid) {
				break
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case len(members(s.group.id)) == 0, f != nil && l.headless():
			if err := l.revive(ctx, r); err != nil {
				return err
			}
			continue
		case time.Since(begin) > settleLimit:
			named, err := s.pid()
			r.fail("not settled %v after the kill: process %d answers (%v), the PID file names %d (%v), processes %v", settleLimit, pid, f, named, err, members(s.group.id))
			return l.revive(ctx, r)
		}
		sleep(ctx, 2*time.Millisecond)
	}
	r.settled = time.Since(begin)
	if r.must && r.down {
		r.fail("nobody served although another process was able to")
	}
	if r.down && r.restart > readyLimit {
		r.fail("ready %v after the restart, want %v", r.restart, readyLimit)
	}
	pid, err := s.pid()
	r.newWon = pid != r.old && !r.down
	l.leaks(ctx, r, pid)
	return err
}

// dead are the victims that were killed.
func (l *lane) dead(r *killRound) []int {
	if r.victim == victimStopped {
		return nil
	}
	return r.hurt
}

// alone reports whether a process is the only one and at peace.
func (l *lane) alone(pid int) bool {
	all := members(l.s.group.id)
	return len(all) == 1 && all[0] == pid
}

// decided reports whether the upgrade is over, as the log has it.
func (l *lane) decided(r *killRound, pid int) bool {
	return r.late || r.down || pid != r.old || count(l.s.happenings(r.from), "upgrade: failed") > 0
}

// headless reports whether the process that the PID file names is dead, which is
// when an init starts the service anew.
func (l *lane) headless() bool {
	pid, err := l.s.pid()
	return err == nil && !running(pid) && members(l.s.group.id) != nil && !l.accepting()
}

// accepting reports whether a process of the service has the listening socket.
func (l *lane) accepting() bool {
	for _, pid := range members(l.s.group.id) {
		if holdings(pid, portOf(l.s.addr)).listeners > 0 {
			return true
		}
	}
	return false
}

// revive starts the service anew. What is left of it, which drains, is ended first.
func (l *lane) revive(ctx context.Context, r *killRound) (err error) {
	r.down = true
	r.restart, err = l.s.restart(ctx)
	r.upfrom = time.Now()
	return err
}

// leaks compares the descriptors with those of a process at peace.
func (l *lane) leaks(ctx context.Context, r *killRound, pid int) {
	deadline := time.Now().Add(settleLimit)
	for {
		now := holdings(pid, portOf(l.s.addr))
		if now.listeners == l.base.listeners && now.others <= l.base.others {
			return
		}
		if time.Now().After(deadline) || !sleep(ctx, 10*time.Millisecond) {
			r.fail("descriptors: %d listeners and %d others, at peace %d and %d", now.listeners, now.others, l.base.listeners, l.base.others)
			return
		}
	}
}

// blame finds out whose doing each failed request was.
func (l *lane) blame(r *killRound, misses []miss) {
	if len(misses) == 0 {
		return
	}
	holders := l.s.holders()
	for i := range misses {
		m := &misses[i]
		switch {
		case l.ended(r, m.port, holderOf(holders, m.port, m.ended)):
			r.held++
		case r.down && m.ended.After(r.at) && m.began.Before(r.upfrom):
			r.outage++
		default:
			r.lost++
			r.fail("lost: %s; last had by process %d; victims %v at %s", m.String(), holderOf(holders, m.port, m.ended), r.hurt, r.at.Format("15:04:05.000"))
		}
	}
}

// ended reports whether a connection ended with a process: with a victim that was
// killed and had it then; or with a successor that the old process had given up and
// ended, as it does with one that is stopped, or gets no time on a busy machine.
func (l *lane) ended(r *killRound, port, holder int) bool {
	if r.victim != victimStopped && (r.ports[port] || r.missed && slices.Contains(r.hurt, holder)) {
		return true
	}
	return slices.ContainsFunc(l.s.happenings(r.from), func(h happening) bool {
		return h.Msg == "upgrade: failed" && h.Peer != 0 && (h.Peer == holder || slices.Contains(r.hurt, h.Peer) && r.ports[port])
	})
}

// gaveUp reports whether the old process gave up a successor that was left alone.
func (l *lane) gaveUp(r *killRound) bool {
	return slices.ContainsFunc(l.s.happenings(r.from), func(h happening) bool {
		return h.Msg == "upgrade: failed" && h.Peer != 0 && !slices.Contains(r.hurt, h.Peer) && !slices.Contains(r.hurt, h.PID)
	})
}
