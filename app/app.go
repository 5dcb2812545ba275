// Package app serves an app directory and replaces it while it serves.
//
// An [App] watches a directory, builds each stable change aside into a
// generation — routes, compiled handlers, workflows, middleware, jobs and
// configuration as one immutable whole — runs the app's own tests against it,
// and then swaps one pointer. A change that fails any check is refused and what
// served before serves on. Requests, streams, workflow runs and job runs end in
// the generation they began in; the old generation is closed after its last user.
//
// Start with [Open]; an App is an http.Handler. Check a directory without
// serving it with [Check]. All methods are safe for concurrent use.
package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/schedule"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/topic"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/update"
)

// Options configure an [App]. Engines is required; the rest may be zero.
type Options struct {
	// Engines run the app's scripts.
	Engines script.Set

	// StateDir holds the history. Empty means .theseus beside the manifest, or
	// .theseus/NAME beside a single file.
	StateDir string

	// Watch says whether changes on disk are applied by themselves.
	Watch bool

	// Notice says, without Watch, that changes on disk are looked for and shown
	// as drift. They are applied by Reload alone.
	Notice bool

	// Quiet is how long the tree must be unchanged before it is applied. Zero
	// means 60 ms.
	Quiet time.Duration

	// Poll forces polling at this interval in place of file events. Zero uses events
	// where they work.
	Poll time.Duration

	// Env looks up ${NAME} in the manifest and the configuration. Nil means
	// os.LookupEnv.
	Env func(string) (string, bool)

	// Version is the version of the program, for Status.
	Version string

	// Program is its fingerprint, for the history; the digest is computed. Nil notes
	// none.
	Program *Program

	// Log gets one record per update and what scripts log. Nil discards.
	Log *slog.Logger

	// Events receives what happens; nil makes a log of the app's own.
	Events *Events

	// Observer is told what happens, for metrics. It may be nil.
	Observer Observer

	// Standby opens the app beside the process that owns it: it serves the
	// generation that is current there, whatever the disk holds, and owns nothing,
	// neither history nor schedule, and writes nothing, before Activate.
	Standby bool

	// Hooks run around the steps of each change, in their order.
	Hooks []Hook

	// Load measures the load per processor, for rollout.guards.max_load. Nil means
	// that of the machine in the last minute, which Linux alone tells.
	Load func() (float64, error)

	// Workers tells how the parts are that serve the app together, by name: a change
	// is not swapped in before each is well, which is nil. It must return soon. Nil
	// means that there is only this process.
	Workers func() map[string]error

	// NoSync skips fsync when the history is written. For benchmarks.
	NoSync bool
}

// An App is an app directory that is served. Make one with [Open].
type App struct {
	opt     Options
	path    string // what Open was given, absolute
	log     *slog.Logger
	events  *Events
	store   *store.Store
	program *identity
	data    *data
	topics  *topic.Hub
	fetch   *fetcher
	env     *environment
	sched   *schedule.Scheduler
	started time.Time
	listen  atomic.Pointer[[]string]
	admin   atomic.Pointer[string]
	mode    atomic.Pointer[string] // of the watcher

	live       atomic.Pointer[Generation]
	streams    streams
	runs       runs
	background *background
	stop       context.CancelCauseFunc // ends the watcher, the scheduler and the sampler
	loops      sync.WaitGroup
	proof      chan struct{} // asks for a collection that proves generations freed
	unproven   atomic.Int64  // generations that are closed and not yet seen freed
	requests   atomic.Int64  // numbers requests
	idPrefix   string
	draining   atomic.Bool
	closing    atomic.Bool
	swapNanos  latencyLog
	heartbeat  time.Duration // between signs of life on a stream
	recent     recent        // answers of the last seconds

	runner    *update.Runner
	guards    atomic.Pointer[update.Guards] // of the update that runs; nil for none
	carried   atomic.Pointer[updater]       // through the runner now
	replacing atomic.Pointer[update.Change] // the change of the program that has begun; nil for none
	life      context.Context               // ends with the app
	endLife   context.CancelFunc
	updating  chan struct{} // holds a token for the length of an update
	roleNow   atomic.Int32  // a role; changes while the token is held
	process   atomic.Pointer[func() ProcessInfo]
	offered   atomic.Pointer[offer] // the program that is about to take over; nil if nobody said

	hand      sync.Mutex      // held while the app is handed over; guards what follows, taken before mu
	running   context.Context // of the loops
	watching  *watching       // nil while no watcher runs
	confirmed bool            // Confirm was called

	mu        sync.Mutex // guards what follows
	scanned   *tree.Tree // the latest scan, for reuse of unchanged files
	staged    Staged
	current   *Update // the one that runs
	last      *Update
	updates   []Update                // latest last
	records   map[int]*record         // by generation number
	order     []int                   // generation numbers, oldest first
	images    map[int]*image          // kept for rollback
	interrupt context.CancelCauseFunc // ends the update that runs; nil before the first
	verdict   *Trial                  // of an update that has not ended yet
	driftWhy  string                  // why the disk differs from what is live
	drifted   bool                    // what was last published
}

// keptUpdates is how many updates stay in memory; all go to the update log.
const keptUpdates = 256

// Open builds the app at path, a directory or a single script, and makes it
// ready to serve. When the disk is refused but the history holds a generation
// that served before, that one serves and Status tells the drift. Otherwise the
// error is a [*RefusedError] with all problems.
//
// The App runs until Close.
func Open(ctx context.Context, path string, opt Options) (*App, error) {
	a, err := open(path, opt)
	if err != nil {
		return nil, err
	}
	if err := a.openData(); err != nil {
		a.discard()
		return nil, err
	}
	start := a.coldStart
	if opt.Standby {
		start = a.standBy
	}
	if err := start(ctx); err != nil {
		a.discard()
		return nil, err
	}
	a.startLoops(ctx)
	return a, nil
}

// open makes the App of a path that may be relative. It serves nothing yet.
func open(path string, opt Options) (*App, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return newApp(abs, opt)
}

// newApp makes an App that serves nothing yet.
func newApp(abs string, opt Options) (*App, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Env == nil {
		opt.Env = os.LookupEnv
	}
	if opt.Events == nil {
		opt.Events = &Events{}
	}
	if opt.Load == nil {
		opt.Load = machineLoad
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, &RefusedError{Update: Update{Outcome: OutcomeRefused, Problems: []Problem{{Kind: "file", Message: "open the app: " + err.Error(),
			Hint: "give a directory with theseus.yaml, a directory with handlers/, or one script; `theseus new` makes one"}}}}
	}
	if opt.StateDir == "" {
		opt.StateDir = filepath.Join(abs, ".theseus")
		if !info.IsDir() {
			opt.StateDir = filepath.Join(filepath.Dir(abs), ".theseus", filepath.Base(abs))
		}
	}
	if rel, err := filepath.Rel(abs, opt.StateDir); err == nil && filepath.IsLocal(rel) && rel[0] != '.' {
		return nil, fmt.Errorf("the state directory %s lies inside the app: each update would change the app; use another place", opt.StateDir)
	}
	if !opt.Standby {
		if err := worthKeeping(abs, opt.StateDir); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(opt.StateDir), 0o755); err != nil {
			return nil, fmt.Errorf("make room for the history: %w", err)
		}
	}
	st, err := store.Open(opt.StateDir, store.Options{NoSync: opt.NoSync, ReadOnly: opt.Standby})
	if err != nil {
		return nil, err
	}
	for _, p := range st.Problems() {
		opt.Log.Warn("part of the history cannot be read", "error", p)
	}
	prefix := make([]byte, 4)
	_, _ = rand.Read(prefix)
	a := &App{
		opt: opt, path: abs, log: opt.Log, events: opt.Events, store: st, program: newIdentity(opt.Program),
		data: &data{kv: kv.New(kv.Options{})}, topics: topic.New(topic.Options{First: time.Now().UnixMicro()}), fetch: newFetcher(),
		started: time.Now(), background: newBackground(), updating: make(chan struct{}, 1), proof: make(chan struct{}, 1),
		heartbeat: defaultHeartbeat,
		idPrefix:  hex.EncodeToString(prefix) + "-",
		records:   map[int]*record{}, images: map[int]*image{},
	}
	a.life, a.endLife = context.WithCancel(context.Background())
	a.runner = a.newRunner()
	a.env = &environment{work: a.background, runs: &a.runs, data: a.data, topics: a.topics, fetch: a.fetch, log: a.log, now: time.Now}
	a.sched = schedule.New(schedule.Options{Log: a.log, Done: a.jobDone, Suspended: opt.Standby})
	off := "off"
	a.mode.Store(&off)
	if opt.Standby {
		a.roleNow.Store(int32(standby))
	}
	a.loadHistory()
	if !opt.Standby {
		if err := a.recover(); err != nil {
			a.discard()
			return nil, err
		}
		a.warnOldProgram()
	}
	return a, nil
}

// worthKeeping refuses a place that holds no app before a history is begun there.
func worthKeeping(path, stateDir string) error {
	if _, err := os.Stat(stateDir); err == nil {
		return nil
	}
	t, err := tree.Scan(path, nil, tree.Options{})
	if err == nil {
		if _, ok := t.File(manifest.File); ok {
			return nil
		}
		_, err = implicit(t)
	}
	if err == nil {
		return nil
	}
	problems := problemsOf("manifest", err)
	problems[0].Message = strings.Replace(problems[0].Message, " here", " in "+path, 1)
	return &RefusedError{Update: Update{Outcome: OutcomeRefused, Problems: problems}}
}

// startLoops starts what runs beside requests until Close.
func (a *App) startLoops(ctx context.Context) {
	ctx, a.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	a.loops.Go(func() { _ = a.sched.Run(ctx) })
	a.loops.Go(func() { a.sample(ctx) })
	a.loops.Go(func() { a.prove(ctx) })
	a.hand.Lock()
	defer a.hand.Unlock()
	a.running = ctx
	if a.role() == owner {
		a.startWatch()
	}
}

// discard gives up an App that never served.
func (a *App) discard() {
	a.endLife()
	a.loops.Wait()
	for _, im := range a.images {
		im.drop()
	}
	a.topics.Close()
	a.fetch.close()
	_ = a.data.kv.Close()
	_ = a.store.Close()
}

// ServeHTTP serves one request in the live generation.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g, err := a.acquire()
	if err != nil {
		http.Error(w, `{"error":"the app is shutting down"}`, http.StatusServiceUnavailable)
		return
	}
	l := &lease{gen: g}
	defer l.release()
	l.serve(w, r, a.env, a.idPrefix+strconv.FormatInt(a.requests.Add(1), 36))
}

// Events returns the app's event log.
func (a *App) Events() *Events { return a.events }

// Close ends the app: streams are told to end, requests, runs and job runs may
// go on until ctx ends, then their contexts end. The caller has stopped sending
// requests. Close returns when nothing of the app runs any more; it may be
// called twice.
func (a *App) Close(ctx context.Context) error {
	if !a.closing.CompareAndSwap(false, true) {
		return nil
	}
	a.Drain()
	a.interruptUpdate(ErrClosed)
	a.hand.Lock() // from here on no watcher starts
	a.stopWatch()
	a.hand.Unlock()
	err := a.sched.Stop(ctx)
	a.background.close(ctx)
	a.stop(ErrClosed)
	a.endLife()
	a.loops.Wait()
	a.updating <- struct{}{} // an update that runs ends first
	defer func() { <-a.updating }()
	g := a.live.Swap(nil)
	if g != nil {
		g.retire()
		select {
		case <-g.drained:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	images := a.images
	a.images = map[int]*image{}
	a.mu.Unlock()
	for _, im := range images {
		im.drop()
	}
	a.topics.Close()
	a.fetch.close()
	return errors.Join(err, a.data.kv.Close(), a.store.Close())
}

// Drain makes the app not ready and asks every open stream to end; its client
// sees a clean end and reconnects elsewhere. Requests are still served. Call it
// before the listener closes.
func (a *App) Drain() {
	a.draining.Store(true)
	a.streams.endAll(errDraining)
}

// errDraining is why streams end when the app does.
const errDraining = "the server is shutting down"

// prove collects garbage after a generation has closed, so that "freed" is seen
// soon and not at the next collection: once, and again with growing pauses while a
// closed generation is still reachable from somewhere. Each generation that closes
// begins the pauses anew.
func (a *App) prove(ctx context.Context) {
	// The goroutine that closed the generation may still have it on its stack.
	const first = 20 * time.Millisecond
	pause := first
	for {
		var collect <-chan time.Time
		if a.unproven.Load() > 0 {
			collect = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.proof:
			pause = first
		case <-collect:
			runtime.GC()
			pause = min(max(4*pause, time.Second), 30*time.Second)
		}
	}
}

// proveFreed asks for a collection.
func (a *App) proveFreed() {
	select {
	case a.proof <- struct{}{}:
	default:
	}
}

// freed notes that the memory of a generation was returned.
func (a *App) freed(rec *record, took time.Duration) {
	a.unproven.Add(-1)
	rec.set(func(i *GenerationInfo) {
		if i.State == GenRetired {
			i.State, i.FreedIn = GenFreed, took
		}
	})
	info := rec.snapshot()
	a.events.Publish(Event{Type: "generation", Message: "freed", Generation: info.Number, Update: info.Update, Data: info})
}

// notFound wraps ErrNotFound for a generation.
func notFound(n int) error { return fmt.Errorf("generation %d: %w", n, ErrNotFound) }
