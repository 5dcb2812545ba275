package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/update"
)

// Reload applies what is on disk now. It returns the update's final outcome; a
// refused one is a [*RefusedError].
func (a *App) Reload(ctx context.Context, c Change) (Update, error) {
	ctx, done, err := a.startUpdate(ctx, c)
	if err != nil {
		return Update{}, err
	}
	defer done()
	t, err := a.scan()
	if err != nil {
		return a.begin(c, "").refuse(problemsOf("file", err))
	}
	return a.apply(ctx, c, t)
}

// startUpdate waits for its turn, as long as ctx lives, and checks the
// precondition of the change. The update itself goes on when its caller goes
// away: the context it gets does not end with ctx. The caller calls done.
func (a *App) startUpdate(ctx context.Context, c Change) (_ context.Context, done func(), _ error) {
	var nudge func()
	if c.Trigger == "rollback" { // it must not wait for the tests of a change, nor for its guards
		nudge = func() { a.interruptUpdate(errRollback) }
	}
	if err := a.takeTurn(ctx, nudge); err != nil {
		return nil, nil, fmt.Errorf("waiting for another update to end: %w", err)
	}
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	done = func() { cancel(nil); <-a.updating }
	a.mu.Lock()
	a.interrupt = cancel
	a.mu.Unlock()
	if a.closing.Load() {
		done()
		return nil, nil, ErrClosed
	}
	if err := a.refuseChange(); err != nil {
		done()
		return nil, nil, err
	}
	if live := a.liveNumber(); c.Expect != 0 && c.Expect != live {
		done()
		return nil, nil, fmt.Errorf("%w: expected %d, live is %d", ErrConflict, c.Expect, live)
	}
	return own, done, nil
}

// takeTurn takes the token of an update. As long as another has it nudge, if there is
// one, is called now and then.
func (a *App) takeTurn(ctx context.Context, nudge func()) error {
	for {
		var again <-chan time.Time
		if nudge != nil {
			nudge()
			again = time.After(50 * time.Millisecond)
		}
		select {
		case a.updating <- struct{}{}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again:
		}
	}
}

// interruptUpdate ends the update that runs, unless it is past its checks.
func (a *App) interruptUpdate(why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.interrupt != nil {
		a.interrupt(why)
	}
}

// errRollback is why an update is interrupted when somebody wants to go back.
var errRollback = errors.New("a rollback was asked for")

// Rollback makes an earlier generation live again; 0 means the one before the
// live one. Its image is in memory, so new requests see it at once. The disk
// stays as it is, which Status then reports as drift.
func (a *App) Rollback(ctx context.Context, number int, c Change) (Update, error) {
	c.Trigger = "rollback"
	ctx, done, err := a.startUpdate(ctx, c)
	if err != nil {
		return Update{}, err
	}
	defer done()
	live := a.liveNumber()
	if number == 0 {
		number = a.previous(live)
	}
	switch number {
	case 0:
		return Update{}, fmt.Errorf("there is no earlier generation to return to: %w", ErrNotFound)
	case live:
		up := a.begin(c, a.live.Load().tree.Digest())
		up.u.Generation = live
		return up.end(OutcomeNoop), nil
	}
	im, rec, err := a.kept(ctx, number)
	if err != nil {
		return Update{}, err
	}
	defer im.drop() // held by kept
	up := a.beginAside(c, im.tree.Digest())
	a.mu.Lock()
	disk := a.staged.Digest
	a.mu.Unlock()
	st := &staging{up: up}
	st.build = func(ctx context.Context) (_ *Generation, problems []Problem) {
		if st.migration, problems = up.migrate(ctx, im); problems != nil {
			return nil, problems
		}
		g, err := a.newGeneration(im, rec, a.env)
		if err != nil {
			return nil, problemsOf("manifest", err)
		}
		return g, nil
	}
	if u, err := up.do(ctx, update.KindRollback, true, true, disk, st); err != nil { // proven enough for who asked
		return u, err
	}
	a.mu.Lock()
	why := fmt.Sprintf("rolled back to gen %d", number)
	if a.staged.Error != "" {
		why += "; the disk is refused: " + a.staged.Error
	}
	a.mu.Unlock()
	a.setDriftWhy(why)
	up.u.Generation = number
	defer a.verifyLater(number)
	return up.end(OutcomeRolledBack), nil
}

// previous returns the newest kept generation before n with other content, 0
// for none.
func (a *App) previous(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	digest := a.live.Load().tree.Digest()
	for i := len(a.order) - 1; i >= 0; i-- {
		if m := a.order[i]; m < n && a.records[m].snapshot().Digest != digest {
			return m
		}
	}
	return 0
}

// kept returns the image and record of a kept generation, rebuilt from the
// store when this process has not served it. The caller drops the image.
func (a *App) kept(ctx context.Context, number int) (*image, *record, error) {
	a.mu.Lock()
	rec, im := a.records[number], a.images[number]
	if im != nil {
		im.hold()
	}
	a.mu.Unlock()
	switch {
	case rec == nil:
		return nil, nil, notFound(number)
	case im != nil:
		return im, rec, nil
	}
	_, t, err := a.store.Load(number)
	if err != nil {
		return nil, nil, err
	}
	im, problems := build(ctx, a.builderFor(t, number))
	if problems != nil {
		return nil, nil, &RefusedError{Update: Update{Outcome: OutcomeRefused, Problems: problems}}
	}
	im.hold() // for the caller
	im.hold() // for a.images
	a.mu.Lock()
	a.images[number] = im
	a.mu.Unlock()
	return im, rec, nil
}
