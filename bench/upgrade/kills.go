package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// In a round of kills a service is asked to upgrade, and at a random moment one of
// its processes is stopped, looked at, and killed. Each request that fails is one of
// these:
//
//	held    its connection was among the descriptors of the victim when that stood
//	        still to be killed. Nobody else could have answered it. Or it was one of a
//	        new process that the old one gave up and ended, as it does with one
//	        that stands still too long.
//	outage  it ended between the kill and the first answer after a restart, in a
//	        round in which nobody was left to serve: the victim was the only
//	        process that had everything. Rounds are told apart by what the processes
//	        have logged: the old one is that until it has sent everything, the new
//	        one from the end of the probation on. With a supervisor there is no outage.
//	lost    all others. There must be none.
//
// A round ends when one process is left that answers and that the PID file names, and
// that has as many descriptors as one at peace.

// killTiming is that of a service whose processes are killed.
var killTiming = timing{ready: 5 * time.Second, probation: 500 * time.Millisecond, heartbeat: 400 * time.Millisecond, idle: 300 * time.Millisecond, drain: 5 * time.Second}

// lanes is how many services are there at a time. Each has its own load.
const lanes = 3

// Who is killed, or stopped, in a round.
const (
	victimOld        = "old"        // the process that is asked to upgrade
	victimNew        = "new"        // its successor
	victimAny        = "random one" // either
	victimAll        = "all"        // every process at once
	victimStopped    = "SIGSTOP"    // either, by SIGSTOP, with SIGCONT some time later
	victimSupervisor = "supervisor" // of a service that has one
	victimWorker     = "worker"     // of a service with a supervisor, either one
)

// killPlan says how many rounds there are with each victim, in that order.
var killPlan = []struct {
	victim string
	rounds int
}{{victimOld, 200}, {victimNew, 200}, {victimAny, 200}, {victimSupervisor, 200}, {victimStopped, 100}, {victimAll, 50}, {victimWorker, 50}}

func killRounds() (n int) {
	for _, p := range killPlan {
		n += p.rounds
	}
	return n
}

// victimOf returns who is the victim of a round, the same with every seed.
func victimOf(round int) string {
	for _, p := range killPlan {
		if round < p.rounds {
			return p.victim
		}
		round -= p.rounds
	}
	return victimAny
}

// seeded returns the seed, which it makes up if there is none.
func (c *trialConfig) seeded() uint64 {
	for c.seed == 0 {
		c.seed = rand.Uint64N(1_000_000)
	}
	return c.seed
}

// rounds are the numbers of the rounds to run, of n.
func (c *trialConfig) rounds(n int) (list []int) {
	if c.round >= 0 {
		return []int{c.round}
	}
	step := 1
	if c.quick {
		step = 10
	}
	for i := 0; i < n; i += step {
		list = append(list, i)
	}
	return list
}

// A KillRow is all rounds with one victim.
type KillRow struct {
	Victim string `json:"victim"`
	Rounds int    `json:"rounds"`
	Early  int    `json:"before_hand_over"` // the victim was the only one that could serve: outage until the restart
	Late   int    `json:"after_the_end"`    // the victim had ended before its moment: nothing was done
	GaveUp int    `json:"given_up"`         // the old process gave up a new one that nobody had touched: the machine was too busy

	Requests int `json:"requests"`
	Held     int `json:"failed_held"`    // on connections that the victim had
	Outage   int `json:"failed_outage"`  // while there was nobody to serve
	Lost     int `json:"failed_lost"`    // all others
	NewWon   int `json:"new_is_service"` // rounds after which the new process was the service

	Restart Durations `json:"restart_to_ready"`
	Settled Durations `json:"kill_to_settled"`
	Wrong   []wrong   `json:"wrong,omitempty"`

	restarts, settled []time.Duration
}

// kills runs rounds, some at a time.
func (b *bench) kills(ctx context.Context, seed uint64, rounds []int) ([]KillRow, error) {
	good, err := b.goodPrograms(ctx, &subjectPeer)
	if err != nil {
		return nil, err
	}
	b.progress("kills: seed %d", seed)
	var mu sync.Mutex
	rows := map[string]*KillRow{}
	next := make(chan int)
	errs := make([]error, lanes)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range min(lanes, len(rounds)) {
		l := &lane{good: good, dir: b.newDir(), done: func(r *killRound) {
			mu.Lock()
			defer mu.Unlock()
			if rows[r.victim] == nil {
				rows[r.victim] = &KillRow{Victim: r.victim}
			}
			rows[r.victim].add(r)
			for _, w := range r.wrong {
				b.progress("kills: round %d, %s: %s", r.n, r.victim, w)
			}
		}}
		wg.Go(func() {
			if errs[i] = l.run(ctx, seed, next); errs[i] != nil {
				cancel()
			}
		})
	}
	for i, n := range rounds {
		select {
		case next <- n:
		case <-ctx.Done():
		}
		if i%50 == 0 {
			b.progress("kills: round %d of %d", i, len(rounds))
		}
	}
	close(next)
	wg.Wait()
	collect()
	var list []KillRow
	for _, p := range killPlan {
		if row := rows[p.victim]; row != nil {
			row.Restart, row.Settled = durationsOf(row.restarts), durationsOf(row.settled)
			slices.SortFunc(row.Wrong, func(a, b wrong) int { return a.Round - b.Round })
			list = append(list, *row)
		}
	}
	return list, errors.Join(errs...)
}

func (row *KillRow) add(r *killRound) {
	row.Rounds++
	row.Requests, row.Held, row.Outage, row.Lost = row.Requests+r.requests, row.Held+r.held, row.Outage+r.outage, row.Lost+r.lost
	switch {
	case r.late:
		row.Late++
	case r.down:
		row.Early++
	}
	if r.gaveUp {
		row.GaveUp++
	}
	if r.newWon {
		row.NewWon++
	}
	if r.restart > 0 {
		row.restarts = append(row.restarts, r.restart)
	}
	if !r.late {
		row.settled = append(row.settled, r.settled)
	}
	for _, w := range r.wrong {
		row.Wrong = append(row.Wrong, wrong{r.n, w})
	}
}

func killTable(rows []KillRow) *table {
	t := &table{head: []string{"victim", "rounds", "too late", "given up untouched", "nobody else could serve", "new one is the service", "requests",
		"failed: held by it / nobody served / lost", "restart → ready ms, median / max", "kill → settled ms, median / max", "result"}}
	for _, r := range rows {
		t.add(r.Victim, strconv.Itoa(r.Rounds), strconv.Itoa(r.Late), strconv.Itoa(r.GaveUp), strconv.Itoa(r.Early), strconv.Itoa(r.NewWon), strconv.Itoa(r.Requests),
			fmt.Sprintf("%d / %d / %d", r.Held, r.Outage, r.Lost), medianMax(r.Restart), medianMax(r.Settled), killResult(r.Wrong))
	}
	return t
}

func killResult(list []wrong) string {
	if len(list) == 0 {
		return "ok"
	}
	var rounds []string
	for _, w := range list {
		if n := strconv.Itoa(w.Round); !slices.Contains(rounds, n) && len(rounds) < 10 {
			rounds = append(rounds, n)
		}
	}
	return "**FAILS** in rounds " + strings.Join(rounds, ", ")
}
