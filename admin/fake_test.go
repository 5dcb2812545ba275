package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app"
)

const testToken = "test-token-0123456789"

// fakeApp is an App in memory: its generations are numbers, and an update makes
// the next one unless broken is set.
type fakeApp struct {
	events app.Events

	mu      sync.Mutex
	live    int
	broken  []app.Problem // why the disk is refused; empty when it is fine
	err     error         // what every change returns instead
	notes   []app.Change  // changes that were asked for
	ready   bool
	updates []app.Update  // newest first
	block   chan struct{} // a change waits for it, if set
	entered chan struct{} // gets one value per change that waits
	panics  bool
	hung    bool // Plan waits for its context
}

func newFake() *fakeApp { return &fakeApp{live: 3, ready: true} }

func (f *fakeApp) Events() *app.Events { return &f.events }

func (f *fakeApp) generation(n int) app.GenerationInfo {
	g := app.GenerationInfo{Number: n, Digest: fmt.Sprintf("sha256:%04d", n), State: app.GenFreed, Requests: int64(n) * 1000, Inflight: 2}
	if n == f.live {
		g.State = app.GenLive
	}
	return g
}

func (f *fakeApp) Doing() app.Doing {
	return app.Doing{Step: "before swap, hook ask", Waiting: "before swap, hook ask", Since: time.Unix(1000, 0)}
}

func (f *fakeApp) Status() app.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := app.Status{App: "shop", State: app.StateIdle, Live: f.generation(f.live), Ready: f.ready, Drift: len(f.broken) > 0, DriftWhy: "handlers/secret.js differs"}
	if len(f.updates) > 0 {
		s.LastUpdate = &f.updates[0]
	}
	if f.live > 1 {
		d := f.generation(f.live - 1)
		d.State = app.GenDraining
		s.Draining = []app.GenerationInfo{d}
	}
	return s
}

func (f *fakeApp) Generations() (out []app.GenerationInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := f.live; n > 0; n-- {
		out = append(out, f.generation(n))
	}
	return out
}

func (f *fakeApp) Generation(n int) (app.GenerationDetail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n < 1 || n > f.live {
		return app.GenerationDetail{}, fmt.Errorf("generation %d: %w", n, app.ErrNotFound)
	}
	return app.GenerationDetail{
		GenerationInfo: f.generation(n),
		Content:        []app.FileInfo{{Path: "handlers/a.js", Digest: "sha256:aa", Size: 12}},
		Parts:          f.Units(),
	}, nil
}

func (f *fakeApp) Diff(_ context.Context, from, to int) ([]app.FileChange, error) {
	if from > f.live || to > f.live {
		return nil, fmt.Errorf("generation %d: %w", max(from, to), app.ErrNotFound)
	}
	return []app.FileChange{{Path: "bad\xffname.js", Op: "changed", Diff: "-a\n+b\xff\n"}}, nil
}

func (f *fakeApp) Units() []app.UnitInfo {
	return []app.UnitInfo{{Name: "handlers/a.js", Engine: "js", Digest: "sha256:aa", Files: []string{"handlers/a.js"}, UsedBy: []string{"GET /a"}, Since: 1, Executions: 7}}
}

func (f *fakeApp) Jobs() []app.JobInfo { return []app.JobInfo{{Name: "restock", Schedule: "every 5s"}} }

func (f *fakeApp) Runs(limit int) []app.Run {
	all := []app.Run{{ID: "r2", Name: "order"}, {ID: "r1", Name: "order"}}
	return all[:min(limit, len(all))]
}

func (f *fakeApp) Run(id string) (app.Run, error) {
	for _, r := range f.Runs(10) {
		if r.ID == id {
			return r, nil
		}
	}
	return app.Run{}, fmt.Errorf("run %q: %w", id, app.ErrNotFound)
}

func (f *fakeApp) Updates(limit int) []app.Update {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.updates[:min(limit, len(f.updates))]
}

func (f *fakeApp) Plan(ctx context.Context) (app.Plan, error) {
	f.mu.Lock()
	hung, panics := f.hung, f.panics
	f.mu.Unlock()
	if panics {
		panic("plan fell over")
	}
	if hung {
		<-ctx.Done()
		return app.Plan{}, ctx.Err()
	}
	return app.Plan{Base: 3, Effects: []string{"1 route changed: GET /a"}}, nil
}

func (f *fakeApp) Reload(ctx context.Context, c app.Change) (app.Update, error) {
	return f.change(ctx, c, app.OutcomeLive)
}

func (f *fakeApp) Rollback(ctx context.Context, n int, c app.Change) (app.Update, error) {
	f.mu.Lock()
	live := f.live
	f.mu.Unlock()
	if n > live {
		return app.Update{}, fmt.Errorf("generation %d: %w", n, app.ErrNotFound)
	}
	return f.change(ctx, c, app.OutcomeRolledBack)
}

func (f *fakeApp) change(ctx context.Context, c app.Change, o app.Outcome) (app.Update, error) {
	f.mu.Lock()
	block, entered := f.block, f.entered
	f.mu.Unlock()
	if block != nil {
		entered <- struct{}{}
		select {
		case <-block:
		case <-ctx.Done():
			return app.Update{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, c)
	if f.panics {
		panic("reload fell over")
	}
	if f.err != nil {
		return app.Update{}, f.err
	}
	if c.Expect != 0 && c.Expect != f.live {
		return app.Update{}, fmt.Errorf("generation %d is live: %w", f.live, app.ErrConflict)
	}
	u := app.Update{ID: fmt.Sprintf("u%d", len(f.notes)), Trigger: c.Trigger, Message: c.Message, From: f.live, Outcome: o, Started: time.Unix(1, 0), Ended: time.Unix(2, 0)}
	if len(f.broken) > 0 {
		u.Outcome, u.Problems = app.OutcomeRefused, f.broken
		f.updates = append([]app.Update{u}, f.updates...)
		return u, &app.RefusedError{Update: u}
	}
	f.live++
	u.Generation = f.live
	f.updates = append([]app.Update{u}, f.updates...)
	return u, nil
}

func (f *fakeApp) set(change func(*fakeApp)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeApp) changes() []app.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]app.Change(nil), f.notes...)
}

// running is a server on real sockets.
type running struct {
	*Server
	app    *fakeApp
	url    string // http://127.0.0.1:PORT
	socket string // of mode 0600
	log    *syncBuffer
	stop   func() error // ends Serve and returns what it returned
	http   *http.Client
}

// serve starts a server on TCP and a Unix socket; the test's end stops it.
func serve(t *testing.T, f *fakeApp, opt Options) *running {
	t.Helper()
	log := new(syncBuffer)
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	s := New(f, opt)
	s.heartbeat = 20 * time.Millisecond
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "a.sock")
	unix, err := ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, tcp, unix) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	transport := &http.Transport{}
	r := &running{Server: s, app: f, url: "http://" + tcp.Addr().String(), socket: socket, log: log, stop: stop, http: &http.Client{Transport: transport}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// dial returns a client with the token over TCP.
func (r *running) dial(t *testing.T) *Client {
	t.Helper()
	return dial(t, Target{URL: r.url, Token: testToken})
}

func dial(t *testing.T, target Target) *Client {
	t.Helper()
	c, err := Dial(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// do sends a request; change may set its headers. The token is set before.
func (r *running) do(t *testing.T, method, path, body string, change func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(req)
	}
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(out)
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func skipWithoutModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file modes don't protect sockets on Windows")
	}
}
