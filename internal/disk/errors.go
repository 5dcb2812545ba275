package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

var (
	// ErrUncertain is wrapped by an error of a step that took place as far as
	// programs see, but may be undone by a loss of power.
	ErrUncertain = errors.New("done, but not known to survive a loss of power")
	// ErrTooLarge is wrapped when a file exceeds the limit that was given.
	ErrTooLarge = errors.New("larger than it may be")

	errNotFile   = errors.New("not a regular file")
	errFolder    = errors.New("a folder, not a file")
	errLink      = errors.New("a symbolic link, not a file")
	errPipe      = errors.New("a pipe, not a file")
	errNotFolder = errors.New("not a folder")
)

// An Error is a failure of the disk, or something on it that should not be there.
type Error struct {
	Op   string // "open", "create", "read", "write", "truncate", "sync", "rename", "remove", "link", "mkdir", "list", "stat" or "lock"
	Path string
	Hint string // what to do about it; may be empty
	Err  error
}

// Error returns "op path: cause".
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Failed makes an [*Error] of err, unless it is one already or nil. It adds a hint
// for a full disk, missing rights and a disk that cannot be written to.
func Failed(op, path string, err error) error {
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
	} else if le := (*os.LinkError)(nil); errors.As(err, &le) {
		e.Err = le.Err
	}
	switch {
	case IsFull(err):
		e.Hint = "free space on the disk"
	case errors.Is(err, syscall.EROFS):
		e.Hint = "the disk is mounted read-only: remount it, or keep the folder elsewhere"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "give this user the right to write there"
	case errors.Is(err, syscall.EIO):
		e.Hint = "the disk is failing: look into the system's log"
	}
	return e
}
