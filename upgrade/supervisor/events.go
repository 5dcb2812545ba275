package supervisor

import (
	"log/slog"
	"time"
)

// Kind is what has happened.
type Kind string

// The kinds of events.
const (
	Started   Kind = "started"   // a worker runs its program
	Serving   Kind = "serving"   // a worker has become the service; Took since its start
	Kept      Kind = "kept"      // its first snapshot has come: from here on a crash loses no socket; Took since its start
	Draining  Kind = "draining"  // a worker has handed the service on
	Ended     Kind = "ended"     // a worker has ended; Took since its start
	Waiting   Kind = "waiting"   // no worker serves and connections wait; the next start follows after Took
	FellBack  Kind = "fell back" // the program failed again and again: the one before it is started
	Degraded  Kind = "degraded"  // the worker that serves misses heartbeats, or says that it is not well
	Recovered Kind = "recovered" // it is well again; Took since it was degraded
	Killed    Kind = "killed"    // a worker was killed; Detail says why
	Upgrading Kind = "upgrading" // a worker has asked for a successor
	Proved    Kind = "proved"    // a new supervisor has passed its trial; Took for that
	Replaced  Kind = "replaced"  // this supervisor has taken over from another program; Took since that stopped
	Refused   Kind = "refused"   // a new supervisor was refused; the old one goes on
	Stopping  Kind = "stopping"  // the workers were told to stop
	Trouble   Kind = "trouble"   // something failed that does not stop the service
)

// An Event is one change.
type Event struct {
	Time   time.Time
	Kind   Kind
	Worker int           // counts starts from 1; 0 if it is about no worker
	PID    int           // of that worker; 0 if there is none
	Took   time.Duration // see Kind; 0 where it says nothing
	Detail string        // cause or explanation; may be empty
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case Waiting, FellBack, Degraded, Killed, Refused, Trouble:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (e Event) attrs() []any {
	var a []any
	if e.Worker != 0 {
		a = append(a, "worker", e.Worker, "worker_pid", e.PID)
	}
	if e.Took != 0 {
		a = append(a, "took_ms", float64(e.Took.Microseconds())/1000)
	}
	if e.Detail != "" {
		a = append(a, "detail", e.Detail)
	}
	return a
}

// State is what the supervisor, or a worker, does.
type State string

// The states of a supervisor and, the first three, of a worker.
const (
	StateStarting  State = "starting"  // has not served yet
	StateServing   State = "serving"   // is the service
	StateDraining  State = "draining"  // finishes what it has
	StateUpgrading State = "upgrading" // serves, and a successor starts
	StateDegraded  State = "degraded"  // the worker is not well; what arrives may wait
	StateWaiting   State = "waiting"   // no worker serves; what arrives waits
	StateStopping  State = "stopping"  // the workers were told to stop
)

// Status is what a supervisor does at one moment.
type Status struct {
	PID          int            `json:"pid"` // the supervisor's
	State        State          `json:"state"`
	Workers      []WorkerStatus `json:"workers"`      // oldest first
	Sockets      []string       `json:"sockets"`      // names of those in the snapshot
	Restarts     int            `json:"restarts"`     // workers that served and ended by themselves
	Upgrades     int            `json:"upgrades"`     // that took in
	Replacements int            `json:"replacements"` // of the supervisor by another program
	Snapshot     time.Time      `json:"snapshot"`     // when the last one came; zero if there is none
}

// WorkerStatus is a worker that runs.
type WorkerStatus struct {
	Worker     int       `json:"worker"`
	PID        int       `json:"pid"`
	State      State     `json:"state"`
	Generation int       `json:"generation"`
	Path       string    `json:"path"`
	Started    time.Time `json:"started"`
}
