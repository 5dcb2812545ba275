package supervisor

import (
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Options configure a [Supervisor]. The zero value runs the supervisor's own
// program, with its own arguments, as worker; that program must tell the two roles
// apart.
type Options struct {
	// Path is the program of the first worker: a path, or a name that is looked up in
	// PATH. Empty means the file of this process. What an upgrade starts, the
	// worker that upgrades decides.
	Path string

	// Args are the arguments of every worker without the program's name. Nil means
	// those of this process.
	Args []string

	// Env is added to the environment of this process for the workers. What speaks
	// of this process alone (NOTIFY_SOCKET, LISTEN_FDS and their like) is left out.
	Env []string

	// Heartbeat is how often a worker beats: upgrade.Options.Heartbeat of its
	// program. After three beats that are missing the service is degraded. Zero
	// means 500 ms, as there; the least is 10 ms, the most 5 seconds.
	Heartbeat time.Duration

	// StallTimeout is how long a worker may go without a heartbeat from then on
	// before it is killed and started again. It is counted in heartbeats that this
	// process waited for in vain: time in which it did not run itself does not count.
	// Zero means 30 seconds; a negative value means that it is never killed.
	StallTimeout time.Duration

	// ReadyTimeout is how long a worker that is started again after a crash may take
	// until it serves; then it is killed. Zero means 30 seconds. The first start
	// has no limit.
	ReadyTimeout time.Duration

	// TrialTimeout is how long the trial of a new supervisor may take. Zero means
	// 10 seconds.
	TrialTimeout time.Duration

	// Follow says that the supervisor runs the same program as the workers: when they
	// were upgraded to another one, it replaces itself by that.
	Follow bool

	// PIDFile names a file that holds the process ID of this process from the first
	// time that a worker serves until the end. Empty means none.
	PIDFile string

	// Subreaper says that this process does nothing but supervise: it becomes the
	// parent of orphaned descendants and reaps every child of the process, those of
	// os/exec included. As PID 1 it does so in any case.
	Subreaper bool

	// Log receives a record for each event. Nil discards them.
	Log *slog.Logger

	// OnEvent is called for each event, one at a time and in order. It must return
	// soon and must not call methods of the Supervisor. May be nil.
	OnEvent func(Event)

	pace  pace
	point func(string) error // called at each named point, for tests
}

// pace are the times of restarts. Tests shorten them.
type pace struct {
	first, most time.Duration // pauses before a start
	steady      time.Duration // after which they begin anew
	settle      time.Duration // how long whatever should be a moment may take
}

// missed is how many missing heartbeats make a worker degraded.
const missed = 3

// withDefaults fills in what is zero and checks the rest.
func (o Options) withDefaults() (Options, error) {
	def(&o.Heartbeat, 500*time.Millisecond)
	def(&o.StallTimeout, 30*time.Second)
	def(&o.ReadyTimeout, 30*time.Second)
	def(&o.TrialTimeout, 10*time.Second)
	def(&o.pace.first, 100*time.Millisecond)
	def(&o.pace.most, 30*time.Second)
	def(&o.pace.steady, 10*time.Second)
	def(&o.pace.settle, 5*time.Second)
	o.Heartbeat = min(max(o.Heartbeat, 10*time.Millisecond), 5*time.Second)
	if o.Args == nil {
		o.Args = os.Args[1:]
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.point == nil {
		o.point = func(string) error { return nil }
	}
	for name, d := range map[string]time.Duration{"ReadyTimeout": o.ReadyTimeout, "TrialTimeout": o.TrialTimeout} {
		if d < 0 {
			return o, fmt.Errorf("supervisor: %s is %v, want more than zero: %w", name, d, os.ErrInvalid)
		}
	}
	return o, nil
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
