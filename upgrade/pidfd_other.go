//go:build !linux

package upgrade

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// hold takes hold of process pid, which must be the one that started this one.
func hold(pid int) (*peer, error) {
	if os.Getppid() == pid {
		return heldParent(pid), nil
	}
	return nil, fmt.Errorf("process %d did not start this one, and cannot be watched on %s: %w", pid, runtime.GOOS, errors.ErrUnsupported)
}

// holdFile is for descriptors of processes, which only Linux has.
func holdFile(pid int, pidfd *os.File, _ func() string) (*peer, error) {
	pidfd.Close()
	return nil, fmt.Errorf("hold process %d by a descriptor on %s: %w", pid, runtime.GOOS, errors.ErrUnsupported)
}
