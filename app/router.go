package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/script"
)

// The response header that names the generation which served a request.
const headerGeneration = "Theseus-Generation"

// exchange is one request on its way through a generation.
type exchange struct {
	app    *App
	gen    *Generation // nil once a stream has taken the lease
	number int         // of gen
	update string      // of gen
	rec    *record     // of gen
	env    *environment
	lease  *lease
	w      *responseWriter
	r      *http.Request
	id     string
	start  time.Time
	locals map[string]any // what middleware put into req.locals
	body   []byte
	read   bool // body holds the request's body
}

// A lease is a held reference to a generation. A stream takes it over: it may
// move to another generation while the handler that began it is still on the
// stack, which must then not keep the old one in memory.
type lease struct{ gen *Generation }

// release gives the generation back unless somebody has taken it over.
func (l *lease) release() {
	if g := l.take(); g != nil {
		g.release()
	}
}

// take takes the lease over. The caller releases the generation.
func (l *lease) take() *Generation {
	g := l.gen
	l.gen = nil
	return g
}

// An endpoint answers an exchange. A returned error becomes the response.
type endpoint func(x *exchange) error

// buildRouter turns the manifest into a handler. The image has been checked:
// patterns register and targets exist.
func (g *Generation) buildRouter() (router http.Handler, err error) {
	defer func() {
		if p := recover(); p != nil { // ServeMux refuses a pattern by panicking
			router, err = nil, fmt.Errorf("routes: %v", p)
		}
	}()
	mux := http.NewServeMux()
	for _, route := range g.manifest.Routes {
		ep := g.endpoint(route)
		for i := len(g.manifest.Use) - 1; i >= 0; i-- {
			ep = g.wrap(g.manifest.Use[i], ep)
		}
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			x := w.(*responseWriter).exchange // as serve made it
			x.r = r
			if err := ep(x); err != nil {
				x.fail(err)
			}
		})
	}
	return mux, nil
}

// endpoint returns what serves a route.
func (g *Generation) endpoint(route manifest.Route) endpoint {
	ep := g.target(route.Run, route)
	if route.When == "" {
		return ep
	}
	other := func(*exchange) error { return &httpError{status: http.StatusNotFound, message: "not found"} }
	if route.Else != "" {
		other = g.target(route.Else, route)
	}
	when := g.rules[route.Pattern]
	return func(x *exchange) error {
		ok, err := evalRule(when, x.r)
		if err != nil {
			return err
		}
		if ok {
			return ep(x)
		}
		return other(x)
	}
}

// target returns what serves one "run:" value.
func (g *Generation) target(run string, route manifest.Route) endpoint {
	if strings.HasSuffix(run, "/") {
		return g.static(run, route.Pattern)
	}
	u := g.units[run]
	params := wildcards(route.Pattern)
	switch {
	case route.Stream == "sse":
		return func(x *exchange) error { return x.serveSSE(u, params) }
	case route.Stream == "websocket":
		return func(x *exchange) error { return x.serveWebSocket(u, params) }
	case u.engine == "workflow":
		return func(x *exchange) error { return x.serveWorkflow(u, params) }
	}
	return func(x *exchange) error { return x.serveScript(u, params) }
}

// wildcards lists the names of a ServeMux pattern's {parts}.
func wildcards(pattern string) []string {
	var names []string
	for {
		i := strings.IndexByte(pattern, '{')
		j := strings.IndexByte(pattern, '}')
		if i < 0 || j < i {
			return names
		}
		if name := strings.TrimSuffix(pattern[i+1:j], "..."); name != "" && name != "$" {
			names = append(names, name)
		}
		pattern = pattern[j+1:]
	}
}

// httpError is an error that is told to the client.
type httpError struct {
	status  int
	message string
}

func (e *httpError) Error() string { return e.message }

// serve answers one request in the leased generation. The caller releases l.
func (l *lease) serve(w http.ResponseWriter, r *http.Request, env *environment, id string) {
	g := l.gen
	x := &exchange{app: g.app, gen: g, number: g.number, update: g.update, rec: g.record, env: env, lease: l, r: r, id: id, start: time.Now()}
	x.w = &responseWriter{ResponseWriter: w, exchange: x}
	w.Header()[headerGeneration] = g.record.header
	if !env.test {
		g.record.inflight.Add(1)
	}
	defer x.done()
	g.router.ServeHTTP(x.w, r)
}

// done answers for a handler that panicked, and counts the exchange.
func (x *exchange) done() {
	p := recover()
	if p != nil && p != http.ErrAbortHandler {
		x.env.log.Error("panic while serving a request", x.attrs(slog.Any("panic", p), slog.String("stack", string(debug.Stack())))...)
		x.fail(errors.New("internal error"))
	}
	if !x.env.test { // else it is not a request of anybody
		x.count(time.Since(x.start))
	}
	if p == http.ErrAbortHandler {
		panic(p) // net/http cuts the connection
	}
}

func (x *exchange) count(took time.Duration) {
	x.rec.requests.Add(1)
	if x.w.status >= 500 {
		x.rec.failed.Add(1)
		x.rec.window.failed.Add(1)
	}
	if !x.w.stream {
		x.rec.inflight.Add(-1)
		x.rec.window.add(took)
		x.observe(took)
	}
}

// observe reports the answered request; for a stream, its opening.
func (x *exchange) observe(took time.Duration) {
	if o := x.app.opt.Observer; o != nil {
		o.Request(x.r.Pattern, x.r.Method, max(x.w.status, http.StatusOK), x.number, took)
	}
}

// attrs are the log attributes of a request, with more behind.
func (x *exchange) attrs(more ...any) []any {
	return append([]any{
		slog.Int("generation", x.number), slog.String("update", x.update),
		slog.String("request", x.id), slog.String("method", x.r.Method), slog.String("path", x.r.URL.Path),
	}, more...)
}

// fail answers with an error. The client learns the status and a public
// message; the log gets the rest.
func (x *exchange) fail(err error) {
	status, message := http.StatusInternalServerError, "internal error"
	var he *httpError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &he):
		status, message = he.status, he.message
	case errors.As(err, &tooLarge):
		status, message = http.StatusRequestEntityTooLarge, "the request body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes"
	case x.r.Context().Err() != nil:
		status, message = 499, "the client went away"
	case script.KindOf(err) == script.Timeout:
		status, message = http.StatusGatewayTimeout, "time limit"
	}
	if status >= 500 {
		attrs := x.attrs(slog.Int("status", status), slog.String("error", err.Error()))
		if se := (*script.Error)(nil); errors.As(err, &se) && se.Frame != "" {
			attrs = append(attrs, slog.String("frame", se.Frame))
		}
		x.env.log.Error("request failed", attrs...)
	}
	if x.w.wrote {
		return
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	x.w.WriteHeader(status)
	body := append(appendJSONString([]byte(`{"error":`), message), `,"request":"`...)
	_, _ = x.w.Write(append(append(body, x.id...), "\"}\n"...))
}

// responseWriter notes what was sent and runs the middleware's "after"
// functions just before the head goes out.
type responseWriter struct {
	http.ResponseWriter
	exchange *exchange              // that it answers
	after    []func(status int) int // last added runs first
	status   int
	wrote    bool
	stream   bool
}

// WriteHeader sends the response head once.
func (w *responseWriter) WriteHeader(status int) {
	if w.wrote {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.wrote = true
	for i := len(w.after) - 1; i >= 0; i-- {
		status = w.after[i](status)
	}
	w.after = nil
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write sends part of the body.
func (w *responseWriter) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
