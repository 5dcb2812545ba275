package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/update"
)

// binarySlot is the program's slot of the transaction. Its versions are the
// processes that served the app one after the other; their journal goes from each to
// the next, so that the change begins in one process and ends in another.
const binarySlot = "binary"

// An offer is the program that is about to take over, as it says itself, and who
// wants it.
type offer struct {
	program Program
	who     string
	force   bool
}

// AcceptProgram refuses the program that is about to take over if its rollback counter
// is below that of one that has proved itself here, or of this one, unless by force.
// Else it notes who wants it, for the history.
func (a *App) AcceptProgram(p Program, who string, force bool) error {
	floor := a.store.Machine().Slot(binarySlot).Floor
	switch {
	case force:
	case p.Counter < floor.Counter:
		return fmt.Errorf("its counter %d is below %d, which program %d has proved: it would be a downgrade", p.Counter, floor.Counter, floor.Version)
	case p.Counter < a.ownCounter():
		return fmt.Errorf("its counter %d is below %d, which that of the running program is: it would be a downgrade", p.Counter, a.ownCounter())
	}
	a.offered.Store(&offer{p, who, force})
	return nil
}

// warnOldProgram tells of a start with a program that an upgrade would have refused:
// to serve with it is better than not to serve.
func (a *App) warnOldProgram() {
	floor := a.store.Machine().Slot(binarySlot).Floor
	if a.opt.Program != nil && a.ownCounter() < floor.Counter {
		a.log.Warn("this program is a downgrade: its counter is below one that has proved itself", "counter", a.ownCounter(), "floor", floor.Counter, "program", floor.Version)
	}
}

// ownCounter is the rollback counter of the program that runs.
func (a *App) ownCounter() int64 {
	if a.opt.Program == nil {
		return 0
	}
	return a.opt.Program.Counter
}

// offerProgram notes, as the last thing that this process writes, that another
// program is about to serve.
func (a *App) offerProgram() error {
	if a.store.Machine().Slot(binarySlot).Live.IsZero() {
		if err := a.runner.Step(update.Adopt{Slot: binarySlot, Version: update.Version{Number: 1, Counter: a.ownCounter()}}); err != nil {
			return err
		}
	}
	o := a.offered.Swap(nil)
	if o == nil { // nobody asked whether it is a downgrade
		o = &offer{force: true}
	}
	return a.swapProgram(*o, false)
}

// swapProgram takes the change of the program up to the point where another process
// may be seen, which ends it.
func (a *App) swapProgram(o offer, proven bool) error {
	next := a.store.Machine().Slot(binarySlot).Live.Number + 1
	c := a.programChange()
	c.Who, c.Proven, c.Downgrade = o.who, proven, o.force
	a.replacing.Store(nil)
	for _, e := range []update.Event{update.Trigger{Change: c}, update.Begin{}, update.Prepared{To: update.Version{Number: next, Counter: o.program.Counter}},
		update.Proceed{}, update.Synced{}, update.Proceed{}} {
		if err := a.runner.Step(e); err != nil {
			a.dropProgram(err.Error())
			return err
		}
	}
	return nil
}

// takeProgram notes that this process, which was started to, serves.
func (a *App) takeProgram() error {
	m := a.store.Machine()
	if m.Change == nil || m.Change.Kind != update.KindBinary { // the one before died, and what it had begun is over
		if err := a.swapProgram(offer{program: Program{Counter: a.ownCounter()}, force: true}, true); err != nil { // there is no other
			return err
		}
	}
	c := *a.store.Machine().Change
	if err := a.runner.Step(update.Swapped{At: time.Now()}); err != nil {
		return err
	}
	a.afterProgram(c, "swap", nil)
	return nil
}

// keepProgram notes that this process has proved itself.
func (a *App) keepProgram() {
	if a.store.Machine().Slot(binarySlot).Trial == nil {
		return
	}
	if err := a.runner.Step(update.Proven{Slot: binarySlot, At: time.Now()}); err != nil {
		a.log.Error("that this process has proved itself could not be noted", "error", err)
	}
}

// dropProgram notes that the program that was offered, or was on trial, is given up.
func (a *App) dropProgram(why string) {
	m := a.store.Machine()
	now := time.Now()
	var events []update.Event
	var back *update.Change // what may have been seen; nil for nothing
	switch c := m.Change; {
	case c != nil && c.Kind == update.KindBinary && m.Phase == update.Swapping:
		back, events = c, []update.Event{update.Failed{Why: why, At: now}, update.Reverted{At: now}}
		a.afterProgram(*c, "swap", errors.New(why))
	case c != nil && c.Kind == update.KindBinary:
		events = []update.Event{update.Failed{Why: why, At: now}}
	case m.Slot(binarySlot).Trial != nil:
		s := m.Slot(binarySlot)
		back = &update.Change{ID: s.Trial.Change, Slot: binarySlot, Began: now, From: s.Live, To: s.Permanent}
		events = []update.Event{update.Misbehaved{Slot: binarySlot, Why: why, At: now}, update.Reverted{At: now}}
	}
	for _, e := range events {
		if err := a.runner.Step(e); err != nil {
			a.log.Error("that the new program was given up could not be noted", "error", err)
		}
	}
	if back != nil {
		back.Kind, back.Trigger, back.Message = update.KindRevert, "upgrade", why
		go func() { _ = a.runner.Revert(a.life, *back, func() error { return nil }) }() // the old program serves
	}
}

// reportProgram notes the end of a change of the program in the history.
func (a *App) reportProgram(r update.Report) {
	u := Update{ID: r.Change, Trigger: "upgrade", Who: r.Who, State: StateActive, Outcome: OutcomeLive, From: a.liveNumber(), Generation: a.liveNumber(),
		Message: fmt.Sprintf("program %d", r.Version.Number), Started: r.At, Ended: r.At}
	switch r.Outcome {
	case update.Permanent:
		if p := a.program.wait(); p != nil {
			u.Message += ": " + p.String()
		}
	case update.RolledBack:
		u.Outcome = OutcomeRolledBack
	case update.Refused:
		u.Outcome = OutcomeRefused
	case update.Interrupted:
		u.Outcome = OutcomeInterrupted
	default:
		return
	}
	if r.Why != "" {
		u.Message += ": " + r.Why
	}
	a.remember(u)
}
