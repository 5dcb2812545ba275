package main

import "slices"

// A Tally says how many cases, or rounds, of those that were planned went well. What
// was not carried out did not.
type Tally struct {
	Of      string `json:"of"`
	Passed  int    `json:"passed"`
	Planned int    `json:"planned"`
}

// faultTally counts kinds of bad releases at moments: one has passed when all of its
// forms have.
func faultTally(rows []FaultRow) Tally {
	good := map[[2]string]bool{}
	for _, r := range rows {
		key := [2]string{r.Kind, r.Moment}
		before, seen := good[key]
		good[key] = len(r.Wrong) == 0 && (before || !seen)
	}
	t := Tally{Of: "faults", Planned: len(good)}
	for _, ok := range good {
		if ok {
			t.Passed++
		}
	}
	return t
}

func stormTally(rows []StormRow, rounds []int) Tally {
	t := Tally{Of: "storms", Planned: len(rounds)}
	for _, r := range rows {
		t.Passed += r.Rounds - failedRounds(r.Wrong)
	}
	return t
}

// killTallies counts the rounds with kills, and those in which a process was only stopped.
func killTallies(rows []KillRow, rounds []int) []Tally {
	kills, stops := Tally{Of: "kills"}, Tally{Of: "stops"}
	of := func(victim string) *Tally {
		if victim == victimStopped {
			return &stops
		}
		return &kills
	}
	for _, n := range rounds {
		of(victimOf(n)).Planned++
	}
	for _, r := range rows {
		of(r.Victim).Passed += r.Rounds - r.Late - failedRounds(r.Wrong)
	}
	return slices.DeleteFunc([]Tally{kills, stops}, func(t Tally) bool { return t.Planned == 0 })
}

func failedRounds(list []wrong) int {
	rounds := map[int]bool{}
	for _, w := range list {
		rounds[w.Round] = true
	}
	return len(rounds)
}
