package supervisor

import "errors"

// Errors that callers tell apart.
var (
	// ErrTrial is returned by [New] in a process that a supervisor has started to try
	// the program as its successor. The verdict has been given: end the process at
	// once, with whatever status.
	ErrTrial = errors.New("this process was a trial of a new supervisor, and is over")

	// ErrInProgress is returned by [Supervisor.Replace] while another replacement runs,
	// and by [Supervisor.Upgrade] while another upgrade does.
	ErrInProgress = errors.New("one is under way already: wait for its verdict")

	// ErrStopping is returned when the supervisor was told to stop, or does not run.
	ErrStopping = errors.New("the supervisor stops, or does not run")

	// ErrNotServing is returned by [Supervisor.Upgrade] when no worker serves.
	ErrNotServing = errors.New("no worker serves: ask again when one does")
)

// A RefusedError says why a new supervisor, or an upgrade of the worker, was
// refused. What ran before goes on unchanged.
type RefusedError struct {
	Path string // of the program; empty for that of the worker
	Err  error
}

func (e *RefusedError) Error() string {
	if e.Path == "" {
		return "refused: " + e.Err.Error()
	}
	return "refused " + e.Path + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }
