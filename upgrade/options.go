package upgrade

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"
)

// Options configure an [Upgrader]. The zero value is ready to use.
type Options struct {
	// Path is the program that an upgrade starts. Empty means the file that this
	// process was started from, looked up anew each time, so that a symbolic link
	// may be switched and a file replaced.
	Path string

	// Args are the successor's arguments without its name. Nil means those of this
	// process.
	Args []string

	// Env is added to the environment of this process for the successor.
	Env []string

	// CheckArgs, when not empty, are arguments with which the new program is run
	// to its end before it is started as successor, for instance the real ones and
	// --upgrade-check. Any exit status but 0 refuses it.
	CheckArgs []string

	// CheckTimeout limits that run. Zero means 30 seconds.
	CheckTimeout time.Duration

	// Counter is the rollback counter that this program says it has, as a successor
	// and as the service; zero for none. It is for Accept to judge.
	Counter int64

	// Accept is asked whether the program of an upgrade may take over, once it has
	// said who it is and before it is given anything but sockets and states. Force is
	// that of the request. An error ends the upgrade. Nil accepts all.
	Accept func(ctx context.Context, r Release, force bool) error

	// Permit is asked for each upgrade once the program has passed its checks, and
	// before anything is given to it; an error refuses it at the step "check", and is
	// not held against the program. It may take its time, and ends when its context
	// does. Nil permits all.
	Permit func(ctx context.Context, r Release) error

	// PIDFile names a file that holds the decimal process ID of the process that
	// serves. A successor writes it when it has proved itself; one that could not is
	// refused before it serves. Empty means none. Below a supervisor, which is the
	// process to find, it has no effect.
	PIDFile string

	// Rendezvous is the path of a Unix socket at which a process that nobody's
	// upgrade has started finds the service, and becomes its successor as if it had
	// been started by it. If nobody listens there it is the first process. See the
	// package's documentation; Linux only. Empty means none. It has no effect below
	// a supervisor. A program that runs with CheckArgs must end before it calls New.
	Rendezvous string

	// Force makes the service that is found at the rendezvous take this program
	// though it was rolled back before.
	Force bool

	// SnapshotInterval is how often the service gives a copy of its states to its
	// supervisor, which starts the next process from it should this one crash. Zero
	// means 10 seconds; a negative value only when the set of sockets changes.
	SnapshotInterval time.Duration

	// ReadyTimeout limits the time from the start of a successor until it serves.
	// Zero means 30 seconds.
	ReadyTimeout time.Duration

	// Probation is how long the old process stands by, with its sockets and
	// memory, while the new one serves. Zero means 2 seconds; a negative value
	// means none.
	Probation time.Duration

	// Heartbeat is how often a process on probation tells that it is well; after
	// three that are missing it is taken for dead. Zero means 500 ms; the least
	// is 10 ms, the most 5 seconds. It is the new process's that counts. On a machine
	// that gave it no processor time for half of that, the upgrade is undone all the
	// same, and the program is not remembered as a bad one.
	Heartbeat time.Duration

	// Health is asked at each heartbeat of the probation. Three errors in
	// succession end it. Below a supervisor it is asked as long as the process
	// serves, and calls may overlap. Nil means healthy.
	Health func(context.Context) error

	// MaxErrorRate is the share of answers with a status of 500 or above at which
	// a probation ends, from 0 to 1, once 20 requests were answered. When it is over
	// and three or more were answered, all with errors, or three that came in its
	// first half and all since wait for the beginning of an answer, it has failed
	// too. Zero means 0.5; a negative value means that answers are not looked at.
	MaxErrorRate float64

	// Excused is asked about each request on probation that is answered with a status
	// of 500 or above: true says that the answer does not speak against this program,
	// but against something else that it runs. It counts as a good one then. Calls
	// may overlap. Nil excuses none.
	Excused func(*http.Request) bool

	// KeepSockets refuses a successor that does not accept from every socket that
	// this process accepts from. Otherwise those that it leaves out are closed when
	// this process has drained, and a warning says so.
	KeepSockets bool

	// MaxMemory is the resident memory, in bytes, at which a probation ends. Zero
	// means 512 MiB more than four times what this process has; a negative value
	// means without limit. It is measured on Linux only.
	MaxMemory int64

	// IdleGrace is how long a connection that cannot move may stay idle while the
	// process drains before it is closed; it starts anew with each answer. An HTTP/2
	// client without an answer is told to go then. Zero means 10 seconds. When no
	// successor has taken over it is one second at most.
	IdleGrace time.Duration

	// DrainTimeout is how long requests and connections may go on once the process
	// drains; then their contexts are canceled, and a second later they are cut.
	// Zero means 30 seconds.
	DrainTimeout time.Duration

	// MaxDraining is how many old processes may drain at a time; a further upgrade
	// ends the drain of the oldest. Zero means 8.
	MaxDraining int

	// StateLimit is the size in bytes that all states handed over may have
	// together. Zero means 64 MiB.
	StateLimit int64

	// Log gets a record for each step. Nil discards them.
	Log *slog.Logger

	// OnEvent is called for each step, one at a time, and must not block.
	OnEvent func(Event)

	// point is called at each named point of the handshake, for tests.
	point func(string)

	// These are for tests; zero means releaseTimeout, knockTimeout and lastWords.
	singletonLimit, knockLimit, lastWords time.Duration

	// queued is queuedTime, for tests.
	queued func(pid int) time.Duration
}

// cancelGrace is what handlers get to return once their contexts are canceled.
const cancelGrace = time.Second

// stopGrace bounds Options.IdleGrace when no successor has taken over.
const stopGrace = time.Second

// heartbeat returns the interval that d stands for.
func heartbeat(d time.Duration) time.Duration {
	return min(max(cmp.Or(d, 500*time.Millisecond), 10*time.Millisecond), 5*time.Second)
}

func (o Options) withDefaults() Options {
	o.CheckTimeout = cmp.Or(o.CheckTimeout, 30*time.Second)
	o.ReadyTimeout = cmp.Or(o.ReadyTimeout, 30*time.Second)
	o.Probation = max(cmp.Or(o.Probation, 2*time.Second), 0)
	o.Heartbeat = heartbeat(o.Heartbeat)
	o.SnapshotInterval = cmp.Or(o.SnapshotInterval, 10*time.Second)
	o.MaxErrorRate = cmp.Or(o.MaxErrorRate, 0.5)
	o.IdleGrace = cmp.Or(o.IdleGrace, 10*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 30*time.Second)
	o.MaxDraining = cmp.Or(o.MaxDraining, 8)
	o.StateLimit = cmp.Or(o.StateLimit, 64<<20)
	o.singletonLimit = cmp.Or(o.singletonLimit, releaseTimeout)
	o.knockLimit = cmp.Or(o.knockLimit, knockTimeout)
	o.lastWords = cmp.Or(o.lastWords, lastWords)
	if o.queued == nil {
		o.queued = queuedTime
	}
	if o.Args == nil {
		o.Args = os.Args[1:]
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.point == nil {
		o.point = func(string) {}
	}
	return o
}
