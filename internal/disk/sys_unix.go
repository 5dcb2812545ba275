//go:build unix

package disk

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// nonblock keeps the opening of a pipe without a writer from waiting.
	nonblock   = syscall.O_NONBLOCK
	canSyncDir = true
)

// tryLock takes the lock of an open file, and reports whether it did: flock(2).
func tryLock(fd uintptr) (bool, error) {
	for {
		switch err := unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); err {
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

func unlock(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_UN) }

// patiently runs do; other systems need to try again.
func patiently(do func() error) error { return do() }

// IsFull reports whether an error says that the disk, or this user's part, is full.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// noLinks reports whether a file system refused to make a second name.
func noLinks(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EXDEV)
}
