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

// stormTiming is that of a service in a storm. The probation is longer than the
// calls of a round are apart.
var stormTiming = timing{ready: 3 * time.Second, probation: 3500 * time.Millisecond, heartbeat: time.Second, idle: 300 * time.Millisecond, drain: 10 * time.Second}

const (
	// stormSignals is how many signals a round sends.
	stormSignals = 1000
	// stormsAtOnce is how many rounds run at a time.
	stormsAtOnce = 3
)

// The storms.
const (
	stormOfCalls    = "2 to 10 upgrades asked for at once"
	stormInRollback = "upgrades asked for during a rollback"
	stormOfStops    = "1,000 SIGTERM and SIGINT in an upgrade"
	stormOfReloads  = "theseus run: files saved during an upgrade"
	stormOfHangups  = "theseus run: 1,000 SIGHUP and SIGQUIT in an upgrade"
	stormOfAll      = "theseus run: 1,000 SIGTERM, SIGINT, SIGHUP and SIGQUIT in an upgrade"
)

// stormPlan says how many rounds each has, in that order.
var stormPlan = []struct {
	kind   string
	rounds int
}{{stormOfCalls, 20}, {stormInRollback, 12}, {stormOfStops, 10}, {stormOfReloads, 10}, {stormOfHangups, 4}, {stormOfAll, 4}}

const stormRounds = 60

// A StormRow is all rounds of one kind.
type StormRow struct {
	Kind      string  `json:"kind"`
	Rounds    int     `json:"rounds"`
	Calls     int     `json:"calls"`     // upgrades asked for, by signals or otherwise, and files saved
	Signals   int     `json:"signals"`   // of the storms of signals
	Upgrades  int     `json:"upgrades"`  // that were carried out
	Conflicts int     `json:"conflicts"` // calls that were told of another upgrade
	Ended     int     `json:"ended"`     // rounds after which no process was left, as they had been told
	Requests  int     `json:"requests"`
	Theirs    int     `json:"failed_by_the_bad_or_stopped"` // answered by a bad release, or on connections of a process that was told to end
	Lost      int     `json:"lost"`                         // all others
	Wrong     []wrong `json:"wrong,omitempty"`
}

// A stormRound is one of them.
type stormRound struct {
	StormRow
	n    int
	rng  *rand.Rand
	b    *bench
	dir  string
	good [2]string
	bad  map[string]string // by mode
	cmd  [2]string         // theseus
}

func (r *stormRound) fail(format string, args ...any) {
	r.Wrong = append(r.Wrong, wrong{r.n, fmt.Sprintf(format, args...)})
}

// stormOf returns which storm a round is, the same with every seed.
func stormOf(n int) string {
	for _, p := range stormPlan {
		if n < p.rounds {
			return p.kind
		}
		n -= p.rounds
	}
	return stormOfCalls
}

// storms runs rounds, some at a time.
func (b *bench) storms(ctx context.Context, seed uint64, rounds []int) ([]StormRow, error) {
	model := stormRound{b: b}
	if err := model.build(ctx, rounds); err != nil {
		return nil, err
	}
	b.progress("storms: seed %d", seed)
	var mu sync.Mutex
	rows := map[string]*StormRow{}
	var errs []error
	var wg sync.WaitGroup
	slots := make(chan struct{}, stormsAtOnce)
	for i, n := range rounds {
		r := model
		r.n, r.Kind, r.rng, r.dir = n, stormOf(n), rand.New(rand.NewPCG(seed, uint64(n))), b.newDir()
		slots <- struct{}{}
		b.progress("storms: round %d of %d, %s", i+1, len(rounds), r.Kind)
		wg.Go(func() {
			defer func() { <-slots }()
			err := r.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.fail("not carried out: %v", err)
				errs = append(errs, fmt.Errorf("storms: round %d, %s: %w (again: -only storms -seed %d -round %d)", n, r.Kind, err, seed, n))
			}
			if rows[r.Kind] == nil {
				rows[r.Kind] = &StormRow{Kind: r.Kind}
			}
			rows[r.Kind].add(&r.StormRow)
		})
	}
	wg.Wait()
	var list []StormRow
	for _, p := range stormPlan {
		if row := rows[p.kind]; row != nil {
			slices.SortFunc(row.Wrong, func(a, b wrong) int { return a.Round - b.Round })
			list = append(list, *row)
		}
	}
	return list, errors.Join(errs...)
}

// build makes the programs that the rounds need.
func (r *stormRound) build(ctx context.Context, rounds []int) (err error) {
	if r.good, err = r.b.goodPrograms(ctx, &subjectPeer); err != nil {
		return err
	}
	r.bad = map[string]string{}
	for _, mode := range rollbackModes {
		if r.bad[mode], err = r.b.builder.build(ctx, &subjectPeer, "v9", mode); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(rounds, func(n int) bool { return strings.HasPrefix(stormOf(n), theseusPeer.Name) }) {
		return nil
	}
	r.cmd, err = r.b.goodPrograms(ctx, &theseusPeer)
	return err
}

func (r *stormRound) run(ctx context.Context) error {
	switch r.Rounds = 1; r.Kind {
	case stormOfCalls:
		return r.calls(ctx)
	case stormInRollback:
		return r.rollback(ctx)
	case stormOfStops:
		return r.stops(ctx)
	case stormOfReloads:
		return r.reloads(ctx)
	}
	return r.theseusSignals(ctx)
}

func (row *StormRow) add(r *StormRow) {
	row.Rounds, row.Calls, row.Signals = row.Rounds+r.Rounds, row.Calls+r.Calls, row.Signals+r.Signals
	row.Upgrades, row.Conflicts, row.Ended = row.Upgrades+r.Upgrades, row.Conflicts+r.Conflicts, row.Ended+r.Ended
	row.Requests, row.Theirs, row.Lost = row.Requests+r.Requests, row.Theirs+r.Theirs, row.Lost+r.Lost
	row.Wrong = append(row.Wrong, r.Wrong...)
}

func stormTable(rows []StormRow) *table {
	t := &table{head: []string{"storm", "rounds", "calls", "signals", "upgrades carried out", "told of a conflict", "ended as told", "requests",
		"failed: by the bad or stopped / lost", "result"}}
	for _, r := range rows {
		t.add(r.Kind, strconv.Itoa(r.Rounds), strconv.Itoa(r.Calls), strconv.Itoa(r.Signals), strconv.Itoa(r.Upgrades), strconv.Itoa(r.Conflicts),
			strconv.Itoa(r.Ended), strconv.Itoa(r.Requests), fmt.Sprintf("%d / %d", r.Theirs, r.Lost), killResult(r.Wrong))
	}
	return t
}
