//go:build !linux

package upgrade

import "time"

// closeOnExec does nothing: what Go opens is close-on-exec already.
func closeOnExec() {}

// residentMemory is not known here.
func residentMemory(int) int64 { return 0 }

// queuedTime is not known here.
func queuedTime(int) time.Duration { return 0 }
