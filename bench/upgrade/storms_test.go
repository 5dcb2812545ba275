//go:build linux

package main

import "testing"

// Some storms, of those that need no theseus.
func TestSomeStorms(t *testing.T) {
	t.Parallel()
	b, _ := newBench(t)
	c := trialConfig{}
	seed := c.seeded()
	rows, err := b.storms(t.Context(), seed, []int{0, 20, 32})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 {
		t.Errorf("%d storms, want 3", len(rows))
	}
	for _, row := range rows {
		if row.Rounds != 1 || row.Lost > 0 || len(row.Wrong) > 0 {
			t.Errorf("seed %d: %+v", seed, row)
		}
	}
	ended(t, b)
}

func TestStormPlan(t *testing.T) {
	counts := map[string]int{}
	for n := range stormRounds {
		counts[stormOf(n)]++
	}
	for _, p := range stormPlan {
		if counts[p.kind] != p.rounds {
			t.Errorf("%s: %d rounds, want %d", p.kind, counts[p.kind], p.rounds)
		}
	}
}
