package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/schedule"
	"github.com/theseus-run/theseus/internal/store"
)

// ErrSuspended is returned for a change asked of an app whose history and schedule
// another process owns, or that has not been told yet that it is to stay. What it
// serves it serves on; ask again later.
var ErrSuspended = errors.New("the process is being replaced: changes wait until that is over")

// A role says what an App may do beside serving.
type role int

const (
	owner     role = iota // all
	standby               // nothing: another process owns the history and the schedule
	suspended             // the same, after it had owned them
	probation             // it owns them, and changes nothing until Confirm
)

// handoverVersion is that of the form below. Version 1 of the program reads 1.
const handoverVersion = 1

// A handover is what Suspend returns and Activate takes: JSON.
type handover struct {
	Version    int            `json:"version"`
	Generation int            `json:"generation"` // the live one
	Digest     string         `json:"digest"`
	Staged     Staged         `json:"staged"` // the disk as it was handled last
	DriftWhy   string         `json:"drift_reason,omitempty"`
	Jobs       schedule.State `json:"jobs"`
}

// maxHandover bounds a handover, in bytes.
const maxHandover = 256 << 10

// Suspend gives up what only one process may have, and goes on serving: it waits
// for an update that runs, stops the watcher and the ticking of jobs, and gives
// the history's lock back. It returns where all that stands, for another process's
// Activate, or this one's. Runs that are in progress go on here.
//
// Until then changes asked for are refused with [ErrSuspended]. After an error
// nothing has changed. Suspending twice is an error.
func (a *App) Suspend(ctx context.Context) ([]byte, error) {
	a.hand.Lock()
	defer a.hand.Unlock()
	before := a.role()
	if before == standby || before == suspended || a.closing.Load() {
		return nil, errors.New("suspend the app: it owns nothing that it could give up")
	}
	if err := a.releaseHooks(ctx); err != nil {
		return nil, fmt.Errorf("suspend the app: %w", err)
	}
	if err := a.enterRole(ctx, suspended); err != nil {
		a.ProgramFailed(err)
		return nil, err
	}
	a.stopWatch()
	h := a.describe()
	state, err := a.encodeHandover(h)
	switch {
	case err != nil:
	case a.draining.Load(): // the process ends, and no other is about to serve
		if e := a.store.Leave(); e != nil {
			a.log.Warn("the end of the process could not be noted", "error", e)
		}
	default:
		if err = a.offerProgram(); err == nil {
			err = a.store.Yield()
		}
	}
	if err != nil {
		a.dropProgram(err.Error())
		a.ProgramFailed(err)
		a.resumeHere(before)
		return nil, fmt.Errorf("suspend the app: %w", err)
	}
	return state, nil
}

// errReplaced is why an update that waits is interrupted when the process is replaced.
var errReplaced = errors.New("the process is being replaced")

// role returns the role, which changes only while the token of an update is held.
func (a *App) role() role { return role(a.roleNow.Load()) }

// enterRole changes the role between two updates.
func (a *App) enterRole(ctx context.Context, r role) error {
	var nudge func()
	if r == suspended {
		nudge = func() { a.interruptWaiting(errReplaced) }
	}
	if err := a.takeTurn(ctx, nudge); err != nil {
		return fmt.Errorf("an update of the app has not ended: %w", err)
	}
	defer func() { <-a.updating }()
	a.roleNow.Store(int32(r))
	return nil
}

// resumeHere undoes what Suspend has done, but for the store. a.hand is held.
func (a *App) resumeHere(r role) {
	a.sched.Resume(false)
	_ = a.enterRole(context.Background(), r)
	a.startWatch()
}

// describe stops the ticking and notes where everything stands.
func (a *App) describe() handover {
	h := handover{Version: handoverVersion, Generation: a.liveNumber(), Digest: a.live.Load().tree.Digest(), Jobs: a.sched.Suspend()}
	a.mu.Lock()
	defer a.mu.Unlock()
	h.Staged, h.DriftWhy = a.staged, a.driftWhy
	const most = 10
	h.Staged.Problems = h.Staged.Problems[:min(len(h.Staged.Problems), most)]
	return h
}

func (a *App) encodeHandover(h handover) ([]byte, error) {
	state, err := json.Marshal(h)
	if err == nil && len(state) > maxHandover {
		err = fmt.Errorf("what is to be handed over has %d bytes of at most %d", len(state), maxHandover)
	}
	return state, err
}

// decodeHandover reads what Suspend wrote. Nil is what nobody left.
func decodeHandover(state []byte) (*handover, error) {
	if state == nil {
		return nil, nil
	}
	var h handover
	if err := json.Unmarshal(state, &h); err != nil {
		return nil, fmt.Errorf("the state handed over: %w", err)
	}
	switch {
	case h.Version != handoverVersion:
		return nil, fmt.Errorf("the state handed over has version %d; this program reads %d", h.Version, handoverVersion)
	case h.Generation < 1:
		return nil, fmt.Errorf("the state handed over names generation %d", h.Generation)
	}
	return &h, nil
}

// Activate makes an app that stands by, or was suspended, the one that owns
// history and schedule, from the state that the last owner left; nil when that
// died. It makes live what was live there, and the schedule goes on where it
// stood: a slot that passed in between ticks once. For the app that suspended
// itself, slots that came due since are those of the process in between.
//
// An app that stood by changes nothing before [App.Confirm]. Activating the owner
// does nothing. After an error the app owns nothing, and serves on; one that stood
// by may have followed part of the state.
func (a *App) Activate(ctx context.Context, state []byte) error {
	a.hand.Lock()
	defer a.hand.Unlock()
	before := a.role()
	switch {
	case a.closing.Load():
		return ErrClosed
	case before == owner || before == probation:
		return nil
	}
	h, err := decodeHandover(state)
	if err != nil {
		return fmt.Errorf("activate the app: %w", err)
	}
	if err := a.takeOver(ctx, before, h); err != nil {
		return fmt.Errorf("activate the app: %w", err)
	}
	next := owner
	if before == standby && !a.confirmed {
		next = probation
	}
	if err := a.enterRole(context.WithoutCancel(ctx), next); err != nil {
		return err
	}
	a.sched.Resume(before == suspended)
	if next == owner {
		a.startWatch()
	}
	return nil
}

// takeOver takes the store, and what the last owner left. a.hand is held.
func (a *App) takeOver(ctx context.Context, before role, h *handover) error {
	if err := a.store.Acquire(); err != nil {
		return err
	}
	var err error
	if h == nil { // its owner died
		err = a.recover()
	}
	switch {
	case err != nil:
	case before == suspended:
		a.dropProgram("this process took the service back")
	default:
		if err = a.follow(ctx, h); err == nil {
			err = a.takeProgram()
		}
	}
	if err != nil {
		return errors.Join(err, a.store.Yield())
	}
	if t := a.store.Machine().Slot(store.AppSlot).Trial; t != nil && before == standby {
		a.observe(store.AppSlot, *t)
	}
	return nil
}

// follow makes the app what the last owner was: generation, disk, schedule.
func (a *App) follow(ctx context.Context, h *handover) error {
	a.reloadHistory()
	number := a.store.Current()
	if h != nil {
		number = h.Generation
	}
	if number != a.liveNumber() || !a.live.Load().schemas.Fits(migrate.Versions(a.data.kv)) {
		if err := a.resume(ctx, number, "it became live while this process started"); err != nil {
			return fmt.Errorf("generation %d, which is live: %w", number, err)
		}
	}
	if g := a.live.Load(); h != nil && g.tree.Digest() != h.Digest {
		return fmt.Errorf("generation %d is of the tree %.12s here and %.12s in the process before", number, g.tree.Digest(), h.Digest)
	}
	if h == nil {
		a.followDisk(nil)
		return nil
	}
	// What is imported is of use only if all of this goes well; else the process ends.
	if err := a.sched.Adopt(h.Jobs); err != nil {
		return err
	}
	a.followDisk(h)
	return nil
}

// followDisk notes what the last owner made of the disk, and what has changed on
// it since. The watcher, once it runs, begins with what was handled.
func (a *App) followDisk(h *handover) {
	t, err := a.scan()
	held, why := a.held()
	a.mu.Lock()
	a.staged, a.driftWhy = Staged{Seen: time.Now()}, waitingDrift
	if err == nil {
		a.staged.Digest = t.Digest()
	}
	switch a.staged.Digest {
	case "":
	case held:
		a.driftWhy = why
	case a.live.Load().tree.Digest():
		a.driftWhy = ""
	}
	if h != nil && err == nil && t.Digest() == h.Staged.Digest {
		a.staged, a.driftWhy = h.Staged, h.DriftWhy
	}
	a.mu.Unlock()
	a.checkDrift()
}

// waitingDrift is why the disk differs while nothing is applied.
const waitingDrift = "changed on disk, to be looked at once this process has proved itself"

// Confirm tells an app that stood by that its process is the service for good:
// from now on it takes changes, and watches the disk.
func (a *App) Confirm() {
	a.hand.Lock()
	defer a.hand.Unlock()
	a.confirmed = true
	if a.role() != probation || a.enterRole(context.Background(), owner) != nil {
		return
	}
	a.keepProgram()
	a.mu.Lock()
	if a.driftWhy == waitingDrift {
		a.driftWhy = ""
	}
	a.mu.Unlock()
	a.startWatch()
}

// A watching is a watcher that runs.
type watching struct {
	stop context.CancelCauseFunc
	done chan struct{}
}

// startWatch starts the watcher, where one is wanted. a.hand is held.
func (a *App) startWatch() {
	if !a.opt.Watch && !a.opt.Notice || a.watching != nil || a.running == nil || a.closing.Load() {
		return
	}
	ctx, stop := context.WithCancelCause(a.running)
	w := &watching{stop: stop, done: make(chan struct{})}
	a.watching = w
	a.loops.Go(func() {
		defer close(w.done)
		a.watch(ctx)
	})
}

// stopWatch stops the watcher and waits for its end. a.hand is held.
func (a *App) stopWatch() {
	w := a.watching
	if w == nil {
		return
	}
	a.watching = nil
	w.stop(ErrSuspended)
	<-w.done
}

// seen returns the digest of the disk that needs no further look: what was
// refused, or turned away from, or is live. What was only noticed does need one.
func (a *App) seen() string {
	held, _ := a.held()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.staged.Error != "" || a.staged.Digest == held {
		return a.staged.Digest
	}
	return a.live.Load().tree.Digest()
}

// refuseChange says why a change cannot be made now, and looks at the disk, so
// that the drift shows.
func (a *App) refuseChange() error {
	if a.role() == owner {
		return nil
	}
	a.notice(waitingDrift)
	return ErrSuspended
}
