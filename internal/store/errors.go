package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

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

	errNotFolder = errors.New("not a folder")
)

// An Error is a failure of the disk, or something on it that should not be there.
// What the store held before is untouched.
type Error struct {
	Op   string // "open", "lock", "read", "write", "sync", "rename", "remove"
	Path string
	Hint string // what to do about it; may be empty
	Err  error
}

// Error returns "op path: cause".
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

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

// failed makes an Error of err, unless it is one, with a hint where there is one.
func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &Error{Op: op, Path: path, Err: err}
	// The operation and the path are in Error already.
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		e.Err = pe.Err
	} else if le := (*linkError)(nil); errors.As(err, &le) {
		e.Err = le.Err
	}
	switch {
	case isFull(err):
		e.Hint = "free space on the disk; nothing was changed"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Hint = "give this user the right to write there"
	case errors.Is(err, fs.ErrNotExist) && op == "open":
		e.Hint = "check the path; the app's folder must exist"
	}
	return e
}
