package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// stops tells a service to end a thousand times in an upgrade. Afterwards either
// nothing is left, and it starts anew, or one process serves and can be upgraded.
func (r *stormRound) stops(ctx context.Context) (err error) {
	s, load, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer func() { load.stop(); err = errors.Join(err, s.stop()) }()
	if err := s.replace(r.good[1]); err != nil {
		return err
	}
	old, _, err := s.trigger()
	if err != nil {
		return err
	}
	r.Calls++
	told := r.pelt(ctx, s.group.id, old, stopSignals)
	alive := r.outlived(ctx, s.Service)
	r.Upgrades = count(s.happenings(0), "upgrade: committed")
	if !alive {
		r.Ended++
		load.stop()
		r.Requests, _ = load.seen()
		took, err := s.restart(ctx)
		if err != nil {
			return err
		}
		if took > readyLimit {
			r.fail("ready %v after the restart, want %v", took, readyLimit)
		}
		load = measure(ctx, s.addr, quiet)
		told = nil
	}
	requests := r.Requests
	r.endedWell(s, load, told)
	r.Requests += requests
	return ctx.Err()
}

// pelt waits for a moment in an upgrade of a process and sends signals to it, to its
// successor, or to both, and to any other once these have ended, as long as there is one
// at all. It returns whom.
func (r *stormRound) pelt(ctx context.Context, group, old int, signals []int) map[int]bool {
	limit := int64(20 * time.Millisecond)
	if r.rng.IntN(2) == 0 {
		limit = int64(stormTiming.probation)
	}
	wait, whom, told := time.Duration(r.rng.Int64N(limit)), r.rng.IntN(3), map[int]bool{}
	if whom == 1 {
		newcomer(ctx, group, old)
	}
	sleep(ctx, wait)
	for range stormSignals {
		targets := slices.DeleteFunc(members(group), func(pid int) bool {
			return whom == 0 && pid != old || whom == 1 && pid == old
		})
		if len(targets) == 0 {
			if targets = members(group); len(targets) == 0 {
				break
			}
		}
		pid := targets[r.rng.IntN(len(targets))]
		sendSignal(pid, signals[r.rng.IntN(len(signals))])
		told[pid] = true
		r.Signals++
	}
	return told
}

// outlived waits until the service has ended, or consists of one process that
// answers and that the PID file names.
func (r *stormRound) outlived(ctx context.Context, s *Service) bool {
	deadline := time.Now().Add(settleLimit)
	for {
		all := members(s.group.id)
		if len(all) == 0 {
			return false
		}
		pid, err := s.pid()
		if err == nil && slices.Equal(all, []int{pid}) {
			if who, f := s.ask(ctx); f == nil && (who == pid || s.peer == &theseusPeer) {
				return true
			}
		}
		if time.Now().After(deadline) || !sleep(ctx, 5*time.Millisecond) {
			r.fail("neither ended nor at peace after %v: the PID file names %d (%v), processes %v", settleLimit, pid, err, all)
			return true
		}
	}
}
