package app

import (
	"context"
	"errors"
	"time"

	"github.com/theseus-run/theseus/update"
)

// The steps of a change of the program, as hooks see them: prepare is what comes
// before this process gives anything up, the start of the other one included; sync
// has nothing to do; swap is that the other one serves. Its hooks after swap run
// there, those around revert where the old program serves again.

// programChange is the change of the program that has begun, or a new one.
func (a *App) programChange() update.Change {
	if c := a.replacing.Load(); c != nil {
		return *c
	}
	return update.Change{ID: newUpdateID(time.Now()), Kind: update.KindBinary, Slot: binarySlot, Trigger: "upgrade", Began: time.Now(),
		From: a.store.Machine().Slot(binarySlot).Live}
}

// PermitProgram asks, before another program is started to take over, the hooks
// before the step prepare, and waits for the guards of what is live. An error says
// which of them refuses the program; it is in the history then. Ctx ending gives up.
func (a *App) PermitProgram(ctx context.Context) error {
	a.replacing.Store(nil)
	c := a.programChange()
	a.replacing.Store(&c)
	err := a.runner.Before(ctx, c, "prepare")
	if g := a.live.Load(); err == nil && g != nil {
		err = a.runner.Await(ctx, c, *guardsOf(g.manifest))
	}
	if err != nil {
		a.refuseProgram(c, "prepare", err)
	}
	return err
}

// ProgramFailed tells the hooks after the step at which it is that the program they
// were asked about does not come to serve.
func (a *App) ProgramFailed(why error) {
	c := a.replacing.Swap(nil)
	switch {
	case c == nil:
	case c.Ready:
		a.afterProgram(*c, "swap", why)
	default:
		a.afterProgram(*c, "prepare", why)
	}
}

// afterProgram runs hooks that nobody waits for.
func (a *App) afterProgram(c update.Change, step string, failure error) {
	go a.runner.After(a.life, c, step, failure)
}

// releaseHooks asks the hooks before anything is given up to another process.
func (a *App) releaseHooks(ctx context.Context) error {
	if a.draining.Load() {
		return nil // the process ends, and no other is about to serve
	}
	c := a.programChange()
	if o := a.offered.Load(); o != nil {
		c.Who = o.who
	}
	c.To, c.Ready = update.Version{Number: max(c.From.Number, 1) + 1}, true
	a.replacing.Store(&c)
	a.runner.After(ctx, c, "prepare", nil)
	if err := a.runner.Before(ctx, c, "sync"); err != nil {
		a.refuseProgram(c, "sync", err)
		return err
	}
	a.runner.After(ctx, c, "sync", nil)
	if err := a.runner.Before(ctx, c, "swap"); err != nil {
		a.refuseProgram(c, "swap", err)
		return err
	}
	return nil
}

// refuseProgram notes in the history that a change of the program was refused at a
// step, before the transaction had begun.
func (a *App) refuseProgram(c update.Change, step string, err error) {
	a.replacing.Store(nil)
	a.afterProgram(c, step, err)
	p := Problem{Kind: "update", Message: err.Error()}
	if e, ok := errors.AsType[*update.HookError](err); ok {
		p.Kind, p.Hint = "hook", "the hook is the operator's; upgrade again to ask it again"
		p.Message = e.Error()
	} else if _, ok := errors.AsType[*update.WaitingError](err); ok {
		p.Kind, p.Hint = "guard", "upgrade again when there is less to do"
	}
	n := a.liveNumber()
	u := Update{ID: c.ID, Trigger: c.Trigger, State: StateIdle, Outcome: OutcomeRefused, From: n, Problems: []Problem{p},
		Message: "another program", Started: c.Began, Ended: time.Now()}
	a.remember(u)
	a.events.Publish(Event{Type: "update", Level: "error", Message: "program refused: " + p.Message, Generation: n, Update: u.ID, Data: u})
}
