package app

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/script"
)

// A unit is a compiled script as the app keeps it: immutable, and the same
// object in every generation whose files it fits.
type unit struct {
	script.Unit
	engine string
	digest string            // over the names and digests of its files, engine and limits
	files  map[string]string // path → digest
	since  int               // the generation it was compiled for
	calls  bool              // its source names run(): what it does depends on other units

	holders atomic.Int64 // images that contain it; the last one closes it
	active  atomic.Int64 // generations that are not closed; the last one trims it
	execs   atomic.Int64
	errs    atomic.Int64
}

// An image is an immutable, compiled tree: all that is needed to serve it,
// without anything that runs. Images of kept generations stay in memory, so
// that returning to one is a pointer swap.
type image struct {
	tree     *tree.Tree
	manifest *manifest.Manifest
	units    map[string]*unit
	config   configuration
	rules    map[string]*expr.Program // by route pattern: its "when"
	limits   limits
	tests    []testFile
	schemas  migrate.Schemas // of state/; nil for none
	form     string          // the names and versions of those
	warnings []Problem
	carried  int
}

// limits are the manifest's limits, ready to use.
type limits struct {
	script script.Limits
	body   int64         // bytes of a request body
	maxPin time.Duration // how long a stream may stay in a replaced generation; 0: for ever
}

// hold takes part in the ownership of the image's units.
func (im *image) hold() {
	for _, u := range im.units {
		u.holders.Add(1)
	}
}

// drop ends the ownership that hold began.
func (im *image) drop() {
	for _, u := range im.units {
		if u.holders.Add(-1) == 0 {
			u.Close()
		}
	}
}

// A Generation is an image that serves. Whoever uses one holds a lease between
// acquire and release; the generation closes when it is retired and the last
// lease is given back.
type Generation struct {
	*image
	number int
	update string // id of the update that made it
	record *record
	router http.Handler
	env    *environment
	app    *App

	// refs counts the leases, plus one until retire. It never leaves 0.
	refs    atomic.Int64
	retired atomic.Pointer[time.Time]
	drained chan struct{} // closed by the last release
}

// record is what is known of a generation beyond its life.
type record struct {
	header []string // the generation's number, as the response header's values

	mu   sync.Mutex
	info GenerationInfo // counters below are merged in by snapshot

	open     atomic.Int64 // generations that serve under it: several while one drains that is live again
	requests atomic.Int64
	failed   atomic.Int64
	inflight atomic.Int64
	streams  atomic.Int64
	window   latencies // of the current second
}

// snapshot returns the record as plain data.
func (r *record) snapshot() GenerationInfo {
	r.mu.Lock()
	info := r.info
	r.mu.Unlock()
	info.Requests, info.Failed = r.requests.Load(), r.failed.Load()
	info.Inflight, info.Streams = r.inflight.Load(), r.streams.Load()
	return info
}

// set changes the record's info under its lock.
func (r *record) set(change func(*GenerationInfo)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.info)
}

// newGeneration makes im serve under the number in rec. The caller owns the
// first reference and gives it back with retire.
func (a *App) newGeneration(im *image, rec *record, env *environment) (*Generation, error) {
	g := &Generation{image: im, record: rec, app: a, env: env, drained: make(chan struct{})}
	rec.set(func(i *GenerationInfo) { g.number, g.update = i.Number, i.Update })
	im.hold()
	router, err := g.buildRouter()
	if err != nil {
		im.drop()
		return nil, err
	}
	g.router = router
	rec.open.Add(1)
	g.refs.Store(1)
	for _, u := range im.units {
		u.active.Add(1)
	}
	return g, nil
}

// tryAcquire takes a lease unless the generation is closed.
func (g *Generation) tryAcquire() bool {
	for {
		n := g.refs.Load()
		if n == 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release gives a lease back.
func (g *Generation) release() {
	if g.refs.Add(-1) == 0 {
		g.close()
	}
}

// retire gives back the reference that newGeneration made. It does not wait.
func (g *Generation) retire() {
	now := time.Now()
	g.retired.Store(&now)
	g.record.set(func(i *GenerationInfo) {
		if i.State == GenLive {
			i.State = GenDraining
		}
	})
	g.release()
}

// retiredAt returns when the generation was replaced, now when it was not.
func (g *Generation) retiredAt() time.Time {
	if t := g.retired.Load(); t != nil {
		return *t
	}
	return time.Now()
}

// close releases what the generation holds. It runs once, in the goroutine that
// gave the last lease back.
func (g *Generation) close() {
	took := time.Since(g.retiredAt())
	for _, u := range g.units {
		if u.active.Add(-1) == 0 {
			u.Trim()
		}
	}
	g.image.drop()
	rec, a := g.record, g.app
	last := rec.open.Add(-1) == 0
	rec.set(func(i *GenerationInfo) {
		if last && i.State == GenDraining {
			i.State, i.DrainedIn = GenRetired, took
		}
	})
	close(g.drained)
	if rec.snapshot().State != GenRetired {
		return // it was refused before it served, or the same one serves elsewhere
	}
	a.events.Publish(Event{Type: "generation", Message: "drained", Generation: g.number, Update: g.update, Data: rec.snapshot()})
	// The proof that nothing holds the old generation: the collector found it
	// unreachable. The cleanup must not itself reach g.
	closed := time.Now()
	a.unproven.Add(1)
	runtime.AddCleanup(g, func(rec *record) { a.freed(rec, time.Since(closed)) }, rec)
	a.proveFreed()
}

// acquire leases the live generation. After a swap has returned no lease of the
// old generation begins: the pointer is read again once the lease is held.
func (a *App) acquire() (*Generation, error) {
	for {
		g := a.live.Load()
		if g == nil {
			return nil, ErrClosed
		}
		if !g.tryAcquire() {
			continue
		}
		if a.live.Load() == g {
			return g, nil
		}
		g.release()
	}
}
