package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/theseus-run/theseus/admin/v1/adminv1connect"
	"github.com/theseus-run/theseus/app"
)

// App is what the server shows and changes. Its methods are called concurrently
// and return copies.
type App interface {
	Status() app.Status
	// Doing returns what the change under way is at.
	Doing() app.Doing
	// Generations returns the kept generations, newest first.
	Generations() []app.GenerationInfo
	// Generation returns one of them, or an error wrapping [app.ErrNotFound].
	Generation(n int) (app.GenerationDetail, error)
	// Diff compares two trees; 0 is the disk.
	Diff(ctx context.Context, from, to int) ([]app.FileChange, error)
	Units() []app.UnitInfo
	Jobs() []app.JobInfo
	// Runs returns at most limit runs, newest first.
	Runs(limit int) []app.Run
	// Run returns one of them, or an error wrapping [app.ErrNotFound].
	Run(id string) (app.Run, error)
	// Updates returns at most limit updates, newest first.
	Updates(limit int) []app.Update
	Plan(ctx context.Context) (app.Plan, error)
	// Reload applies the disk. It returns a [*app.RefusedError] when a check
	// stopped the update, and an error wrapping [app.ErrConflict] when the live
	// generation is not the expected one.
	Reload(ctx context.Context, c app.Change) (app.Update, error)
	// Rollback returns to a kept generation; 0 is the one before the live one.
	// Its errors are those of Reload and Generation.
	Rollback(ctx context.Context, generation int, c app.Change) (app.Update, error)
	Events() *app.Events
}

// Options configures a [Server]. The zero value serves the probes and refuses
// every call.
type Options struct {
	// Token is what a caller must show; see [NewToken]. Empty refuses all
	// calls but those on a Unix socket that only its owner may open.
	Token string

	// Version of Theseus, told by the probes. Empty is left out.
	Version string

	// Hosts are names, beside loopback and the listener's own address, under
	// which the listener may be called, such as that of a proxy before it.
	Hosts []string

	// Metrics answers /metrics, and Console everything that has no other
	// handler. Nil answers 404.
	Metrics, Console http.Handler

	// Log receives one record per change that was asked for, and failures. Nil
	// discards them.
	Log *slog.Logger

	// Upgrade replaces the running process. Its errors are [*UpgradeError], and
	// others that wrap [ErrBusy] or errors.ErrUnsupported. Nil answers that it
	// cannot be replaced.
	Upgrade func(ctx context.Context, r UpgradeRequest) (Upgrade, error)

	// Ready returns why the app is not ready to serve, or nil. A nil Ready
	// asks the app's status.
	Ready func() error
}

// A Server answers the admin API. Its methods are safe for concurrent use.
type Server struct {
	app     App
	opt     Options
	log     *slog.Logger
	access  access
	replays *replays
	handler http.Handler

	instance  string        // names this process in event cursors
	heartbeat time.Duration // between signs of life on a stream
	// chunkTimeout is how long one write of a stream or a long call may take.
	chunkTimeout time.Duration

	closing   chan struct{} // closed when streams must end
	closeOnce sync.Once
}

// New returns a server for a. It starts nothing; Close ends what its handler
// has started.
func New(a App, opt Options) *Server {
	s := &Server{
		app:          a,
		opt:          opt,
		log:          opt.Log,
		access:       newAccess(opt.Token),
		replays:      newReplays(),
		instance:     strconv.FormatInt(time.Now().UnixNano(), 36),
		heartbeat:    15 * time.Second,
		chunkTimeout: 30 * time.Second,
		closing:      make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opt.Ready == nil {
		s.opt.Ready = func() error {
			if !a.Status().Ready {
				return errors.New("the app does not serve")
			}
			return nil
		}
	}
	s.handler = s.routes()
	return s
}

// Handler returns the whole listener as a handler: API, probes, metrics and
// console. A handler that is not called through [Server.Serve] trusts no Unix
// socket, and speaks gRPC only if its server speaks HTTP/2.
func (s *Server) Handler() http.Handler { return s.handler }

// Close ends the open streams, cancels the changes that no caller waits for any
// more, and returns when they have ended. It may be called twice.
func (s *Server) Close() error {
	s.endStreams()
	s.replays.close()
	return nil
}

// Drain makes every open stream end soon, before the listeners close.
func (s *Server) Drain() { s.endStreams() }

// endStreams makes every open stream end soon.
func (s *Server) endStreams() { s.closeOnce.Do(func() { close(s.closing) }) }

// routes builds the handler.
func (s *Server) routes() http.Handler {
	path, rpc := adminv1connect.NewAdminServiceHandler(&service{s},
		connect.WithReadMaxBytes(maxBody),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, v any) error {
			s.log.Error("admin call panicked", "method", spec.Procedure, "panic", v)
			return connect.NewError(connect.CodeInternal, errors.New("internal error: see the log of theseus"))
		}))

	private := http.NewServeMux()
	private.Handle(path, rpc)
	private.HandleFunc("GET /api/v1/events", s.serveEvents)
	private.HandleFunc("GET /debug/plugin/status", s.serveLoaded)

	mux := http.NewServeMux()
	guarded := s.access.require(s.bounded(private))
	for _, prefix := range []string{path, "/api/", "/debug/"} {
		mux.Handle(prefix, noStore(guarded))
	}
	mux.Handle("GET /livez", noStore(http.HandlerFunc(s.serveLive)))
	mux.Handle("GET /readyz", noStore(http.HandlerFunc(s.serveReady)))
	mux.Handle("GET /healthz", noStore(http.HandlerFunc(s.serveReady)))
	mux.Handle("GET /updatez", noStore(http.HandlerFunc(s.serveUpdate)))
	if s.opt.Metrics != nil {
		mux.Handle("GET /metrics", s.opt.Metrics)
	}
	if s.opt.Console != nil {
		mux.Handle("/", s.opt.Console)
	}
	return securityHeaders(checkHost(s.opt.Hosts, http.NewCrossOriginProtection().Handler(mux)))
}
