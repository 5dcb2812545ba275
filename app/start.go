package app

import (
	"context"
	"fmt"

	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// coldStart makes the first generation live: the one that has proved itself, so
// that the service is back whatever the disk holds. The disk, where it differs, is
// an ordinary update after it; one that was turned away stays turned away: a
// restart must not bring the mistake back. Where nothing was proven, or it cannot be
// loaded any more, the disk is all there is.
func (a *App) coldStart(ctx context.Context) error {
	a.updating <- struct{}{}
	defer func() { <-a.updating }()
	c := Change{Trigger: "start"}
	t, broken := a.scan()
	serves := a.resumeProven(ctx, t)
	digest, why := a.held()
	var refused error
	switch {
	case broken != nil:
		_, refused = a.begin(c, "").refuse(problemsOf("file", broken))
	case serves && t.Digest() == a.live.Load().tree.Digest():
		a.setStaged(t.Digest(), "", nil)
	case serves && t.Digest() == digest:
		a.setStaged(t.Digest(), "", nil)
		a.setDriftWhy(why)
	default:
		_, refused = a.apply(ctx, c, t)
	}
	if serves {
		return nil // the log and the status tell what was refused
	}
	return refused
}

// resumeProven makes live what is permanent, or the anchor where that cannot be
// loaded, and reports whether one is.
func (a *App) resumeProven(ctx context.Context, disk *tree.Tree) bool {
	slot := a.store.Machine().Slot(store.AppSlot)
	for _, v := range []update.Version{slot.Permanent, slot.Anchor} {
		if v.IsZero() {
			continue
		}
		why := "the generation that was proven last"
		if disk != nil && disk.Digest() == v.Digest {
			why = ""
		}
		err := a.resume(ctx, v.Number, why)
		if err == nil {
			return true
		}
		a.log.Error("a generation that was proven could not be loaded", "generation", v.Number, "error", err)
	}
	return a.resumeMaker(ctx)
}

// resumeMaker makes live the generation that has brought the data of scripts to its
// versions, where these cannot be brought back to what was proven: that must not run
// on data it does not know.
func (a *App) resumeMaker(ctx context.Context) bool {
	maker := int(migrate.Maker(a.data.kv))
	if maker == 0 {
		return false
	}
	why := "the data of scripts cannot go back to what was proven"
	if err := a.resume(ctx, maker, why); err != nil {
		a.log.Error("the generation that the data of scripts is for could not be loaded", "generation", maker, "error", err)
		return false
	}
	a.settleFor("start", why)
	return true
}

// standBy makes the generation live that is current in the process that owns
// the app.
func (a *App) standBy(ctx context.Context) error {
	current := a.store.Current()
	if current == 0 {
		return fmt.Errorf("no generation is current in %s: nothing serves yet that could be taken over", a.opt.StateDir)
	}
	if err := a.resume(ctx, current, "taken over from the process before"); err != nil {
		return err
	}
	a.followDisk(nil)
	return nil
}

// resume makes a stored generation live at the start of the program, and the data of
// scripts what it wants.
func (a *App) resume(ctx context.Context, number int, why string) error {
	im, rec, err := a.kept(ctx, number)
	if err != nil {
		return err
	}
	defer im.drop()
	up := a.beginAside(Change{Trigger: "start", Message: why}, im.tree.Digest())
	var m *migrate.Migration
	if a.store.Writable() { // else another process owns the data: it is as that has it
		var problems []Problem
		if m, problems = a.prepareData(ctx, im); problems != nil {
			_, err := up.refuse(problems)
			return err
		}
	}
	g, err := up.revive(ctx, im, rec, m)
	if err != nil {
		return err
	}
	up.u.Generation = g.number
	up.end(OutcomeLive)
	return nil
}
