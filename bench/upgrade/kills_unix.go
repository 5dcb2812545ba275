//go:build unix

package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func kill(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

func thaw(pid int) { _ = unix.Kill(pid, unix.SIGCONT) }

// freeze stops a process and waits until it stands still. It is false if the process
// has ended.
func freeze(pid int) bool {
	if unix.Kill(pid, unix.SIGSTOP) != nil {
		return false
	}
	for running(pid) {
		if stopped(strconv.Itoa(pid)) {
			return true
		}
		time.Sleep(pollEvery / 10)
	}
	return false
}
