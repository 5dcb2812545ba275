package app

import (
	"context"
	"fmt"

	"github.com/theseus-run/theseus/internal/tree"
)

// coldStart makes the first generation live: the disk if it passes its gates,
// else the generation that served last. A disk that a rollback has turned away
// from stays turned away from: a restart must not bring the mistake back.
func (a *App) coldStart(ctx context.Context) error {
	a.updating <- struct{}{}
	defer func() { <-a.updating }()
	c := Change{Trigger: "start"}
	current, err := a.store.Current()
	if err != nil {
		a.log.Warn("which generation served last cannot be read", "error", err)
	}
	t, err := a.scan()
	if err == nil && current > 0 && t.Digest() == a.heldDisk {
		if err := a.resume(ctx, current, "as rolled back to before the restart"); err == nil {
			a.setStaged(t.Digest(), "", nil)
			a.setDriftWhy(fmt.Sprintf("rolled back to gen %d", current))
			return nil
		}
	}
	var refused error
	if err != nil {
		_, refused = a.begin(c, "").refuse(problemsOf("file", err))
	} else if _, refused = a.apply(ctx, c, t); refused == nil {
		return nil
	}
	if current == 0 {
		return refused
	}
	if err := a.resume(ctx, current, "the disk was refused; the generation that served last serves"); err != nil {
		a.log.Error("the generation that served last could not be loaded", "generation", current, "error", err)
		return refused
	}
	return nil
}

// standBy makes the generation live that is current in the process that owns
// the app.
func (a *App) standBy(ctx context.Context) error {
	current, err := a.store.Current()
	if err == nil && current == 0 {
		err = fmt.Errorf("no generation is current in %s: nothing serves yet that could be taken over", a.opt.StateDir)
	}
	if err != nil {
		return err
	}
	if err := a.resume(ctx, current, "taken over from the process before"); err != nil {
		return err
	}
	a.followDisk(nil)
	return nil
}

// resume makes a stored generation live at the start of the program.
func (a *App) resume(ctx context.Context, number int, why string) error {
	im, rec, err := a.kept(ctx, number)
	if err != nil {
		return err
	}
	up := a.begin(Change{Trigger: "start", Message: why}, im.tree.Digest())
	g, err := a.newGeneration(im, rec, a.env)
	im.drop()
	if err != nil {
		return err
	}
	up.swap(g)
	up.u.Generation = g.number
	up.end(OutcomeLive)
	return nil
}

// resumed returns the record of the generation that served last when the
// program starts with the very same files: it goes on under its number, so that
// restarts use up no history.
func (a *App) resumed(c Change, t *tree.Tree) *record {
	if c.Trigger != "start" {
		return nil
	}
	current, err := a.store.Current()
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if rec := a.records[current]; rec != nil && rec.snapshot().Digest == t.Digest() {
		return rec
	}
	return nil
}
