// Package load sends traffic to an HTTP server and counts honestly what becomes
// of it. It is what drives `theseus demo` and `theseus run --demo`.
//
// Every request is sent once. A kept-alive connection that the server closes
// under a request is a failure here, where [net/http.Transport] would silently
// send the request again; that is why this package speaks HTTP/1.1 itself, on
// plain connections. Streams of server-sent events stay open until the load
// ends, and one that the server ends earlier is broken.
//
// Start with [Run], or with [New], [Generator.Run] and [Generator.Snapshot] to
// watch it work. All methods of a Generator are safe for concurrent use.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a [Generator].
type Options struct {
	// Base is where the server is: "http://host:port".
	Base string

	// Profile is what the shoppers do; see [ShopProfile] and [AutoProfile].
	Profile Profile

	// Rate is the number of requests per second, of all shoppers together. Zero
	// means 200; a negative rate sends as fast as the shoppers can.
	Rate float64

	// Shoppers is the number of sessions. Each has one connection, which it
	// keeps, and one request under way at most. Zero means 16.
	Shoppers int

	// Streams is the number of event streams held open on StreamPath.
	Streams int

	// StreamPath overrides the profile's path of the event stream.
	StreamPath string

	// Duration ends the load by itself. Zero goes on until the context ends.
	Duration time.Duration

	// Requests ends the load after so many requests. Zero means no bound.
	Requests int64

	// Timeout bounds one request, with connecting. Zero means 10 seconds.
	Timeout time.Duration

	// Grace is how long requests under way may still take when the load ends.
	// Zero means one second. What is cut off then counts as unfinished.
	Grace time.Duration

	// Seed makes the shoppers' choices repeatable.
	Seed uint64

	// OnResponse is told the result of every request, from the shoppers'
	// goroutines. It must be quick and safe for concurrent use. May be nil.
	OnResponse func(Result)

	// dial replaces the connecting, for tests.
	dial func(context.Context) (net.Conn, error)
}

// maxBehind is how far the load may fall behind its schedule before requests
// are given up; it bounds the burst after the server stood still.
const maxBehind = 2 * time.Second

// A Generator is one run of load.
type Generator struct {
	opt      Options
	host     string // host:port of Base
	tally    tally
	slots    atomic.Int64 // requests scheduled so far
	start    time.Time    // set by Run before any shopper begins
	interval time.Duration
	started  atomic.Bool
}

// New checks opt and returns a Generator that has not begun.
func New(opt Options) (*Generator, error) {
	u, err := url.Parse(opt.Base)
	switch {
	case err != nil:
		return nil, fmt.Errorf("load: base address: %w", err)
	case u.Scheme != "http" || u.Host == "" || u.Path != "" && u.Path != "/":
		return nil, fmt.Errorf("load: base address %q: want http://host:port", opt.Base)
	}
	opt.Rate = cmp.Or(opt.Rate, 200)
	opt.Shoppers = cmp.Or(opt.Shoppers, 16)
	opt.Timeout = cmp.Or(opt.Timeout, 10*time.Second)
	opt.Grace = cmp.Or(opt.Grace, time.Second)
	opt.StreamPath = cmp.Or(opt.StreamPath, opt.Profile.StreamPath)
	switch {
	case opt.Shoppers < 0 || opt.Streams < 0 || opt.Requests < 0 || opt.Timeout < 0 || opt.Grace < 0 || opt.Duration < 0:
		return nil, errors.New("load: only the rate may be negative")
	case opt.Profile.Session == nil:
		return nil, errors.New("load: no profile: what should the shoppers do?")
	case opt.Streams > 0 && opt.StreamPath == "":
		return nil, errors.New("load: streams without a stream path")
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	g := &Generator{opt: opt, host: host}
	if opt.Rate > 0 {
		g.interval = max(1, time.Duration(float64(time.Second)/opt.Rate))
	}
	if g.opt.dial == nil {
		g.opt.dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", host)
		}
	}
	return g, nil
}

// Run sends load as opt says, until ctx, opt.Duration or opt.Requests ends it,
// and returns the final report. A failed request is no error of Run.
func Run(ctx context.Context, opt Options) (*Report, error) {
	g, err := New(opt)
	if err != nil {
		return nil, err
	}
	if err := g.Run(ctx); err != nil {
		return nil, err
	}
	r := g.Snapshot()
	return &r, nil
}

// Run sends the load and returns once it has ended and all its connections are
// closed. It may be called once.
func (g *Generator) Run(ctx context.Context) error {
	if g.started.Swap(true) {
		return errors.New("load: this generator has run already")
	}
	if g.opt.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.opt.Duration)
		defer cancel()
	}
	g.start = time.Now()
	g.tally.begin(g.start)
	defer g.tally.end()

	streaming, stop := context.WithCancel(ctx)
	var streams, shoppers sync.WaitGroup
	for range g.opt.Streams {
		streams.Go(func() { g.stream(streaming) })
	}
	for i := range g.opt.Shoppers {
		shoppers.Go(func() { g.shop(ctx, i) })
	}
	shoppers.Wait()
	stop()
	streams.Wait()
	return nil
}

// Snapshot returns the report so far.
func (g *Generator) Snapshot() Report { return g.tally.report() }

// shop is the life of one shopper.
func (g *Generator) shop(ctx context.Context, n int) {
	random := rand.New(rand.NewPCG(g.opt.Seed, uint64(n)))
	session := g.opt.Profile.Session(n)
	c := newClient(g.host, g.opt.dial)
	defer c.close()
	defer context.AfterFunc(ctx, func() { c.endBy(time.Now().Add(g.opt.Grace)) })()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for g.next(ctx, timer) {
		step := session.Next(random)
		begun := time.Now()
		resp, err := c.do(ctx, step, begun.Add(g.opt.Timeout))
		res := Result{Method: step.Method, Path: step.Path, Response: resp, Latency: time.Since(begun)}
		if ctx.Err() != nil && c.cutOff(err) {
			g.tally.unfinished()
			return
		}
		res.Class, res.Err = g.judge(step, resp, err)
		g.tally.request(&res)
		if g.opt.OnResponse != nil {
			g.opt.OnResponse(res)
		}
	}
}

// next waits until the next request is due and reports whether there is one.
// The schedule is one for all shoppers and fixed at the start, so that it
// neither drifts nor slows down with the server.
func (g *Generator) next(ctx context.Context, timer *time.Timer) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		slot := g.slots.Add(1) - 1
		if g.opt.Requests > 0 && slot >= g.opt.Requests {
			return false
		}
		if g.interval == 0 {
			return true
		}
		due := g.start.Add(time.Duration(slot) * g.interval)
		wait := time.Until(due)
		if -wait > maxBehind {
			g.tally.skipped(-wait)
			continue
		}
		if wait <= 0 {
			g.tally.late(-wait)
			return true
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
