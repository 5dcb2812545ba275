package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Mix says which clients there are, and how much they ask together.
type Mix struct {
	Rate    float64 `json:"rate"`    // requests per second of Keep, Fresh, HTTP2 and GRPC together
	Keep    int     `json:"keep"`    // clients that POST on a kept connection; every other one looks first whether it was closed
	Fresh   int     `json:"fresh"`   // clients that open a connection per request
	Slow    int     `json:"slow"`    // clients that ask for /slow without a pause
	Finite  int     `json:"finite"`  // streams of server-sent events that end by themselves
	Endless int     `json:"endless"` // streams that do not
	Sockets int     `json:"sockets"` // WebSockets
	HTTP2   int     `json:"http2"`   // HTTP/2 connections with prior knowledge
	GRPC    int     `json:"grpc"`    // gRPC connections with unary calls
	Ticks   int     `json:"ticks"`   // gRPC connections with calls whose answer is a stream that ends by itself
}

// full is the load of the comparison.
func full(rate float64) Mix {
	return Mix{Rate: rate, Keep: 64, Fresh: 16, Slow: 8, Finite: 16, Endless: 16, Sockets: 16, HTTP2: 8}
}

// light is the load of the long run: enough to see that nothing is lost.
func light() Mix { return Mix{Rate: 100, Keep: 8, Fresh: 2, Finite: 2, HTTP2: 1} }

const (
	slowPath   = "/slow?ms=300"
	finiteTick = 15 // events of a stream that ends by itself: 1.5 s
	// of a gRPC call: as long
	finiteTicks = 75
	// share of the rate that goes to clients with a connection per request and
	// to those that speak HTTP/2; the rest is that of the kept connections
	freshShare, http2Share = .15, .15
	bodySize               = 256 // bytes of a POST
)

// Traffic is load that is being applied to a server.
type Traffic struct {
	addr   string
	rec    *Recorder
	start  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startTraffic applies load until ctx ends or stop is called. service is where
// gRPC calls go.
func startTraffic(ctx context.Context, addr string, m Mix, service string, rec *Recorder) *Traffic {
	ctx, cancel := context.WithCancel(ctx)
	t := &Traffic{addr: addr, rec: rec, start: time.Now(), cancel: cancel}
	fresh, second := 0.0, 0.0
	if m.Fresh > 0 {
		fresh = m.Rate * freshShare
	}
	if m.HTTP2 > 0 {
		second = m.Rate * http2Share
	}
	for i := range m.Keep {
		p := newPace(t.start, i, m.Keep, m.Rate-fresh-second, rec.skip)
		t.wg.Go(func() { t.keep(ctx, p, i%2 == 0) })
	}
	for i := range m.Fresh {
		p := newPace(t.start, i, m.Fresh, fresh, rec.skip)
		t.wg.Go(func() { t.fresh(ctx, p) })
	}
	for i := range m.HTTP2 {
		p := newPace(t.start, i, m.HTTP2, second, rec.skip)
		t.wg.Go(func() { t.paced(ctx, p, "http2", newHTTP2(addr)) })
	}
	for i := range m.GRPC {
		p := newPace(t.start, i, m.GRPC, m.Rate, rec.skip)
		t.wg.Go(func() { t.paced(ctx, p, "grpc", newGRPC(addr, service)) })
	}
	for range m.Ticks {
		t.wg.Go(func() { t.ticks(ctx, service) })
	}
	for range m.Slow {
		t.wg.Go(func() { t.slow(ctx) })
	}
	for i := range m.Finite { // one after the other, so that some end at any time
		t.wg.Go(func() {
			sleep(ctx, time.Duration(i)*100*time.Millisecond)
			t.stream(ctx, finite, finiteTick)
		})
	}
	for range m.Endless {
		t.wg.Go(func() { t.stream(ctx, endless, 0) })
	}
	for range m.Sockets {
		t.wg.Go(func() { t.socket(ctx) })
	}
	return t
}

// stop ends the load and waits until every connection is closed. Requests under
// way may still end.
func (t *Traffic) stop() {
	t.cancel()
	t.wg.Wait()
}

// keep posts on a connection that it keeps. A client that looks sees an end that
// came before its request; one that does not is told by an error, as every client
// is when the end comes while its request is under way.
func (t *Traffic) keep(ctx context.Context, p *pace, looks bool) {
	c := newClient(t.addr)
	defer c.close()
	name := "keep-blind"
	if looks {
		name = "keep"
	}
	for n := 0; ; n++ {
		begin, ok := p.next(ctx)
		if !ok {
			return
		}
		if looks && c.conn != nil && closedByPeer(c.conn) {
			t.rec.closedIdle()
			c.close()
		}
		f := t.post(c, n)
		if f == nil && c.conn == nil {
			t.rec.closedTold()
		}
		t.result(name, begin, f, true)
	}
}

// fresh posts on a new connection each time, and closes it after the answer.
func (t *Traffic) fresh(ctx context.Context, p *pace) {
	c := newClient(t.addr)
	for n := 0; ; n++ {
		begin, ok := p.next(ctx)
		if !ok {
			return
		}
		f := t.post(c, n)
		c.close()
		t.result("fresh", begin, f, true)
	}
}

// post sends one request whose answer must be its body.
func (t *Traffic) post(c *client, n int) *Failure {
	body, last := payload(n), c.last
	a, f := c.do(context.Background(), "/", body)
	if f == nil && !bytes.Equal(a.body, body) {
		f = wrongEcho(a, last)
		c.close()
	}
	return f
}

func wrongEcho(a *answer, last int) *Failure {
	f := failed(Wrong, "the answer is %.40q, not what was sent", a.body)
	f.PID, f.LastID = a.pid, last
	return f
}

// payload is a body that no other request of the client has.
func payload(n int) []byte {
	return []byte(fmt.Sprintf("%-*s", bodySize, fmt.Sprintf("request %d %s", n, strings.Repeat("x", n%32))))
}

// slow asks without a pause for answers that take their time.
func (t *Traffic) slow(ctx context.Context) {
	c := newClient(t.addr)
	defer c.close()
	for ctx.Err() == nil {
		if c.conn != nil && closedByPeer(c.conn) {
			t.rec.closedIdle()
			c.close()
		}
		begin := time.Now()
		_, f := c.do(context.Background(), slowPath, nil)
		t.result("slow", begin, f, false)
		if f != nil {
			sleep(ctx, retryAfter)
		}
	}
}

// retryAfter is the pause of a client without a pace after a failure.
const retryAfter = 100 * time.Millisecond

func (t *Traffic) result(client string, begin time.Time, f *Failure, timed bool) {
	if f != nil {
		t.rec.failed(client, f)
		return
	}
	t.rec.answered(begin, timed)
}
