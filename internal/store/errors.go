package store

import (
	"errors"
	"fmt"

	"github.com/theseus-run/theseus/internal/disk"
)

// An Error is a failure of the disk, or something on it that should not be there.
// What the store held before is untouched.
type Error = disk.Error

// Errors that callers branch on. They are wrapped with detail.
var (
	// ErrLocked is returned by Open while another process writes to the folder;
	// the error is a [*LockedError].
	ErrLocked = errors.New("store is in use")
	// ErrNewer is returned for what a newer version of theseus wrote.
	ErrNewer = errors.New("written by a newer theseus")
	// ErrNotFound is returned for a generation that is not kept.
	ErrNotFound = errors.New("not kept")
	// ErrReadOnly is returned for a write to a store that was opened for reading.
	ErrReadOnly = errors.New("store was opened for reading")
	// ErrClosed is returned once the store is closed.
	ErrClosed = errors.New("store is closed")
)

// A LockedError says who writes to the store. It is an ErrLocked.
type LockedError struct {
	Dir string
	PID int // 0 when it cannot be told
}

// Error names the process.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Dir + " is in use by another process"
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.PID)
}

// Is makes the error an ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// A CorruptError says that a saved generation cannot be trusted any more.
type CorruptError struct {
	Generation int
	Path       string // the file of the app; empty when it is the record itself
	Object     string // the damaged file of the store
	Reason     string
}

// Error names the generation, the file and what is wrong.
func (e *CorruptError) Error() string {
	what := e.Object
	if e.Path != "" {
		what = e.Path + " (" + e.Object + ")"
	}
	return fmt.Sprintf("generation %d is damaged: %s: %s", e.Generation, what, e.Reason)
}
