// Package watch tells when an app directory has changed and is still again.
//
// [Run] is the only call. File events only wake it; what decides is the digest of
// the whole tree, which the caller computes. A digest counts when it is found
// twice, one quiet period apart, so that an editor's rename, a file written in
// two parts, a moved folder or a swapped Kubernetes volume is seen once, as a
// whole, after it is done. Where file events do not work the same rule runs on a
// timer.
//
// A file named .theseus-lock in the directory holds all changes back while it is
// there and younger than ten minutes: for tools that write for longer than the
// quiet period.
package watch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The modes that Options.Mode reports.
const (
	Events  = "events"
	Polling = "polling"
)

// LockName is the file that holds changes back.
const LockName = ".theseus-lock"

const (
	lockAge    = 10 * time.Minute // a lock older than this was forgotten
	safetyPoll = 30 * time.Second // between polls while events work
	restless   = 5 * time.Second  // between warnings about a tree that does not settle
)

// Options says what to watch and whom to tell. Dir, Scan and Changed are
// required.
type Options struct {
	// Dir is the folder, or the single file, to watch. It may be missing and may
	// come and go.
	Dir string

	// Quiet is how long nothing may change before a change counts. Zero means 60 ms.
	Quiet time.Duration

	// Poll is the time between two looks when file events do not work. Zero means
	// 500 ms. A tree that takes long to scan is polled less often.
	Poll time.Duration

	// ForcePoll does without file events.
	ForcePoll bool

	// Scan returns the digest of what is on disk now. An error is a state of its
	// own, with the digest "error:" and its text.
	Scan func() (digest string, err error)

	// Changed is called with each new digest that is stable. Calls do not overlap;
	// the next look is taken after it has returned.
	Changed func(digest string)

	// Held is called when a lock holds a change back, and again while it does. May
	// be nil.
	Held func()

	// Mode is called with Events or Polling at the start and at each change. May be nil.
	Mode func(mode string)

	// Log receives warnings. Nil discards them.
	Log *slog.Logger

	// Seen is the digest that needs no call, being handled already.
	Seen string

	safety time.Duration                                // tests: in place of safetyPoll
	fsType func(dir string) string                      // tests: in place of networkFS
	add    func(w *fsnotify.Watcher, path string) error // tests: in place of w.Add
}

// Run watches until ctx ends and returns its cause. Callbacks are made on the
// calling goroutine; none is running, and no goroutine or descriptor is left, once
// Run has returned.
func Run(ctx context.Context, opt Options) error {
	if opt.Dir == "" || opt.Scan == nil || opt.Changed == nil {
		return errors.New("watch: Dir, Scan and Changed are required")
	}
	dir, err := filepath.Abs(opt.Dir)
	if err != nil {
		return err
	}
	opt.Dir = dir
	opt.Quiet = cmp.Or(opt.Quiet, 60*time.Millisecond)
	opt.Poll = cmp.Or(opt.Poll, 500*time.Millisecond)
	opt.safety = cmp.Or(opt.safety, safetyPoll)
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.fsType == nil {
		opt.fsType = networkFS
	}
	if opt.add == nil {
		opt.add = (*fsnotify.Watcher).Add
	}
	w := &watcher{opt: opt, seen: opt.Seen, timer: time.NewTimer(0), stale: true, safety: min(2*time.Second, opt.safety)}
	defer w.timer.Stop()
	defer w.unwatch()
	return w.run(ctx)
}

// A watcher is the state of one Run. One goroutine owns it.
type watcher struct {
	opt   Options
	timer *time.Timer
	mode  string
	seen  string // the digest last reported

	// The folders with events; none while polling.
	notify *fsnotify.Watcher
	have   map[string]identity
	stale  bool // folders may have come, gone or been replaced
	rooted bool // the root was there when the folders were listed
	single bool // and was a file

	// The change being looked at.
	pending bool
	first   string    // the digest last found; "" when unknown
	looked  time.Time // when that was
	since   time.Time // when the change began
	warned  time.Time // when it was last complained about
	heard   bool      // an event has come since the last rest
	polled  bool      // a poll, with events expected, has found the change
	held    bool      // a lock holds changes back
	oldLock bool      // a forgotten lock has been complained about

	rested bool          // the first look is over
	safety time.Duration // until the next safety poll: short at first, to learn early that no events come
	cost   time.Duration // of the last scan
}

func (w *watcher) run(ctx context.Context) error {
	for {
		var events chan fsnotify.Event
		var errs chan error
		if w.notify != nil {
			events, errs = w.notify.Events, w.notify.Errors
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, ok := <-events:
			if !ok {
				w.poll("file events have ended")
			} else if w.concerns(e) {
				w.wake()
			}
		case err, ok := <-errs:
			if !ok {
				w.poll("file events have ended")
				break
			}
			// Most likely the queue has overflown: anything may have happened.
			w.opt.Log.Debug("file events were lost", "error", err)
			w.stale = true
			w.wake()
		case <-w.timer.C:
			w.tick(ctx)
		}
	}
}

// wake begins to look at a change, or puts the next look off. The first look
// waits for a sixth of the quiet period: most saves are several events in a row,
// and a digest found between them would cost another quiet period.
func (w *watcher) wake() {
	w.heard = true
	switch {
	case !w.pending:
		w.pending, w.first, w.since = true, "", time.Now()
		w.timer.Reset(w.opt.Quiet / 6)
	case w.held: // perhaps the lock is gone
		w.timer.Reset(w.opt.Quiet / 6)
	case w.first == "": // the first look is about to be taken
	default:
		// Events that never stop must not put the look off for ever: what counts
		// is whether the digest stays.
		most := time.Until(w.looked.Add(max(time.Second, 4*w.opt.Quiet)))
		w.timer.Reset(max(0, min(w.opt.Quiet, most)))
	}
}

// tick looks when the quiet period, or the time between two polls, is over.
func (w *watcher) tick(ctx context.Context) {
	if !w.pending {
		expected := w.mode == Events && w.rooted && w.rested
		w.stale = true
		if digest := w.look(); digest != w.seen {
			w.polled = expected
			w.pending, w.first, w.since = true, digest, time.Now()
			w.wait()
		} else {
			w.rest()
		}
		return
	}
	digest := w.look()
	if digest != "" && digest == w.first {
		w.settled(ctx, digest)
		return
	}
	w.first = digest
	w.complain()
	w.wait()
}

// settled ends the look at a change with the digest that has stayed.
func (w *watcher) settled(ctx context.Context, digest string) {
	if digest != w.seen && ctx.Err() == nil {
		if w.polled && !w.heard && w.mode == Events {
			w.poll("a change came without one")
		}
		w.seen = digest
		w.opt.Changed(digest)
	}
	w.rest()
}

// wait sets the time of the next look at a change.
func (w *watcher) wait() {
	if w.held {
		w.timer.Reset(w.opt.Poll) // should the removal of the lock go unheard
		return
	}
	w.timer.Reset(w.opt.Quiet)
}

// rest waits for the next change.
func (w *watcher) rest() {
	w.pending, w.heard, w.polled, w.rested = false, false, false, true
	next := max(w.opt.Poll, 5*w.cost)
	if w.mode == Events && w.rooted {
		next = w.safety
		w.safety = min(2*w.safety, w.opt.safety)
	}
	w.timer.Reset(next)
}

// look returns the digest of what is on disk, and "" while a lock is held. New
// folders are watched before they are read, so that nothing falls in between.
func (w *watcher) look() string {
	if w.held = w.locked(); w.held {
		if w.opt.Held != nil {
			w.opt.Held()
		}
		return ""
	}
	if w.stale {
		w.stale = false
		w.watch()
	}
	start := time.Now()
	digest, err := w.opt.Scan()
	if err != nil {
		digest = "error:" + err.Error()
	}
	w.looked = time.Now()
	w.cost = w.looked.Sub(start)
	return digest
}

// complain warns of a tree that does not settle.
func (w *watcher) complain() {
	now := time.Now()
	if w.held || now.Sub(w.since) < restless || now.Sub(w.warned) < restless {
		return
	}
	w.warned = now
	w.opt.Log.Warn("the app's files keep changing; waiting until they are still",
		"dir", w.opt.Dir, "for", now.Sub(w.since).Round(time.Second))
}

// locked reports whether a lock file holds changes back.
func (w *watcher) locked() bool {
	dir := w.opt.Dir
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	name := filepath.Join(dir, LockName)
	info, err := os.Lstat(name)
	if err != nil {
		w.oldLock = false
		return false
	}
	// A time in the future is another machine's clock; it is no licence to wait for ever.
	if age := time.Since(info.ModTime()); age > lockAge || age < -lockAge {
		if !w.oldLock {
			w.oldLock = true
			w.opt.Log.Warn("a forgotten lock is ignored; remove it", "file", name, "age", age.Round(time.Second))
		}
		return false
	}
	if !w.held {
		w.opt.Log.Info("changes are held back by a lock", "file", name)
	}
	return true
}
