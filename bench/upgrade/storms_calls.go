package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// open starts the service of a round, with a load on it.
func (r *stormRound) open(ctx context.Context) (*subject, *meter, error) {
	s, err := launch(ctx, r.good[0], r.dir, stormTiming)
	if err != nil {
		return nil, nil, err
	}
	m := measure(ctx, s.addr, busy)
	sleep(ctx, 200*time.Millisecond)
	return s, m, nil
}

// calls asks for an upgrade in several ways at once: one is carried out.
func (r *stormRound) calls(ctx context.Context) (err error) {
	s, load, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer func() { load.stop(); err = errors.Join(err, s.stop()) }()
	if err := s.replace(r.good[1]); err != nil {
		return err
	}
	old, err := s.pid()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	signals, begin := 0, make(chan struct{})
	for range 2 + r.rng.IntN(9) {
		r.Calls++
		if r.rng.IntN(2) == 0 {
			signals++
			wg.Go(func() {
				<-begin
				_ = upgradeSignal(old)
			})
			continue
		}
		wg.Go(func() {
			<-begin
			v := s.order(ctx, settleLimit)
			mu.Lock()
			defer mu.Unlock()
			r.answer(v)
		})
	}
	close(begin)
	wg.Wait()
	bySignal := r.committed(ctx, s, old)
	if bySignal && signals == 0 {
		r.fail("an upgrade nobody asked for")
	}
	r.endedWell(s, load, nil)
	return ctx.Err()
}

// answer takes down the answer to a call.
func (r *stormRound) answer(v *verdict) {
	switch {
	case v.PID != 0:
		r.Upgrades++
	case v.conflict():
		r.Conflicts++
	default:
		r.fail("status %d: %s", v.Status, v.Error)
	}
}

// committed waits until one process is left that is not the old one, and checks that
// there was exactly one upgrade. It reports whether none of the calls was told so.
func (r *stormRound) committed(ctx context.Context, s *subject, old int) (silent bool) {
	deadline := time.Now().Add(settleLimit)
	for {
		pid, err := s.pid()
		all := members(s.group.id)
		if err == nil && pid != old && slices.Equal(all, []int{pid}) {
			break
		}
		if time.Now().After(deadline) || !sleep(ctx, 5*time.Millisecond) {
			r.fail("the PID file names %d (%v), processes %v, after the upgrade of %d", pid, err, all, old)
			return false
		}
	}
	n := count(s.happenings(0), "upgrade: committed")
	silent = r.Upgrades == 0
	if n != 1 || r.Upgrades > 1 {
		r.fail("%d upgrades were committed, and %d calls told so", n, r.Upgrades)
	}
	r.Upgrades = n
	return silent
}

// endedWell checks that the service upgrades, and what the clients saw. Theirs are
// the processes whose failures are their own.
func (r *stormRound) endedWell(s *subject, load *meter, theirs map[int]bool) {
	_ = s.replaceByVariant(r.good[0], r.n) // or it would be refused if it was rolled back
	if v := s.orderUntilFree(context.Background(), settleLimit); v.PID == 0 {
		r.fail("an upgrade afterwards: %s", v.Error)
	}
	load.stop()
	var misses []miss
	r.Requests, misses = load.seen()
	list := s.holders()
	for i := range misses {
		m := &misses[i]
		if theirs[m.PID] || theirs[holderOf(list, m.port, m.ended)] {
			r.Theirs++
			continue
		}
		r.Lost++
		r.fail("lost: %s", m.String())
	}
}

// orderUntilFree asks for an upgrade until there is no other one in its way.
func (s *subject) orderUntilFree(ctx context.Context, limit time.Duration) *verdict {
	for deadline := time.Now().Add(limit); ; {
		v := s.order(ctx, limit)
		if !v.conflict() || time.Now().After(deadline) || !sleep(ctx, 20*time.Millisecond) {
			return v
		}
	}
}

// rollbackModes are the bad releases of storms.
var rollbackModes = []string{"errors", "panic100ms", "never", "deaf"}

// rollback asks for upgrades all the time from before a bad release is rolled back:
// they are refused until that is done, then one is carried out.
func (r *stormRound) rollback(ctx context.Context) (err error) {
	s, load, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer func() { load.stop(); err = errors.Join(err, s.stop()) }()
	old, err := s.pid()
	if err != nil {
		return err
	}
	mode := rollbackModes[r.rng.IntN(len(rollbackModes))]
	if err := s.replace(r.bad[mode]); err != nil {
		return err
	}
	over := make(chan struct{})
	var bad *verdict
	go func() { defer close(over); bad = s.order(ctx, settleLimit) }()
	// From then on the file may be exchanged.
	for deadline := time.Now().Add(settleLimit); !stepDone(s, "hello") && time.Now().Before(deadline); {
		sleep(ctx, 5*time.Millisecond)
	}
	if err := s.replace(r.good[1]); err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 2 + r.rng.IntN(9) {
		wg.Go(func() {
			for last := false; !last && ctx.Err() == nil; sleep(ctx, 10*time.Millisecond) {
				select {
				case <-over:
					last = true
				default:
				}
				v := s.order(ctx, settleLimit)
				mu.Lock()
				r.Calls++
				if v.PID != 0 || v.conflict() || last { // else the bad release answered, or broke
					r.answer(v)
				}
				mu.Unlock()
				last = last || v.PID != 0
			}
		})
	}
	wg.Wait()
	<-over
	if bad.PID != 0 || bad.Error == "" {
		r.fail("the bad release (%s): process %d, %q", mode, bad.PID, bad.Error)
	}
	r.committed(ctx, s, old)
	theirs := map[int]bool{}
	for _, h := range s.happenings(0) {
		if h.Msg == "upgrade: failed" && h.Peer != 0 {
			theirs[h.Peer] = true
		}
	}
	r.endedWell(s, load, theirs)
	return ctx.Err()
}

func stepDone(s *subject, step string) bool {
	return slices.ContainsFunc(s.happenings(0), func(h happening) bool { return h.Msg == "upgrade: step" && h.Step == step })
}
