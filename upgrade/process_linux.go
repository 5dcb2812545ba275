package upgrade

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// closeOnExec marks all descriptors but the standard ones, so that the successor
// gets only those that it is given: this process may itself have been started with
// others.
func closeOnExec() { _ = unix.CloseRange(3, 1<<31, unix.CLOSE_RANGE_CLOEXEC) }

// residentMemory returns the resident set of a process in bytes; 0 if it cannot
// be read. Pid 0 is this process. See proc_pid_statm(5).
func residentMemory(pid int) int64 {
	name := "/proc/self/statm"
	if pid != 0 {
		name = fmt.Sprintf("/proc/%d/statm", pid)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// queuedTime returns how long the threads of a process, taken together, have been
// ready to run and got no processor; 0 if the kernel does not tell. See
// Documentation/scheduler/sched-stats.rst of Linux.
func queuedTime(pid int) (sum time.Duration) {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		if fields := bytes.Fields(text); len(fields) > 1 {
			ns, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
