//go:build !linux

package upgrade

// closeOnExec does nothing: what Go opens is close-on-exec already.
func closeOnExec() {}

// residentMemory is not known here.
func residentMemory(int) int64 { return 0 }

// killMarked finds no processes: their environment is not known here.
func killMarked(string) int { return 0 }
