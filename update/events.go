package update

import "time"

// An Event is something that has happened. The types are those of this file.
type Event interface{ name() string }

// Trigger asks for a change.
type Trigger struct{ Change Change }

// Begin says that it is its turn.
type Begin struct{}

// Prepared says that the version is built and checked. Final says that there is no way
// back from it, so that it is proven once it is live.
type Prepared struct {
	To    Version
	Final bool
}

// Synced says that the version would survive a crash, and only waits to be seen.
type Synced struct{}

// Proceed moves a change whose phase is done to the next, if the guards let it;
// else Step returns a [*WaitingError].
type Proceed struct {
	Guards Guards
	Facts  Facts
}

// Swapped says that what begins from now on sees the version.
type Swapped struct{ At time.Time }

// Failed says that the change cannot go on. Blame holds its source back: it is
// not to be tried again by itself.
type Failed struct {
	Why   string
	Blame bool
	At    time.Time
}

// Reverted says that what was permanent is visible again.
type Reverted struct{ At time.Time }

// Proven says that the version on trial in a slot is good.
type Proven struct {
	Slot string
	At   time.Time
}

// Misbehaved says that it is not.
type Misbehaved struct {
	Slot string
	Why  string
	At   time.Time
}

// Restart says that the process has begun anew. Clean means that the one before
// ended by itself, so that whatever was on trial is not to blame.
type Restart struct {
	Clean bool
	At    time.Time
}

// Adopt makes what serves already the first, proven version of an empty slot.
type Adopt struct {
	Slot    string
	Version Version
}

func (Adopt) name() string      { return "adopt" }
func (Trigger) name() string    { return "trigger" }
func (Begin) name() string      { return "begin" }
func (Prepared) name() string   { return "prepared" }
func (Synced) name() string     { return "synced" }
func (Proceed) name() string    { return "proceed" }
func (Swapped) name() string    { return "swapped" }
func (Failed) name() string     { return "failed" }
func (Reverted) name() string   { return "reverted" }
func (Proven) name() string     { return "proven" }
func (Misbehaved) name() string { return "misbehaved" }
func (Restart) name() string    { return "restart" }

// A Deed is a kind of effect.
type Deed string

// What the one who drives the machine has to do.
const (
	Write   Deed = "write"   // append the machine to the journal
	Commit  Deed = "commit"  // append it, and wait until it would survive a loss of power
	Prepare Deed = "prepare" // build and check; answer Prepared or Failed
	Sync    Deed = "sync"    // make it durable; answer Synced or Failed
	Swap    Deed = "swap"    // make it visible; answer Swapped or Failed
	Discard Deed = "discard" // drop what was prepared
	Revert  Deed = "revert"  // make what is permanent visible; answer Reverted
	Observe Deed = "observe" // watch what is on trial; answer Proven or Misbehaved in time
	Tell    Deed = "tell"    // the report belongs into the history
)

// An Effect is one thing to do. What it is about stands in the machine.
type Effect struct {
	Do     Deed
	Report Report // of Tell
}
