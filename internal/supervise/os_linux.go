package supervise

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// self is this very executable, even if its file was replaced meanwhile.
func self() (string, error) { return "/proc/self/exe", nil }

// attributes makes a child the leader of a process group, and has the kernel
// send it stop when the thread that starts it ends (PR_SET_PDEATHSIG(2const)).
func attributes(stop syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: stop}
}

const deathSignal = true

// becomeSubreaper makes this process the parent of orphaned descendants.
func becomeSubreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

func closeRangeOnExec(first int) error {
	return unix.CloseRange(uint(first), 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
}

// canPin says whether a program can be run by descriptor.
const canPin = true

// monotonic is CLOCK_MONOTONIC, as MONOTONIC_USEC= in sd_notify(3) wants it.
func monotonic() (time.Duration, bool) {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
