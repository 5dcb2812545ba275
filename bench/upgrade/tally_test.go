package main

import (
	"reflect"
	"testing"
)

func TestTallies(t *testing.T) {
	got := []Tally{
		faultTally([]FaultRow{{Kind: "a", Moment: whenQuiet}, {Kind: "a", Moment: whenQuiet, Wrong: []string{"x"}}, {Kind: "a", Moment: whenQuiet},
			{Kind: "a", Moment: whenBusy}, {Kind: "b", Moment: whenQuiet}}),
		stormTally([]StormRow{{Rounds: 3, Wrong: []wrong{{1, "x"}, {1, "y"}}}}, []int{0, 1, 2, 3}),
	}
	got = append(got, killTallies([]KillRow{{Victim: victimOld, Rounds: 2, Late: 1}, {Victim: victimStopped, Rounds: 1}}, []int{0, 1, 800})...)
	want := []Tally{{"faults", 2, 3}, {"storms", 2, 4}, {"kills", 1, 2}, {"stops", 1, 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
