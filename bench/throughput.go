package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
)

const readHandler = `export default (req) => ({ id: req.params.id, qty: Number(req.query.qty ?? 1), agent: req.headers["user-agent"] });
`

// speedApp is an app with the handlers that are compared.
func speedApp(use string) map[string]string {
	return map[string]string{
		"theseus.yaml": "app: speed\napi: 1\nlisten: 127.0.0.1:0\n" + use +
			"routes:\n  GET /noop: handlers/noop.js\n  GET /read/{id}: handlers/read.js\n",
		"handlers/noop.js":   "export default () => \"ok\";\n",
		"handlers/read.js":   readHandler,
		"middleware/pass.js": "export default (req) => {};\n",
	}
}

// plain serves what the scripts do, written in Go.
func plain() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /noop", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("GET /read/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": r.PathValue("id"), "qty": 10, "q": r.URL.Query().Get("qty"), "agent": r.Header.Get("User-Agent")})
	})
	return mux
}

// A contestant is one server and path.
type contestant struct {
	name  string
	addr  string
	path  string
	want  string // in the answer
	rates []float64
}

// runHTTP compares requests per second. All servers run in this process with the
// same settings; each round measures every contestant for a moment, in random
// order, and the ratio is the median of the rounds' ratios.
func runHTTP(ctx context.Context, c config) (figures []Figure, err error) {
	servers, closeAll, err := startServers(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	const read = "/read/apple?qty=10"
	all := []*contestant{
		{name: "plain net/http, \"ok\"", addr: servers.plain, path: "/noop", want: "ok"},
		{name: "JS no-op", addr: servers.app, path: "/noop", want: "ok"},
		{name: "JS no-op behind JS middleware", addr: servers.middle, path: "/noop", want: "ok"},
		{name: "plain net/http, params + query + header to JSON", addr: servers.plain, path: read, want: `"apple"`},
		{name: "JS, params + query + header to JSON", addr: servers.app, path: read, want: `"apple"`},
	}
	for _, x := range all { // warm
		if _, err := x.measure(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
	for range c.pick(21, 5) {
		for _, i := range rand.Perm(len(all)) {
			rate, err := all[i].measure(ctx, 700*time.Millisecond)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			all[i].rates = append(all[i].rates, rate)
		}
	}
	figures = []Figure{
		atLeast("JS no-op against plain net/http", ratio(all[1], all[0]), "%", 60),
		fig("JS no-op behind JS middleware against plain net/http", ratio(all[2], all[0]), "%"),
		fig("JS reading and JSON against the same in Go", ratio(all[4], all[3]), "%"),
	}
	for _, x := range all {
		figures = append(figures, fig(x.name, quantile(x.rates, .5), "/s"))
	}
	return figures, nil
}

// ratio returns the median, over the rounds, of a's rate in percent of b's.
func ratio(a, b *contestant) float64 {
	list := make([]float64, len(a.rates))
	for i := range list {
		list[i] = 100 * a.rates[i] / b.rates[i]
	}
	return quantile(list, .5)
}

// connections is how many clients ask at the same time.
const connections = 16

// measure sends requests for a time and returns how many were answered per second.
func (x *contestant) measure(ctx context.Context, length time.Duration) (float64, error) {
	var wg sync.WaitGroup
	var total atomic.Int64
	errs := make(chan error, connections)
	clients := make([]*client, connections)
	for i := range clients {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", x.addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		clients[i] = newClient(conn, x.path)
		if err := clients[i].do(); err != nil {
			return 0, err
		}
		if got := string(clients[i].body); !strings.Contains(got, x.want) {
			return 0, fmt.Errorf("the answer is %q", got)
		}
	}
	runtime.GC()
	start := time.Now()
	end := start.Add(length)
	for _, cl := range clients {
		wg.Go(func() {
			n := int64(0)
			for ; n&15 != 0 || time.Now().Before(end); n++ {
				if err := cl.do(); err != nil {
					errs <- err
					return
				}
			}
			total.Add(n)
		})
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(total.Load()) / took.Seconds(), nil
}

// servers are the addresses of the three servers.
type servers struct{ plain, app, middle string }

func startServers(ctx context.Context) (s servers, closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	for use, addr := range map[string]*string{"": &s.app, "use: [middleware/pass.js]\n": &s.middle} {
		in, remove, err := startSpeed(ctx, use)
		if err != nil {
			return s, nil, err
		}
		closers = append(closers, func() error { defer remove(); return closeInstance(in) })
		*addr = strings.TrimPrefix(in.URL, "http://")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, nil, err
	}
	// The settings that the program's own server has.
	server := &http.Server{Handler: plain(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	go func() { _ = server.Serve(l) }()
	closers = append(closers, server.Close)
	s.plain = l.Addr().String()
	return s, closeAll, nil
}

func startSpeed(ctx context.Context, use string) (*instance.Instance, func(), error) {
	dir, remove, err := tempApp(memFS(speedApp(use)))
	if err != nil {
		return nil, nil, err
	}
	in, err := startInstance(ctx, dir, app.Options{NoSync: true})
	if err != nil {
		remove()
		return nil, nil, err
	}
	return in, remove, nil
}
