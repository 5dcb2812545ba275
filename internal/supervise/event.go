package supervise

import (
	"log/slog"
	"time"
)

// Kind is what has happened.
type Kind string

// The kinds of events, in about the order in which they come.
const (
	Started    Kind = "started"     // a child runs its program
	NowReady   Kind = "ready"       // it is ready; Took since its start
	Serving    Kind = "serving"     // it serves; Took since the trigger
	Replacing  Kind = "replacing"   // a replacement begins
	OnTrial    Kind = "probation"   // the new child is ready, the old one is kept
	RolledBack Kind = "rolled back" // the new child was given up; Took since the trigger
	Refused    Kind = "refused"     // a replacement was not begun
	Draining   Kind = "draining"    // an old child was told to stop
	Killed     Kind = "killed"      // a child that did not stop was killed
	Ended      Kind = "ended"       // a child has ended; Took since its start
	Degraded   Kind = "degraded"    // no child serves; a start follows after Took
	Stopping   Kind = "stopping"    // the supervisor stops
	Trouble    Kind = "trouble"     // something failed that does not stop the service
)

// An Event is one change.
type Event struct {
	Time   time.Time
	Kind   Kind
	Child  int           // counts starts from 1; 0 if it is about no child
	PID    int           // of that child; 0 if there is none
	Took   time.Duration // see Kind; 0 where it says nothing
	Detail string        // cause or explanation; may be empty
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case RolledBack, Refused, Degraded, Killed, Trouble:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (e Event) attrs() []any {
	var a []any
	if e.Child != 0 {
		a = append(a, "child", e.Child, "pid", e.PID)
	}
	if e.Took != 0 {
		a = append(a, "took_ms", float64(e.Took.Microseconds())/1000)
	}
	if e.Detail != "" {
		a = append(a, "detail", e.Detail)
	}
	return a
}

// State is what a child or the supervisor does.
type State string

// The states. A supervisor is Starting until a child has served for the first
// time.
const (
	StateStarting  State = "starting"
	StateProbation State = "probation"
	StateServing   State = "serving"
	StateReplacing State = "replacing"
	StateDraining  State = "draining"
	StateDegraded  State = "degraded" // no child serves; connections wait
	StateStopping  State = "stopping"
)

// Status is what a supervisor does at one moment. Its JSON form is the status
// file; fields may be added.
type Status struct {
	PID          int            `json:"pid"` // the supervisor's
	State        State          `json:"state"`
	Command      []string       `json:"command"`
	Sockets      []SocketStatus `json:"sockets"`
	Children     []ChildStatus  `json:"children"`     // oldest first
	Restarts     int            `json:"restarts"`     // children that ended by themselves
	Replacements int            `json:"replacements"` // that took in
	Refused      []string       `json:"refused"`      // fingerprints that were rolled back
	Last         *Verdict       `json:"last"`         // of the last replacement; null if there was none
}

// SocketStatus is a socket that children get.
type SocketStatus struct {
	FD      int    `json:"fd"` // in the children
	Name    string `json:"name"`
	Network string `json:"network"`
	Address string `json:"address"`
}

// ChildStatus is a process that runs.
type ChildStatus struct {
	Child       int       `json:"child"`
	PID         int       `json:"pid"`
	State       State     `json:"state"`
	Started     time.Time `json:"started"`
	Fingerprint string    `json:"fingerprint"`
}

// Verdict is how a replacement ended.
type Verdict struct {
	Time   time.Time `json:"time"`
	OK     bool      `json:"ok"`
	Reason string    `json:"reason,omitempty"`
	PID    int       `json:"pid"` // of the new child; 0 if there was none
	TookMS float64   `json:"took_ms"`
}
