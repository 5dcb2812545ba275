package disk

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

const (
	nonblock   = 0
	canSyncDir = false // a folder cannot be flushed here
)

// lockRange is where locks are taken: they are mandatory here, and one byte far
// behind the end keeps the content readable.
func lockRange() *windows.Overlapped {
	return &windows.Overlapped{OffsetHigh: 0x7fffffff, Offset: 0xfffffffe}
}

// tryLock takes the lock of an open file, and reports whether it did.
func tryLock(fd uintptr) (bool, error) {
	err := windows.LockFileEx(windows.Handle(fd), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, lockRange())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

func unlock(fd uintptr) error {
	return windows.UnlockFileEx(windows.Handle(fd), 0, 1, 0, lockRange())
}

// patiently tries again for two seconds while another program has a file open:
// readers and virus scanners do for a moment.
func patiently(do func() error) error {
	end := time.Now().Add(2 * time.Second)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := do()
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || time.Now().After(end) {
			return err
		}
		time.Sleep(wait)
	}
}

// IsFull reports whether an error says that the disk, or this user's part, is full.
func IsFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, syscall.ENOSPC)
}

// noLinks reports whether a file system refused to make a second name.
func noLinks(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_TOO_MANY_LINKS)
}
