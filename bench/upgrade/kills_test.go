//go:build linux

package main

import (
	"testing"
	"time"
)

// Some rounds with each victim.
func TestSomeKills(t *testing.T) {
	t.Parallel()
	b, _ := newBench(t)
	var rounds []int
	from := 0
	for _, p := range killPlan {
		rounds = append(rounds, from, from+1)
		from += p.rounds
	}
	c := trialConfig{}
	seed := c.seeded()
	rows, err := b.kills(t.Context(), seed, rounds)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(killPlan) {
		t.Errorf("%d victims, want %d", len(rows), len(killPlan))
	}
	for _, row := range rows {
		if row.Rounds != 2 || row.Requests == 0 || row.Lost > 0 || len(row.Wrong) > 0 {
			t.Errorf("seed %d: %+v", seed, row)
		}
	}
	ended(t, b)
}

// What is random comes from the seed and the round, and nothing else.
func TestSameRoundAgain(t *testing.T) {
	a, b, c := newKillRound(1, 7), newKillRound(1, 7), newKillRound(2, 7)
	same := true
	for range 20 {
		x, y, z := a.moment(), b.moment(), c.moment()
		if x != y {
			t.Errorf("%v and %v with one seed", x, y)
		}
		same = same && x == z
	}
	if same {
		t.Error("the seed makes no difference")
	}
	if got := (&trialConfig{round: 12}).rounds(100); len(got) != 1 || got[0] != 12 {
		t.Errorf("one round: %v", got)
	}
	counts := map[string]int{}
	for n := range killRounds() {
		counts[victimOf(n)]++
	}
	for _, p := range killPlan {
		if counts[p.victim] != p.rounds {
			t.Errorf("%s: %d rounds, want %d", p.victim, counts[p.victim], p.rounds)
		}
	}
}

// A request is lost unless the victim had its connection, or nobody could serve.
func TestBlame(t *testing.T) {
	now := time.Now()
	m := func(port, began, ended int) miss {
		return miss{port: port, began: now.Add(time.Duration(began) * time.Second), ended: now.Add(time.Duration(ended) * time.Second)}
	}
	l := &lane{s: &subject{Service: &Service{dir: t.TempDir()}, ledger: t.TempDir() + "/none"}}
	for _, c := range []struct {
		name               string
		down               bool
		miss               miss
		held, outage, lost int
	}{
		{"the victim had it", false, m(7, -1, 0), 1, 0, 0},
		{"another had it", false, m(8, -1, 1), 0, 0, 1},
		{"nobody served", true, m(0, 1, 2), 0, 1, 0},
		{"before the kill", true, m(8, -2, -1), 0, 0, 1},
		{"after the restart", true, m(8, 6, 7), 0, 0, 1},
	} {
		r := newKillRound(1, 0)
		r.at, r.upfrom, r.down, r.ports[7] = now, now.Add(5*time.Second), c.down, true
		l.blame(r, []miss{c.miss})
		if r.held != c.held || r.outage != c.outage || r.lost != c.lost || len(r.wrong) != c.lost {
			t.Errorf("%s: %d held, %d outage, %d lost, %q", c.name, r.held, r.outage, r.lost, r.wrong)
		}
	}
}
