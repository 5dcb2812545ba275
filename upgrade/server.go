package upgrade

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A server can finish what it has: drain returns when it did, or soon after ctx
// has ended.
type server interface{ drain(ctx context.Context) }

// An httpServer is a [http.Server] whose drain loses no request.
type httpServer struct {
	u    *Upgrader
	srv  *http.Server
	stop context.CancelCauseFunc

	watching sync.Once // see watchSecure
}

// ErrDrainTimeout is the cause with which the contexts of requests end that
// are still running when the time to drain is over.
var ErrDrainTimeout = errors.New("drain time-out")

// idleTimeout is how long the server lets a connection wait for a request, as
// http.Server says; below 0 means for ever.
func (s *httpServer) idleTimeout() time.Duration {
	if d := cmp.Or(s.srv.IdleTimeout, s.srv.ReadTimeout); d > 0 {
		return d
	}
	return -1
}

// newHTTPServer takes srv over: its handler and its hooks are wrapped.
func newHTTPServer(u *Upgrader, srv *http.Server) *httpServer {
	s := &httpServer{u: u, srv: srv}
	next := srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	srv.Handler = &handler{u: u, next: next}
	connState, connContext, base := srv.ConnState, srv.ConnContext, srv.BaseContext
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		s.track(c, state)
		if t, ok := c.(*secureConn); ok {
			c = t.Conn
		}
		if connState != nil {
			connState(c, state)
		}
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		own, _ := unwrapConn(c)
		return context.WithValue(ctx, connKey{}, own)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s.stop = cancel
	srv.BaseContext = func(l net.Listener) context.Context {
		if base == nil {
			return ctx
		}
		of, end := context.WithCancelCause(base(l))
		context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
		return of
	}
	return s
}

// connKey is the context key of a request's *conn.
type connKey struct{}

// serve accepts from l; cert holds the names of certificate and key file, and is
// nil without TLS.
func (s *httpServer) serve(l *Listener, cert *[2]string) error {
	if cert != nil {
		return s.srv.ServeTLS(l, cert[0], cert[1])
	}
	return s.srv.Serve(l)
}

func (s *httpServer) track(c net.Conn, state http.ConnState) {
	own, secure := unwrapConn(c)
	if own == nil {
		return
	}
	if t, ok := c.(*tls.Conn); ok && (state == http.StateActive || state == http.StateIdle) && t.ConnectionState().NegotiatedProtocol == "h2" {
		own.secured(nil)
	}
	own.serving(state, secure)
	if state == http.StateActive || state == http.StateHijacked {
		s.u.connChanged()
	}
}

// drain waits until no HTTP/1 connection is left, which have moved, were told to
// close, or have been idle for the grace, each by its own clock: a long answer ends
// whole, and its connection moves then. HTTP/2 clients get time to go, too. Only then
// is net/http told to shut down: from that moment on it drops requests that it has
// just read on HTTP/1 (golang/go#75591), and those on HTTP/2 that come after its
// GOAWAY; it finishes the streams that it has.
func (s *httpServer) drain(ctx context.Context) {
	idle := s.u.idleGrace()
	for _, c := range s.u.conns() {
		if c.l.server == s {
			c.endIdle(idle)
		}
	}
	var parted sync.WaitGroup
	parted.Go(func() { s.u.part(ctx, s, idle) })
	s.u.waitConns(ctx, func(c *conn) bool { return c.l.server == s && c.http1() })
	parted.Wait()
	done := make(chan error, 1)
	go func() { done <- s.srv.Shutdown(ctx) }()
	select {
	case <-done:
	case <-ctx.Done():
		<-done
	}
	if ctx.Err() == nil {
		return
	}
	s.stop(ErrDrainTimeout)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	_ = s.srv.Shutdown(last)
	_ = s.srv.Close()
}

// idleGrace is how long a connection that cannot move may be idle.
func (u *Upgrader) idleGrace() time.Duration {
	if u.heir.Load() == nil {
		return min(u.opt.IdleGrace, stopGrace) // the service ends: nobody gains by waiting long
	}
	return u.opt.IdleGrace
}

// A handler counts requests and tells clients when to leave.
type handler struct {
	u    *Upgrader
	next http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u := h.u
	u.inflight.Add(1)
	defer u.inflight.Add(-1)
	if u.leaving.Load() {
		// Of HTTP/2 the header makes net/http send its GOAWAY.
		if c, _ := r.Context().Value(connKey{}).(*conn); c == nil || c.told() {
			w.Header().Set("Connection", "close")
		}
	}
	if !u.counting.Load() {
		h.next.ServeHTTP(w, r)
		return
	}
	u.arrived.Add(1)
	counted := &response{ResponseWriter: w, u: u, r: r}
	returned := false
	defer func() {
		if returned {
			counted.begin(http.StatusOK)
		} else {
			counted.begin(http.StatusInternalServerError)
		}
	}()
	h.next.ServeHTTP(counted, r)
	returned = true
}

// A response counts the answer when it begins, by its status.
type response struct {
	http.ResponseWriter
	u     *Upgrader
	r     *http.Request
	begun bool
}

func (w *response) begin(status int) {
	if w.begun || status < 200 {
		return
	}
	w.begun = true
	if excused := w.u.opt.Excused; status >= 500 && (excused == nil || !excused(w.r)) {
		w.u.errors.Add(1)
	}
	w.u.requests.Add(1)
}

func (w *response) WriteHeader(status int) {
	w.begin(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush passes on what was written.
func (w *response) Flush() {
	w.begin(http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack takes the connection over.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begin(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// ReadFrom copies r to the client, by the system where it can.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	w.begin(http.StatusOK)
	return io.Copy(w.ResponseWriter, r)
}

// A funcServer is a server of another kind, such as gRPC's.
type funcServer struct {
	u              *Upgrader
	graceful, stop func()
}

func (s *funcServer) drain(ctx context.Context) {
	s.u.part(ctx, s, s.u.idleGrace())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.graceful != nil {
			s.graceful()
		}
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	if s.stop != nil {
		s.stop()
	}
	select {
	case <-done:
	case <-time.After(cancelGrace):
	}
}
