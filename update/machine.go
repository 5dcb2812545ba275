package update

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Phase is where a change stands.
type Phase string

// The phases.
const (
	Idle      Phase = "idle"      // no change is under way
	Received  Phase = "received"  // it waits for its turn
	Preparing Phase = "preparing" // checks and tests; all in memory
	Syncing   Phase = "syncing"   // written, migrated, warmed; not yet visible
	Swapping  Phase = "swapping"  // it becomes visible now
	Reverting Phase = "reverting" // what was permanent becomes visible again
)

// A Machine is the transaction of one service: its slots, and the change under
// way. It is a value: Clone copies it, and JSON keeps it. The zero Machine is idle
// and without slots. It is not safe for concurrent use.
type Machine struct {
	Phase  Phase            `json:"phase,omitempty"` // empty means Idle
	Change *Change          `json:"change,omitempty"`
	Slots  map[string]*Slot `json:"slots,omitempty"`
}

// Errors of Step. The machine is unchanged after any.
var (
	// ErrBusy refuses a trigger while a change is under way.
	ErrBusy = errors.New("another change is under way")
	// ErrNotOnTrial answers a verdict on a version that is not on trial any more.
	ErrNotOnTrial = errors.New("that version is not on trial")
)

// A HeldError refuses a source that was turned away before.
type HeldError struct{ Held Held }

// Error says why it was.
func (e *HeldError) Error() string {
	return "not applied again: " + e.Held.Why + "; change it, or force the update"
}

// A DowngradeError refuses a version whose rollback counter is below the floor.
type DowngradeError struct {
	To    Version
	Floor Floor
}

// Error names both counters, and the version that proved the higher one.
func (e *DowngradeError) Error() string {
	return fmt.Sprintf("counter %d is below %d, which version %d has proved: it would be a downgrade, unless it is forced", e.To.Counter, e.Floor.Counter, e.Floor.Version)
}

// An OrderError is an event that cannot happen where the machine stands: a mistake
// of the one who drives it.
type OrderError struct {
	Phase Phase
	Event string
}

// Error names both.
func (e *OrderError) Error() string {
	return fmt.Sprintf("%s cannot happen while %s", e.Event, e.Phase)
}

// at returns the phase, never empty.
func (m *Machine) at() Phase {
	if m.Phase == "" {
		return Idle
	}
	return m.Phase
}

// Slot returns the slot of that name as it stands; the zero Slot if nothing was
// ever live there.
func (m *Machine) Slot(name string) Slot {
	if s := m.Slots[name]; s != nil {
		return *s
	}
	return Slot{}
}

// Clone returns a copy that shares nothing with m.
func (m *Machine) Clone() *Machine {
	c := &Machine{Phase: m.Phase, Change: clone(m.Change), Slots: maps.Clone(m.Slots)}
	for name, s := range c.Slots {
		n := *s
		n.Trial, n.Held = clone(s.Trial), clone(s.Held)
		c.Slots[name] = &n
	}
	return c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// Step takes what has happened and returns what is to be done, in that order.
// After an error nothing has changed.
func (m *Machine) Step(e Event) ([]Effect, error) {
	for _, r := range rules {
		if r.on != e.name() || !slices.Contains(r.from, m.at()) || r.only != nil && !r.only(m) {
			continue
		}
		next := m.Clone()
		done, err := r.set(next, e)
		if err != nil {
			return nil, err
		}
		next.Phase = r.to
		if r.to == Idle {
			next.Change = nil
		}
		*m = *next
		return r.effectsOf(done), nil
	}
	if _, ok := e.(Trigger); ok {
		return nil, fmt.Errorf("%w: %s", ErrBusy, m.at())
	}
	return nil, &OrderError{Phase: m.at(), Event: e.name()}
}

// effectsOf completes the effects of the rule. What concerns nothing is left out.
func (r rule) effectsOf(done []Report) []Effect {
	var all []Effect
	for _, e := range r.effects {
		if e.Do != Tell {
			all = append(all, e)
			continue
		}
		for _, d := range done {
			all = append(all, Effect{Do: Tell, Report: d})
		}
	}
	return all
}

// State is where the service stands, as people read it: a phase, or "active" while
// something is on trial and no change is under way.
func (m *Machine) State() string {
	if m.at() == Idle {
		for _, s := range m.Slots {
			if s.Trial != nil {
				return "active"
			}
		}
	}
	return string(m.at())
}

// slot returns the slot of the change.
func (m *Machine) slot() *Slot { return m.named(m.Change.Slot) }

func (m *Machine) named(name string) *Slot {
	if m.Slots == nil {
		m.Slots = map[string]*Slot{}
	}
	if m.Slots[name] == nil {
		m.Slots[name] = &Slot{}
	}
	return m.Slots[name]
}

// promote makes what is live permanent.
func (s *Slot) promote() {
	if s.Permanent != s.Live {
		s.Anchor = s.Permanent
	}
	s.Permanent, s.Trial = s.Live, nil
	if s.Live.Counter > s.Floor.Counter {
		s.Floor = Floor{Counter: s.Live.Counter, Version: s.Live.Number}
	}
}

// deaths returns how many processes have died with that source on trial.
func (s *Slot) deaths(source string) int {
	if s.Held != nil && s.Held.Source == source {
		return s.Held.Deaths
	}
	return 0
}

// holds reports whether the source was turned away.
func (s *Slot) holds(source string) bool {
	return s.Held != nil && source != "" && s.Held.Source == source && (s.Held.Deaths == 0 || s.Held.Deaths >= MaxDeaths)
}

// HeldBack returns the source that is not applied by itself; nil for none.
func (s Slot) HeldBack() *Held {
	if s.Held != nil && s.holds(s.Held.Source) {
		return clone(s.Held)
	}
	return nil
}

// A Report tells how a change or a trial ended. Of one change there may be two: that
// it is live, and what became of it.
type Report struct {
	Change  string    `json:"change"` // its ID
	Slot    string    `json:"slot"`
	Version Version   `json:"version,omitzero"` // the one that the report is about
	Outcome Outcome   `json:"outcome"`
	Who     string    `json:"who,omitempty"` // on whose behalf the change was
	Why     string    `json:"why,omitempty"`
	At      time.Time `json:"at"`
}
