package store

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

const (
	nonblock   = 0
	canSyncDir = false // a folder cannot be flushed here
)

// lockFile takes the lock on f, and reports whether it did. Locks are mandatory
// here: one byte far behind the end keeps the content readable.
func lockFile(f *os.File) (bool, error) {
	at := &windows.Overlapped{OffsetHigh: 0x7fffffff, Offset: 0xfffffffe}
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
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

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
