//go:build !linux

package app

import (
	"errors"
	"runtime"
)

// machineLoad measures nothing.
func machineLoad() (float64, error) {
	return 0, errors.New("theseus does not know how on " + runtime.GOOS)
}
