package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// readyLimit is how long a service may take from its restart until it answers.
const readyLimit = 10 * time.Second

// A lane is a service with a load on which one round after the other is done.
type lane struct {
	good [2]string
	dir  string
	done func(*killRound)

	s    *subject
	load *meter
	base held // of a process that is alone and at peace
}

// A killRound is one upgrade in which something is killed at a random moment. What
// is random comes from the seed and the number of the round alone; what the
// processes do in the meantime does not.
type killRound struct {
	n      int
	victim string
	rng    *rand.Rand

	late, down, newWon bool
	gaveUp             bool
	requests           int
	held, outage, lost int
	restart, settled   time.Duration
	wrong              []string

	old    int
	hurt   []int        // the processes that were killed or stopped
	ports  map[int]bool // of the connections that they had
	missed bool         // one ended before it could be looked at
	from   int64        // of the log, where the round begins
	at     time.Time    // of the kill
	upfrom time.Time    // when the service answered again
	must   bool         // somebody else was able to serve
}

func (r *killRound) fail(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func newKillRound(seed uint64, n int) *killRound {
	return &killRound{n: n, victim: victimOf(n), rng: rand.New(rand.NewPCG(seed, uint64(n))), ports: map[int]bool{}}
}

// moment is a random time after the trigger of an upgrade. A third of them falls in
// the hand-over, which is over in some milliseconds, a third about the end of the
// probation, and a third anywhere.
func (r *killRound) moment() time.Duration {
	probation := int64(killTiming.probation)
	switch third := r.rng.Int64N(3); third {
	case 0:
		return time.Duration(r.rng.Int64N(int64(15 * time.Millisecond)))
	case 1:
		return time.Duration(probation + r.rng.Int64N(int64(30*time.Millisecond)))
	}
	return time.Duration(r.rng.Int64N(probation + int64(400*time.Millisecond)))
}

func (l *lane) run(ctx context.Context, seed uint64, rounds <-chan int) (err error) {
	if l.s, err = launch(ctx, l.good[0], l.dir, killTiming); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.s.stop()) }()
	l.load = measure(ctx, l.s.addr, busy)
	defer func() { l.load.stop() }()
	sleep(ctx, 300*time.Millisecond)
	pid, err := l.s.pid()
	if err != nil {
		return err
	}
	l.base = holdings(pid, portOf(l.s.addr))
	for n := range rounds {
		r, err := l.hit(ctx, newKillRound(seed, n))
		if err != nil {
			return fmt.Errorf("kills: round %d, %s: %w (again: -only kills -seed %d -round %d)", n, r.victim, err, seed, n)
		}
		l.done(r)
	}
	return ctx.Err()
}

// tooLate is how many times a round may find that its victim has ended already.
const tooLate = 10

// hit does a round, again at another moment if the victim had ended before that one.
func (l *lane) hit(ctx context.Context, r *killRound) (*killRound, error) {
	do := l.round
	if r.victim == victimSupervisor || r.victim == victimWorker {
		do = l.supervisedRound
	}
	for range tooLate {
		if err := do(ctx, r); err != nil || !r.late || len(r.wrong) > 0 {
			return r, err
		}
		r = &killRound{n: r.n, victim: r.victim, rng: r.rng, ports: map[int]bool{}, requests: r.requests}
	}
	return r, do(ctx, r)
}

func (l *lane) round(ctx context.Context, r *killRound) (err error) {
	s := l.s
	before, misses := l.load.seen()
	known := len(misses)
	r.from = s.logged()
	if err := s.replaceByVariant(l.good[r.n%2], r.n); err != nil {
		return err
	}
	if r.old, _, err = s.trigger(); err != nil {
		return err
	}
	if err := l.strike(ctx, r); err != nil {
		return err
	}
	if err := l.settle(ctx, r); err != nil {
		return err
	}
	sleep(ctx, 50*time.Millisecond) // what was lost at the end shows now
	after, misses := l.load.seen()
	r.requests += after - before
	r.gaveUp = l.gaveUp(r)
	l.blame(r, misses[known:])
	return ctx.Err()
}

// strike waits for its moment and kills.
func (l *lane) strike(ctx context.Context, r *killRound) error {
	victims := l.choose(ctx, r)
	if len(victims) == 0 {
		r.late = true
		return nil
	}
	for _, pid := range victims {
		if freeze(pid) {
			r.hurt = append(r.hurt, pid)
		}
	}
	if len(r.hurt) == 0 {
		r.late = true
		return nil
	}
	for _, pid := range r.hurt {
		r.look(pid, portOf(l.s.addr))
	}
	r.at = time.Now()
	r.must = l.another(r)
	if r.victim == victimStopped {
		sleep(ctx, 50*time.Millisecond+time.Duration(r.rng.Int64N(int64(1500*time.Millisecond))))
		for _, pid := range r.hurt {
			thaw(pid)
		}
		r.must = true // it goes on, or another has taken its place
		return nil
	}
	for _, pid := range r.hurt {
		if err := kill(pid); err != nil {
			return err
		}
	}
	return nil
}

// look takes down the connections of a victim, which stands still.
func (r *killRound) look(pid, port int) {
	for client := range holdings(pid, port).ports {
		r.ports[client] = true
	}
	// The old process may have taken it for dead, and ended it, in the meantime.
	r.missed = r.missed || !stopped(strconv.Itoa(pid))
}

// choose waits for a random moment and returns the victims.
func (l *lane) choose(ctx context.Context, r *killRound) []int {
	switch r.victim {
	case victimNew:
		wait := r.moment()
		pid := newcomer(ctx, l.s.group.id, r.old)
		if pid == 0 {
			return nil
		}
		sleep(ctx, wait)
		return []int{pid}
	case victimOld:
		sleep(ctx, r.moment())
		return []int{r.old}
	case victimAll:
		sleep(ctx, r.moment())
		return members(l.s.group.id)
	}
	sleep(ctx, r.moment())
	all, which := members(l.s.group.id), r.rng.Uint32()
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return all[int(which)%len(all):][:1]
}

// newcomer waits for a process of a group beside the old one; 0 if none comes.
func newcomer(ctx context.Context, group, old int) int {
	deadline := time.Now().Add(servingLimit)
	for time.Now().Before(deadline) {
		for _, pid := range members(group) {
			if pid != old {
				return pid
			}
		}
		if !sleep(ctx, pollEvery) {
			break
		}
	}
	return 0
}

// another reports whether somebody else is able to serve. It is called while the
// victims stand still. What the old process logs is so by then; that it commits is
// so a moment after it has logged the end of the probation.
func (l *lane) another(r *killRound) bool {
	log := l.s.happenings(r.from)
	done := func(step string) bool {
		return slices.ContainsFunc(log, func(h happening) bool { return h.Msg == "upgrade: step" && h.Step == step })
	}
	gone := func(msg string) bool { return count(log, msg) > 0 }
	switch {
	case len(r.hurt) > 1 || r.victim == victimAll:
		return false
	case r.hurt[0] == r.old:
		// From then on the new one has everything it needs, unless the upgrade failed.
		return done("prepare") && !gone("upgrade: failed") || !running(r.old)
	}
	return !done("probation")
}
