//go:build !unix

package main

import (
	"errors"
	"fmt"
	"os/exec"
)

var errNoSignals = fmt.Errorf("the benchmark upgrades by SIGUSR2, which this system does not have: run it on Linux: %w", errors.ErrUnsupported)

func startGroup(*exec.Cmd) (*group, error) { return nil, errNoSignals }
func reapGroup(int)                        {}
func killGroup(int) error                  { return errNoSignals }
func upgradeSignal(int) error              { return errNoSignals }
func running(int) bool                     { return false }
func inGroup(int, int) bool                { return false }
func members(int) []int                    { return nil }
func (g *group) read() Reading             { return Reading{} }
func descriptors(int) int                  { return 0 }

func loadAverage() string { return "" }
