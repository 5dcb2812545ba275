package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// CheckCurrent checks whether this program can serve what is current in the
// history of the app at path, which another process may be serving: it builds that
// generation and runs its tests, as [Check] does with the disk. It writes nothing.
// An app without history is checked from the disk.
func CheckCurrent(ctx context.Context, path string, opt Options) (tests int, problems []Problem) {
	onDisk := func() (int, []Problem) {
		n, _, found := Check(ctx, path, opt)
		return n, found
	}
	beside := opt
	beside.Standby = true
	a, err := open(path, beside)
	if errors.Is(err, fs.ErrNotExist) {
		return onDisk()
	}
	if err != nil {
		return 0, problemsOf("store", err)
	}
	defer a.discard()
	current := a.store.Current()
	if current == 0 {
		return onDisk()
	}
	tests, err = a.tryCurrent(ctx, current)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return tests, refused.Update.Problems
	}
	if err != nil {
		return tests, problemsOf("generation", fmt.Errorf("generation %d: %w", current, err))
	}
	return tests, nil
}

// tryCurrent builds and tests a stored generation that does not serve.
func (a *App) tryCurrent(ctx context.Context, number int) (int, error) {
	im, rec, err := a.kept(ctx, number)
	if err != nil {
		return 0, err
	}
	g, err := a.newGeneration(im, rec, a.env)
	im.drop()
	if err != nil {
		return 0, err
	}
	defer g.retire()
	tests, problems := g.runTests(ctx)
	if problems != nil {
		return tests, &RefusedError{Update: Update{Outcome: OutcomeRefused, Problems: problems}}
	}
	return tests, nil
}
