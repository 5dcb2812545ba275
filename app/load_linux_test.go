package app

import (
	"runtime"
	"testing"
)

func TestMachineLoad(t *testing.T) {
	t.Parallel()
	if load, err := machineLoad(); err != nil || load < 0 {
		t.Error(load, err)
	}
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,6,8-9": 7, "": runtime.NumCPU(), "x": runtime.NumCPU(), "3-1": runtime.NumCPU(), "0-99999999": runtime.NumCPU()} {
		if n := processors(list); n != want {
			t.Errorf("%q: %d, want %d", list, n, want)
		}
	}
}
