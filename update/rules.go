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
}

func do(deeds ...Deed) (all []Effect) {
	for _, d := range deeds {
		all = append(all, Effect{Do: d})
	}
	return all
}

// rules is the machine. Each effect that others can see comes after the Commit that
// says so.
var rules = []rule{
	{[]Phase{Idle}, "trigger", Received, "its source is not held", do(Write), triggered},
	{[]Phase{Received}, "begin", Preparing, "", do(Prepare), nothing},
	{[]Phase{Preparing}, "prepared", Preparing, "", nil, prepared},
	{[]Phase{Preparing}, "proceed", Syncing, "prepared; load and latency under their ceilings", do(Write, Sync), proceed},
	{[]Phase{Syncing}, "synced", Syncing, "", nil, synced},
	{[]Phase{Syncing}, "proceed", Swapping, "synced; every worker healthy", do(Commit, Swap), proceed},
	{[]Phase{Swapping}, "swapped", Idle, "", do(Commit, Tell, Observe), swapped},
	{[]Phase{Received, Preparing, Syncing}, "failed", Idle, "", do(Discard, Write, Tell), failed},
	{[]Phase{Swapping}, "failed", Reverting, "", do(Commit, Revert), failing},
	{[]Phase{Idle}, "proven", Idle, "it is on trial", do(Commit, Tell), proven},
	{[]Phase{Idle}, "misbehaved", Reverting, "it is on trial, and one was proven before", do(Commit, Revert), misbehaved},
	{[]Phase{Reverting}, "reverted", Idle, "", do(Commit, Discard, Tell), reverted},
	{[]Phase{Idle, Received, Preparing, Syncing, Swapping, Reverting}, "restart", Idle, "", do(Discard, Commit, Tell), restarted},
}

func nothing(*Machine, Event) ([]Report, error) { return nil, nil }

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
	m.Change.To, m.Change.Ready = e.(Prepared).To, true
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
	if why := p.Guards.waiting(m.at(), p.Facts); why != "" {
		return nil, &WaitingError{Phase: m.at(), For: why}
	}
	m.Change.Ready = false
	return nil, nil
}

// swapped puts the version on trial, or makes it permanent if that is proven.
func swapped(m *Machine, e Event) ([]Report, error) {
	at, c, s := e.(Swapped).At, m.Change, m.slot()
	var done []Report
	if t := s.Trial; t != nil {
		done = append(done, Report{Change: t.Change, Slot: c.Slot, Version: s.Live, Outcome: Superseded, Why: "by " + c.ID, At: at})
	}
	s.Live = c.To
	s.Trial = &Trial{Change: c.ID, Source: c.Source, Since: at, Deaths: s.deaths(c.Source)}
	outcome := Live
	if c.Proven {
		outcome = Permanent
		s.promote()
	}
	s.Held = nil
	if c.Kind == KindRollback && c.Source != "" {
		s.Held = &Held{Source: c.Source, Why: fmt.Sprintf("rolled back to %d", c.To.Number)}
	}
	return append(done, Report{Change: c.ID, Slot: c.Slot, Version: c.To, Outcome: outcome, At: at}), nil
}

// failed ends a change that nobody has seen.
func failed(m *Machine, e Event) ([]Report, error) {
	f, c := e.(Failed), m.Change
	if f.Blame {
		m.slot().Held = &Held{Source: c.Source, Why: f.Why}
	}
	return []Report{{Change: c.ID, Slot: c.Slot, Version: c.To, Outcome: Refused, Why: f.Why, At: f.At}}, nil
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
	return []Report{{Change: t.Change, Slot: p.Slot, Version: s.Live, Outcome: Permanent, At: p.At}}, nil
}

// misbehaved begins the way back to what was proven.
func misbehaved(m *Machine, e Event) ([]Report, error) {
	b := e.(Misbehaved)
	s := m.named(b.Slot)
	switch {
	case s.Trial == nil:
		return nil, ErrNotOnTrial
	case s.Permanent.IsZero():
		return nil, ErrNoAnchor
	}
	m.Change = &Change{ID: s.Trial.Change, Kind: KindRevert, Slot: b.Slot, Message: b.Why, Began: b.At,
		Source: s.Trial.Source, From: s.Live, To: s.Permanent}
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
	return Report{Change: c.ID, Slot: c.Slot, Version: was, Outcome: RolledBack, Why: c.Message, At: at}
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
			done = append(done, Report{Change: t.Change, Slot: c.Slot, Version: s.Live, Outcome: Superseded, Why: "by " + c.ID, At: r.At})
		}
		s.Live, s.Trial = c.To, &Trial{Change: c.ID, Source: c.Source, Deaths: s.deaths(c.Source)}
		if c.Proven {
			s.Trial.Source = "" // it is not to blame
		}
	default:
		done = append(done, c.interrupted(r.At, m.at()))
	}
	for _, name := range sortedNames(m.Slots) {
		s := m.Slots[name]
		if t := s.Trial; t != nil {
			done = append(done, Report{Change: t.Change, Slot: name, Version: s.Live, Outcome: Interrupted, Why: "the process ended while it was on trial", At: r.At})
			s.restart(r)
		}
	}
	return done, nil
}

// interrupted is the end of a change that nobody has seen.
func (c *Change) interrupted(at time.Time, p Phase) Report {
	return Report{Change: c.ID, Slot: c.Slot, Version: c.To, Outcome: Interrupted, Why: "the process ended while it was " + string(p), At: at}
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
