package update

import "time"

// A Kind says what a change is.
type Kind string

// The kinds of changes.
const (
	KindApp      Kind = "app"      // files of the app: scripts, workflows, configuration
	KindBinary   Kind = "binary"   // the program itself
	KindRollback Kind = "rollback" // back to a version that was proven, because somebody asked
	KindRevert   Kind = "revert"   // the same, because the one on trial misbehaved; the machine's own
)

// A Version is one content of a slot.
type Version struct {
	Number int    `json:"number"` // from 1, never used twice in a slot; 0 means none
	Digest string `json:"digest,omitempty"`

	// Counter is the rollback counter that the version states; 0 for none. See Floor.
	Counter int64 `json:"counter,omitempty"`
}

// IsZero reports whether there is no version.
func (v Version) IsZero() bool { return v == Version{} }

// A Change is what somebody wants, and what is known of it so far.
type Change struct {
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`
	Slot    string    `json:"slot"`              // what changes
	Trigger string    `json:"trigger"`           // what brought it about: "watch", "api", "signal", …
	Who     string    `json:"who,omitempty"`     // on whose behalf; empty when nobody said
	Message string    `json:"message,omitempty"` // why, in their words
	Began   time.Time `json:"began"`
	Source  string    `json:"source,omitempty"` // digest of what it is made from: the disk, a package

	// From and To are the versions; To is known once the change is prepared.
	From Version `json:"from,omitzero"`
	To   Version `json:"to,omitzero"`

	// Proven says that To has proved itself before, or that nothing is to be waited
	// for: it becomes permanent as it is swapped in. So does the first version of a
	// slot.
	Proven bool `json:"proven,omitempty"`

	// Force lets a source be tried again that was turned away.
	Force bool `json:"force,omitempty"`

	// Downgrade lets in a version whose counter is below the slot's floor: a person
	// has said so.
	Downgrade bool `json:"downgrade,omitempty"`

	// Ready says that the phase has done its work and waits for its guards.
	Ready bool `json:"ready,omitempty"`
}

// An Outcome is how a change, or a trial, ended.
type Outcome string

// The outcomes.
const (
	Live        Outcome = "live"        // it serves, on trial
	Permanent   Outcome = "permanent"   // it has proved itself
	Refused     Outcome = "refused"     // a check failed: nothing was changed
	RolledBack  Outcome = "rolled_back" // it served, misbehaved, and was taken back
	Superseded  Outcome = "superseded"  // it served, and another took its place before it was proven
	Interrupted Outcome = "interrupted" // the process ended: what was proven is live
)

// A Slot is what changes as one: its versions, and who is on trial.
type Slot struct {
	Live      Version `json:"live,omitzero"`      // serves
	Permanent Version `json:"permanent,omitzero"` // has proved itself: what a cold start loads
	Anchor    Version `json:"anchor,omitzero"`    // was permanent before it
	Trial     *Trial  `json:"trial,omitempty"`    // of Live; nil when it is permanent
	Held      *Held   `json:"held,omitempty"`     // what was turned away
	Last      int     `json:"last,omitempty"`     // the highest number that a version had, whatever became of it
	Floor     Floor   `json:"floor,omitzero"`     // it never sinks
}

// A Floor is the highest rollback counter of a version that became permanent. What
// states a lower one is a downgrade, as to a release whose flaws are known, and is
// refused; the way back from a trial is not, for the floor moves with permanence
// alone. It is the stored rollback index of Android Verified Boot.
type Floor struct {
	Counter int64 `json:"counter"`
	Version int   `json:"version"` // the number of the one that proved it
}

// A Trial is that of a version which serves and is not yet proven.
type Trial struct {
	Change string    `json:"change"` // its ID
	Source string    `json:"source,omitempty"`
	Since  time.Time `json:"since"`
	Who    string    `json:"who,omitempty"`    // on whose behalf the change was
	Deaths int       `json:"deaths,omitempty"` // processes that died while the source was on trial, before this one
}

// Held is a source that is not applied again unless by force: it misbehaved, or
// somebody rolled back from it.
type Held struct {
	Source string `json:"source,omitempty"`
	Why    string `json:"why"`
	Deaths int    `json:"deaths,omitempty"` // see Trial; below MaxDeaths it is not held, only counted
}

// MaxDeaths is how many processes may die in succession with the same source on
// trial before it is held.
const MaxDeaths = 2
