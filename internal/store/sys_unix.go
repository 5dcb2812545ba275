//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// nonblock keeps the opening of a pipe without a writer from waiting.
	nonblock   = syscall.O_NONBLOCK
	canSyncDir = true
)

// lockFile takes the lock on f, and reports whether it did. It ends with f, or
// with the process.
func lockFile(f *os.File) (bool, error) {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return true, nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return false, nil
		default:
			return false, err
		}
	}
}

// patiently runs do; other systems need to try again.
func patiently(do func() error) error { return do() }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
