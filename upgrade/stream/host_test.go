package stream

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds what should take no time.
const patience = 60 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// fakeHost is one process's side: it really passes descriptors to the next one.
type fakeHost struct {
	t       testing.TB
	wg      sync.WaitGroup // resumed streams
	reads   atomic.Int64   // bytes that were read from connections
	resumed *counter
	ended   *counter // connections closed by their streams; shared with the next

	mu       sync.Mutex
	resumers map[string]func(Conn, []byte)
	moving   chan struct{}
	next     *fakeHost
	refuse   error
}

func newHost(t testing.TB) *fakeHost {
	h := &fakeHost{t: t, resumed: newCounter(t), ended: newCounter(t), resumers: map[string]func(Conn, []byte){}, moving: make(chan struct{})}
	t.Cleanup(h.wg.Wait)
	return h
}

// Hijack implements Host.
func (h *fakeHost) Hijack(w http.ResponseWriter, kind string) (Conn, error) {
	c, err := localHost{}.Hijack(w, kind)
	if err != nil {
		return nil, err
	}
	lc := c.(*localConn)
	tcp, ok := lc.Conn.(*net.TCPConn)
	if !ok {
		h.t.Errorf("hijacked a %T", lc.Conn)
		return nil, errors.ErrUnsupported
	}
	return &fakeConn{TCPConn: tcp, h: h, kind: kind, rest: append([]byte(nil), lc.rest...)}, nil
}

// Resume implements Host.
func (h *fakeHost) Resume(kind string, f func(Conn, []byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resumers[kind] = f
}

// drain offers every connection to next.
func (h *fakeHost) drain(next *fakeHost) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = next
	close(h.moving)
}

// stay ends the drain.
func (h *fakeHost) stay() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next, h.moving = nil, make(chan struct{})
}

// reject makes moves fail; nil lets them through.
func (h *fakeHost) reject(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = err
}

// hop moves n connections to next and waits until they run there.
func (h *fakeHost) hop(next *fakeHost, n int) {
	h.t.Helper()
	before := next.resumed.value()
	h.drain(next)
	next.resumed.wait(before + n)
	h.stay()
}

// fakeConn checks what Conn demands of its user.
type fakeConn struct {
	*net.TCPConn
	h     *fakeHost
	kind  string
	rest  []byte
	moved atomic.Bool
	busy  atomic.Int32
}

func (c *fakeConn) use() func() {
	if c.moved.Load() {
		c.h.t.Error("connection used after it had moved")
	}
	c.busy.Add(1)
	return func() { c.busy.Add(-1) }
}

// Read implements net.Conn.
func (c *fakeConn) Read(p []byte) (n int, err error) {
	defer c.use()()
	if len(c.rest) > 0 {
		n = copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	n, err = c.TCPConn.Read(p)
	c.h.reads.Add(int64(max(n, 0)))
	return n, err
}

// Write implements net.Conn.
func (c *fakeConn) Write(p []byte) (int, error) {
	defer c.use()()
	return c.TCPConn.Write(p)
}

// Close implements net.Conn.
func (c *fakeConn) Close() error {
	defer c.use()()
	defer c.h.ended.add()
	return c.TCPConn.Close()
}

// Moving implements Conn.
func (c *fakeConn) Moving() <-chan struct{} {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	return c.h.moving
}

// Move implements Conn.
func (c *fakeConn) Move(state, unread []byte) error {
	if n := c.busy.Load(); n != 0 {
		c.h.t.Errorf("%d calls under way during a move", n)
	}
	c.h.mu.Lock()
	next, refuse := c.h.next, c.h.refuse
	c.h.mu.Unlock()
	if refuse != nil || next == nil {
		return errors.Join(errors.New("nobody takes it"), refuse)
	}
	passed, err := pass(c.TCPConn)
	if err != nil {
		return err
	}
	c.moved.Store(true)
	if err := c.TCPConn.Close(); err != nil {
		c.h.t.Errorf("close after the move: %v", err)
	}
	next.take(c.kind, passed, state, append(append([]byte(nil), unread...), c.rest...))
	return nil
}

// take continues a connection.
func (h *fakeHost) take(kind string, c net.Conn, state, unread []byte) {
	h.mu.Lock()
	f := h.resumers[kind]
	h.mu.Unlock()
	h.wg.Go(func() {
		h.resumed.add()
		f(&fakeConn{TCPConn: c.(*net.TCPConn), h: h, kind: kind, rest: unread}, state)
	})
}

// counter is a number that tests wait for.
type counter struct {
	t    testing.TB
	mu   sync.Mutex
	cond *sync.Cond
	n    int
}

func newCounter(t testing.TB) *counter {
	c := &counter{t: t}
	c.cond = sync.NewCond(&c.mu)
	return c
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.cond.Broadcast()
}

func (c *counter) value() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// wait blocks until the counter is at least n.
func (c *counter) wait(n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cond.Broadcast()
	})()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n < n {
		if ctx.Err() != nil {
			c.t.Fatalf("counter is %d, want %d", c.n, n)
		}
		c.cond.Wait()
	}
}

// serve starts a server for the handler.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// await fails the test if ch does not become ready.
func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing happened", what)
		panic("unreachable")
	}
}
