package supervise

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers tell apart. All but [ErrInterrupted] come from
// [Supervisor.Replace].
var (
	// ErrInProgress says that a replacement runs already.
	ErrInProgress = errors.New("a replacement is under way: wait for its verdict")
	// ErrRolledBack says that this very executable was rolled back before.
	ErrRolledBack = errors.New("this executable was rolled back before: put another in its place, or force it")
	// ErrStopping says that the supervisor stops, or does not run.
	ErrStopping = errors.New("the supervisor does not run")
	// ErrInterrupted is returned by [Supervisor.Run] when a second signal ended
	// the drain and the children were killed.
	ErrInterrupted = errors.New("stopped by a second signal before the children had ended")
)

// A StartError says that a program could not be executed.
type StartError struct {
	Path string
	Err  error // often a syscall.Errno
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s: %v", e.Path, e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// A RollbackError is the verdict of a replacement that failed. The old child,
// if there was one, serves as before.
type RollbackError struct {
	PID   int   // of the new child; 0 if it was never started
	Stage State // StateStarting or StateProbation
	Err   error // an *ExitError, *NotReadyError, *StartError, *ProbeError, or why it was given up
}

func (e *RollbackError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("rolled back: %v", e.Err)
	}
	return fmt.Sprintf("rolled back: new process %d in %s: %v", e.PID, e.Stage, e.Err)
}
func (e *RollbackError) Unwrap() error { return e.Err }

// An ExitError says how a process ended.
type ExitError struct {
	Status int // 0 to 255; 128+n if signal n ended it
	Text   string
}

func (e *ExitError) Error() string { return "it ended by itself: " + e.Text }

// A NotReadyError says that a process missed the deadline for its readiness.
type NotReadyError struct {
	After time.Duration
	How   Ready // what was waited for
	Last  error // what the last probe said; nil if there was none
}

func (e *NotReadyError) Error() string {
	text := fmt.Sprintf("not ready after %s: ", e.After)
	switch {
	case e.How.Kind == ReadyNotify:
		return text + "no READY=1 on NOTIFY_SOCKET; for a program that does not notify use a probe"
	case e.Last != nil:
		return text + e.Last.Error()
	}
	return text + "the new process did not accept a connection"
}
func (e *NotReadyError) Unwrap() error { return e.Last }

// A ProbeError says what a probe of a child met.
type ProbeError struct {
	Probe string // such as "http:/healthz"
	Err   error
}

func (e *ProbeError) Error() string { return fmt.Sprintf("probe %s: %v", e.Probe, e.Err) }
func (e *ProbeError) Unwrap() error { return e.Err }
