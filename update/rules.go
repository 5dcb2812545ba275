package update

import (
	"fmt"
	"time"
)

// A rule is one row of the table: in one of these phases, on that event, go there and
// do this. set changes the machine, but for its phase, or refuses the event.
type rule struct {
	from    []Phase
	on      string
	to      Phase
	when    string // what set demands, in words
	effects []Effect
	set     func(m *Machine, e Event) ([]Report, error)
	only    func(m *Machine) bool // nil means always
}

func do(deeds ...Deed) (all []Effect) {
	for _, d := range deeds {
		all = append(all, Effect{Do: d})
	}
	return all
}

// rules is the machine. A new version is seen after the Commit that says so. The way
// back to one that was proven waits for no disk: if the power goes before it is
// noted, the process begins with what is permanent all the same.
var rules = []rule{
	{from: []Phase{Idle}, on: "adopt", to: Idle, when: "the slot is empty", effects: do(Commit), set: adopted},
	{from: []Phase{Idle}, on: "trigger", to: Received, when: "its source is not held", effects: do(Write), set: triggered},
	{from: []Phase{Received}, on: "begin", to: Preparing, effects: do(Prepare), set: nothing},
	{from: []Phase{Preparing}, on: "prepared", to: Preparing, when: "its counter is not below the floor, or that is forced", set: prepared},
	{from: []Phase{Preparing}, on: "proceed", to: Syncing, when: "prepared; load and latency under their ceilings, or it is a rollback", effects: do(Write, Sync), set: proceed},
	{from: []Phase{Syncing}, on: "synced", to: Syncing, set: synced},
	{from: []Phase{Syncing}, on: "proceed", to: Swapping, when: "synced; it is a rollback to what was proven", effects: do(Write, Swap), set: proceed, only: goesBack},
	{from: []Phase{Syncing}, on: "proceed", to: Swapping, when: "synced; every worker healthy, or it is a rollback", effects: do(Commit, Swap), set: proceed},
	{from: []Phase{Swapping}, on: "swapped", to: Idle, effects: do(Commit, Tell, Observe), set: swapped},
	{from: []Phase{Received, Preparing, Syncing}, on: "failed", to: Idle, effects: do(Discard, Write, Tell), set: failed},
	{from: []Phase{Swapping}, on: "failed", to: Reverting, effects: do(Commit, Revert), set: failing},
	{from: []Phase{Idle}, on: "proven", to: Idle, when: "it is on trial", effects: do(Commit, Tell), set: proven},
	{from: []Phase{Idle}, on: "misbehaved", to: Reverting, when: "it is on trial", effects: do(Write, Revert), set: misbehaved},
	{from: []Phase{Reverting}, on: "reverted", to: Idle, effects: do(Commit, Discard, Tell), set: reverted},
	{from: []Phase{Idle, Received, Preparing, Syncing, Swapping, Reverting}, on: "restart", to: Idle, effects: do(Discard, Commit, Tell), set: restarted},
}

// goesBack reports whether the change returns to a version that was proven.
func goesBack(m *Machine) bool { return m.Change.Kind == KindRollback && m.Change.Proven }

func nothing(*Machine, Event) ([]Report, error) { return nil, nil }

func adopted(m *Machine, e Event) ([]Report, error) {
	a := e.(Adopt)
	s := m.named(a.Slot)
	if !s.Live.IsZero() || !s.Permanent.IsZero() {
		return nil, &OrderError{Phase: m.at(), Event: "adopt into a slot that has a version"}
	}
	s.Live = a.Version
	s.promote()
	return nil, nil
}

func triggered(m *Machine, e Event) ([]Report, error) {
	c := e.(Trigger).Change
	s := m.named(c.Slot)
	if s.holds(c.Source) && !c.Force && c.Kind != KindRollback {
		return nil, &HeldError{*s.Held}
	}
	c.From, c.Ready = s.Live, false
	m.Change = &c
	return nil, nil
}

func prepared(m *Machine, e Event) ([]Report, error) {
	p, s := e.(Prepared), m.slot()
	if p.To.Counter < s.Floor.Counter && !m.Change.Downgrade {
		return nil, &DowngradeError{To: p.To, Floor: s.Floor}
	}
	m.Change.To, m.Change.Ready, m.Change.Proven = p.To, true, m.Change.Proven || p.Final
	s.Last = max(s.Last, p.To.Number)
	return nil, nil
}

func synced(m *Machine, _ Event) ([]Report, error) {
	m.Change.Ready = true
	return nil, nil
}

// proceed leaves a phase that is done.
func proceed(m *Machine, e Event) ([]Report, error) {
	p := e.(Proceed)
	if !m.Change.Ready {
		return nil, &OrderError{Phase: m.at(), Event: "proceed before the phase is done"}
	}
	if m.Change.Kind != KindRollback { // the way back must be open in an overload
		if guard, why := p.Guards.waiting(m.at(), p.Facts); guard != "" {
			return nil, &WaitingError{Phase: m.at(), Guard: guard, For: why}
		}
	}
	m.Change.Ready = false
	return nil, nil
}

// swapped puts the version on trial, or makes it permanent if that is proven.
func swapped(m *Machine, e Event) ([]Report, error) {
	at, c, s := e.(Swapped).At, m.Change, m.slot()
	var done []Report
	if t := s.Trial; t != nil {
		done = append(done, Report{Change: t.Change, Slot: c.Slot, Version: s.Live, Outcome: Superseded, Who: t.Who, Why: "by " + c.ID, At: at})
	}
	s.Live = c.To
	s.Trial = &Trial{Change: c.ID, Source: c.Source, Who: c.Who, Since: at, Deaths: s.deaths(c.Source)}
	outcome := Live
	if c.Proven || s.Permanent.IsZero() { // the first has nothing to be measured by
		outcome = Permanent
		s.promote()
	}
	s.Held = nil
	if c.Kind == KindRollback && c.Source != "" {
		s.Held = &Held{Source: c.Source, Why: fmt.Sprintf("rolled back to gen %d", c.To.Number)}
	}
	return append(done, Report{Change: c.ID, Slot: c.Slot, Version: c.To, Outcome: outcome, Who: c.Who, At: at}), nil
}

// failed ends a change that nobody has seen.
func failed(m *Machine, e Event) ([]Report, error) {
	f, c := e.(Failed), m.Change
	if f.Blame {
		m.slot().Held = &Held{Source: c.Source, Why: f.Why}
	}
	return []Report{{Change: c.ID, Slot: c.Slot, Version: c.To, Outcome: Refused, Who: c.Who, Why: f.Why, At: f.At}}, nil
}

// failing begins to take back a change that some may have seen. What was live
// before it, proven or not, is what is returned to.
func failing(m *Machine, e Event) ([]Report, error) {
	f, c := e.(Failed), m.Change
	c.Message = f.Why
	if f.Blame {
		m.slot().Held = &Held{Source: c.Source, Why: f.Why}
	}
	return nil, nil
}

func proven(m *Machine, e Event) ([]Report, error) {
	p := e.(Proven)
	s := m.named(p.Slot)
	if s.Trial == nil {
		return nil, ErrNotOnTrial
	}
	t := *s.Trial
	s.promote()
	s.Held = nil
	return []Report{{Change: t.Change, Slot: p.Slot, Version: s.Live, Outcome: Permanent, Who: t.Who, At: p.At}}, nil
}

// misbehaved begins the way back to what was proven.
func misbehaved(m *Machine, e Event) ([]Report, error) {
	b := e.(Misbehaved)
	s := m.named(b.Slot)
	switch {
	case s.Trial == nil:
		return nil, ErrNotOnTrial
	}
	m.Change = &Change{ID: s.Trial.Change, Kind: KindRevert, Slot: b.Slot, Message: b.Why, Began: b.At,
		Source: s.Trial.Source, Who: s.Trial.Who, From: s.Live, To: s.Permanent}
	s.Held = &Held{Source: s.Trial.Source, Why: b.Why}
	s.Live, s.Trial = s.Permanent, nil
	return nil, nil
}

func reverted(m *Machine, e Event) ([]Report, error) {
	return []Report{m.Change.takenBack(e.(Reverted).At)}, nil
}

// takenBack is the end of a change that is taken back; its Message says why.
func (c *Change) takenBack(at time.Time) Report {
	was := c.To
	if c.Kind == KindRevert {
		was = c.From
	}
	return Report{Change: c.ID, Slot: c.Slot, Version: was, Outcome: RolledBack, Who: c.Who, Why: c.Message, At: at}
}

// restarted begins from what is permanent. What was under way or on trial ends here;
// whoever wants it applies it again.
func restarted(m *Machine, e Event) ([]Report, error) {
	r := e.(Restart)
	var done []Report
	switch c := m.Change; m.at() {
	case Idle:
	case Reverting:
		done = append(done, c.takenBack(r.At))
	case Swapping: // it may have been seen
		s := m.slot()
		if t := s.Trial; t != nil {
			done = append(done, Report{Change: t.Change, Slot: c.Slot, Version: s.Live, Outcome: Superseded, Who: t.Who, Why: "by " + c.ID, At: r.At})
		}
		s.Live, s.Trial = c.To, &Trial{Change: c.ID, Source: c.Source, Who: c.Who, Deaths: s.deaths(c.Source)}
		if c.Proven {
			s.Trial.Source = "" // it is not to blame
		}
	default:
		done = append(done, c.interrupted(r.At, m.at()))
	}
	for _, name := range sortedNames(m.Slots) {
		s := m.Slots[name]
		if t := s.Trial; t != nil {
			done = append(done, Report{Change: t.Change, Slot: name, Version: s.Live, Outcome: Interrupted, Who: t.Who, Why: "the process ended while it was on trial", At: r.At})
			s.restart(r)
		}
	}
	return done, nil
}

// interrupted is the end of a change that nobody has seen.
func (c *Change) interrupted(at time.Time, p Phase) Report {
	return Report{Change: c.ID, Slot: c.Slot, Version: c.To, Outcome: Interrupted, Who: c.Who, Why: "the process ended while it was " + string(p), At: at}
}

// restart ends a trial, and counts the death.
func (s *Slot) restart(r Restart) {
	t := s.Trial
	s.Live, s.Trial = s.Permanent, nil
	if r.Clean || t.Source == "" {
		return
	}
	s.Held = &Held{Source: t.Source, Deaths: t.Deaths + 1,
		Why: fmt.Sprintf("%d processes died while it was on trial", t.Deaths+1)}
}
