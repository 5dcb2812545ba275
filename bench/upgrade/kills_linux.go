package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stopped reports whether a process stands still.
func stopped(pid string) bool {
	state, _, ok := stat(pid)
	return ok && state == 'T'
}

// runningFrom lists the processes whose program was started from a path, or from one
// that begins so, whatever is there now.
func runningFrom(path string) []int {
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(exe, path) && running(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// collect reaps the orphans that have ended and are in no group of [startGroup].
func collect() {
	list, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	self := os.Getpid()
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		if state, group, ok := stat(e.Name()); ok && state == 'Z' && group == pid {
			for _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); errors.Is(err, unix.EINTR); {
				_, err = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
	}
}
