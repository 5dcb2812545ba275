package kv

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid is wrapped by errors about a key or value that cannot be.
	ErrInvalid = errors.New("invalid")
	// ErrNotNumber is wrapped by errors of Incr about what is no number.
	ErrNotNumber = errors.New("not a number that can be counted with")
	// ErrLocked is returned while another process has the store, or a step of it;
	// the error is a [*LockedError].
	ErrLocked = errors.New("store is in use")
	// ErrNewer is wrapped when a newer version of theseus wrote the store.
	ErrNewer = errors.New("written by a newer theseus")
	// ErrClosed is returned for a write to a store that is closed.
	ErrClosed = errors.New("store is closed")
	// ErrConflict is wrapped when a batch expects another version than there is.
	ErrConflict = errors.New("the version is not the one expected")
	// ErrNotSaved is wrapped when the disk refused a change, and as long as it
	// refuses all. Nothing was changed in memory.
	ErrNotSaved = errors.New("not saved")

	errSuspect = errors.New("another process could not sync the store")
)

// A LockedError says who has the store. It is an ErrLocked.
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

// A LimitError is returned for a write that would exceed a limit of the store.
// Nothing was changed.
type LimitError struct {
	Limit string // "key", "value", "total" or "keys"
	Key   string
	Size  int64 // what it would be: bytes, or keys
	Max   int64
}

// Error says which limit it is, and what to do.
func (e *LimitError) Error() string {
	switch e.Limit {
	case "keys":
		return fmt.Sprintf("kv is full: key %q would be number %d of at most %d: delete keys or give them a ttl", show(e.Key), e.Size, e.Max)
	case "total":
		return fmt.Sprintf("kv is full: with key %q it would hold %d bytes of at most %d: delete keys or give them a ttl", show(e.Key), e.Size, e.Max)
	case "key":
		return fmt.Sprintf("key %q is too long: %d bytes of at most %d", show(e.Key), e.Size, e.Max)
	}
	return fmt.Sprintf("the value for key %q is too large: %d bytes of at most %d: split it over several keys", show(e.Key), e.Size, e.Max)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func notNumber(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotNumber, fmt.Sprintf(format, args...))
}

// show cuts s for a message.
func show(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
