package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/admin/console"
	"github.com/theseus-run/theseus/app"
)

const token = "console-token-0123456789"

// fakeApp is an app in memory behind the real admin server: what the page gets
// is what the real one sends.
type fakeApp struct {
	events app.Events

	mu       sync.Mutex
	status   app.Status
	gens     []app.GenerationInfo // newest first
	diff     []app.FileChange
	units    []app.UnitInfo
	jobs     []app.JobInfo
	runs     []app.Run // newest first
	updates  []app.Update
	changes  []app.Change // rollbacks that were asked for
	conflict bool
}

func (f *fakeApp) set(change func(*fakeApp)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// get reads a part under the lock.
func get[T any](f *fakeApp, part func(*fakeApp) T) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return part(f)
}

func (f *fakeApp) Events() *app.Events { return &f.events }

func (f *fakeApp) Doing() app.Doing { return app.Doing{} }

func (f *fakeApp) Status() app.Status {
	return get(f, func(f *fakeApp) app.Status {
		s := f.status
		if len(f.gens) > 0 {
			i := slices.IndexFunc(f.gens, func(g app.GenerationInfo) bool { return g.State == app.GenLive })
			s.Live = f.gens[max(i, 0)]
		}
		return s
	})
}

func (f *fakeApp) Generations() []app.GenerationInfo {
	return get(f, func(f *fakeApp) []app.GenerationInfo { return slices.Clone(f.gens) })
}

func (f *fakeApp) Generation(n int) (app.GenerationDetail, error) {
	for _, g := range f.Generations() {
		if g.Number == n {
			d := app.GenerationDetail{GenerationInfo: g, Content: []app.FileInfo{{Path: "handlers/product.js", Digest: g.Digest, Size: 700}}}
			if g.State == app.GenLive || g.State == app.GenDraining {
				d.Parts = f.Units()
			}
			return d, nil
		}
	}
	return app.GenerationDetail{}, fmt.Errorf("generation %d: %w", n, app.ErrNotFound)
}

func (f *fakeApp) Diff(context.Context, int, int) ([]app.FileChange, error) {
	return get(f, func(f *fakeApp) []app.FileChange { return f.diff }), nil
}

func (f *fakeApp) Units() []app.UnitInfo {
	return get(f, func(f *fakeApp) []app.UnitInfo { return f.units })
}

func (f *fakeApp) Jobs() []app.JobInfo {
	return get(f, func(f *fakeApp) []app.JobInfo { return slices.Clone(f.jobs) })
}

func (f *fakeApp) Runs(limit int) []app.Run {
	return get(f, func(f *fakeApp) []app.Run { return slices.Clone(f.runs[:min(limit, len(f.runs))]) })
}

func (f *fakeApp) Run(string) (app.Run, error) { return app.Run{}, app.ErrNotFound }

func (f *fakeApp) Updates(limit int) []app.Update {
	return get(f, func(f *fakeApp) []app.Update { return slices.Clone(f.updates[:min(limit, len(f.updates))]) })
}

func (f *fakeApp) Plan(context.Context) (app.Plan, error) { return app.Plan{}, nil }

func (f *fakeApp) Reload(context.Context, app.Change) (app.Update, error) {
	return app.Update{}, app.ErrClosed
}

// Rollback makes the next generation, with what n had.
func (f *fakeApp) Rollback(_ context.Context, n int, c app.Change) (app.Update, error) {
	live := f.Status().Live.Number
	f.mu.Lock()
	f.changes = append(f.changes, c)
	refuse := f.conflict || c.Expect != live
	f.mu.Unlock()
	if refuse {
		return app.Update{}, fmt.Errorf("generation %d is live: %w", live+1, app.ErrConflict)
	}
	return f.update(app.Update{Trigger: "rollback", Message: fmt.Sprintf("back to %d", n), Outcome: app.OutcomeRolledBack}), nil
}

// update ends an update as the app does: the history first, then the event.
func (f *fakeApp) update(u app.Update) app.Update {
	now := time.Now()
	live := f.Status().Live.Number
	f.mu.Lock()
	u.ID, u.From, u.Started, u.Ended = fmt.Sprintf("u%06d", len(f.updates)+100), live, now.Add(-14*time.Millisecond), now
	f.status.Drift, f.status.DriftWhy, f.status.Staged = u.Outcome == app.OutcomeRefused, "", app.Staged{Problems: u.Problems}
	if u.Outcome == app.OutcomeRefused {
		f.status.DriftWhy = u.Problems[0].String()
	} else {
		u.Generation = live + 1
		for i := range f.gens {
			f.gens[i].State = app.GenRetired
		}
		f.gens = append([]app.GenerationInfo{{Number: u.Generation, State: app.GenLive, Created: now, Trigger: u.Trigger, Message: u.Message, Update: u.ID, Units: 40, Carried: 38, Tests: 18}}, f.gens...)
	}
	f.status.LastUpdate = &u
	f.updates = append([]app.Update{u}, f.updates...)
	f.mu.Unlock()
	f.events.Publish(app.Event{Type: "update", Message: fmt.Sprintf("gen %d %s", u.Generation, u.Outcome), Generation: u.Generation, Update: u.ID, Data: u})
	return u
}

// server is the admin server with the console, on loopback.
type server struct {
	url     string // with the token
	streams sync.Map
	down    bool // guarded by mu: streams are answered with 503
	mu      sync.Mutex
	seen    []string // Last-Event-ID of each stream
}

func serve(t *testing.T, f *fakeApp) *server {
	t.Helper()
	s := new(server)
	a := admin.New(f, admin.Options{Token: token, Version: "0.1.0", Console: console.Handler()})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/v1/events") {
			a.Handler().ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, r.Header.Get("Last-Event-ID"))
		down := s.down
		s.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		s.streams.Store(cancelOf{&cancel}, cancel)
		a.Handler().ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(func() {
		a.Close()
		srv.Close()
	})
	s.url = srv.URL + "/#t=" + token
	return s
}

// cancelOf makes a cancel function a key.
type cancelOf struct{ f *context.CancelFunc }

// drop ends every open stream, and refuses new ones while down.
func (s *server) drop(down bool) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
	s.streams.Range(func(k, cancel any) bool {
		cancel.(context.CancelFunc)()
		s.streams.Delete(k)
		return true
	})
}
