package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// trialConfig is what the flags say of the sections faults, storms and kills.
type trialConfig struct {
	seed  uint64
	round int    // of kills or storms; negative for all
	quick bool   // of kills and storms only every tenth round
	match string // part of the names of the cases of faults, empty for all
}

func (c *trialConfig) flags() {
	flag.Uint64Var(&c.seed, "seed", 0, "`number` that the rounds of kills and storms come from; 0 means one that is printed")
	flag.IntVar(&c.round, "round", -1, "run only this `round` of kills or storms")
	flag.StringVar(&c.match, "case", "", "run only the cases of faults whose name, mode/moment, contains this `text`")
}

// Trials is what was found by mistreating our service.
type Trials struct {
	Seed        uint64     `json:"seed,omitempty"`
	Faults      []FaultRow `json:"faults,omitempty"`
	Storms      []StormRow `json:"storms,omitempty"`
	Kills       []KillRow  `json:"kills,omitempty"`
	FaultsLoads string     `json:"faults_load_average,omitempty"`
	StormsLoads string     `json:"storms_load_average,omitempty"`
	KillsLoads  string     `json:"kills_load_average,omitempty"`
	Tallies     []Tally    `json:"tallies,omitempty"`
}

// trial runs a section that mistreats the service; there is only ours to mistreat.
func (b *bench) trial(ctx context.Context, t *Trials, section string, p *Peer) (err error) {
	if p.Name != "ours" {
		return nil
	}
	before := loadAverage()
	loads := func() string { return before + " / " + loadAverage() }
	t.Seed = b.trials.seeded()
	switch section {
	case "faults":
		t.Faults, err = b.faults(ctx, func(name string) bool { return strings.Contains(name, b.trials.match) })
		t.FaultsLoads = loads()
		t.Tallies = append(t.Tallies, faultTally(t.Faults))
	case "storms":
		rounds := b.trials.rounds(stormRounds)
		t.Storms, err = b.storms(ctx, t.Seed, rounds)
		t.StormsLoads = loads()
		t.Tallies = append(t.Tallies, stormTally(t.Storms, rounds))
	case "kills":
		rounds := b.trials.rounds(killRounds())
		t.Kills, err = b.kills(ctx, t.Seed, rounds)
		t.KillsLoads = loads()
		t.Tallies = append(t.Tallies, killTallies(t.Kills, rounds)...)
	}
	return err
}

// judge finds the rows that fail.
func (t *Trials) judge(miss func(bool, string, ...any)) {
	for _, r := range t.Faults {
		miss(len(r.Wrong) == 0, "faults: %s: %s (again: -only faults -case %s)", r.name(), first(r.Wrong), r.name())
	}
	for _, r := range t.Storms {
		for _, w := range r.Wrong {
			miss(false, "storms: %s: %s (again: -only storms -seed %d -round %d)", r.Kind, w.What, t.Seed, w.Round)
		}
	}
	for _, r := range t.Kills {
		for _, w := range r.Wrong {
			miss(false, "kills: %s: %s (again: -only kills -seed %d -round %d)", r.Victim, w.What, t.Seed, w.Round)
		}
	}
	for _, tally := range t.Tallies {
		miss(tally.Passed == tally.Planned, "%s: %d of %d", tally.Of, tally.Passed, tally.Planned)
	}
}

func first(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return fmt.Sprintf("%s, and %d more", list[0], len(list)-1)
}

// A wrong is what a round found to be so.
type wrong struct {
	Round int    `json:"round"`
	What  string `json:"what"`
}

func (t *Trials) print(w io.Writer) {
	faultTable(t.Faults).print(w, fmt.Sprintf("Bad releases at bad moments (load average %s)", t.FaultsLoads))
	stormTable(t.Storms).print(w, fmt.Sprintf("Storms (seed %d, load average %s)", t.Seed, t.StormsLoads))
	killTable(t.Kills).print(w, fmt.Sprintf("Kills (seed %d, load average %s)", t.Seed, t.KillsLoads))
	if len(t.Tallies) > 0 {
		fmt.Fprintln(w)
	}
	for _, tally := range t.Tallies {
		fmt.Fprintf(w, "%s %d/%d\n", tally.Of, tally.Passed, tally.Planned)
	}
}

func faultTable(rows []FaultRow) *table {
	t := &table{head: []string{"release", "moment", "verdict", "after ms", "requests", "failed: answered by it / held by it / held by nobody / lost",
		"processes left", "next good upgrade ms", "result"}}
	for _, r := range rows {
		t.add(r.Means, r.Moment, shorten(r.Verdict, 90), number(r.After), strconv.Itoa(r.Requests),
			fmt.Sprintf("%d / %d / %d / %d", r.Answered, r.Held, r.Unknown, r.Lost), strconv.Itoa(r.Left), number(r.NextMS), result(len(r.Wrong) == 0))
	}
	return t
}

func result(ok bool) string {
	if ok {
		return "ok"
	}
	return "**FAILS**"
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + " …"
}
