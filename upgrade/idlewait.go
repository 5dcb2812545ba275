package upgrade

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A wait is what a connection sees when net/http waits for the next request and
// holds nothing of it yet.
type wait struct {
	size   int // bytes that it asks for
	resets int // of the read deadline since it said that the connection is idle
}

// idleWait finds out how this version of net/http waits, by serving one request.
// Should another wait in another way, the result fits no read, and connections
// are told to close in place of moving.
func idleWait() wait {
	c := &probe{in: strings.NewReader("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				c.mu.Lock()
				c.idle, c.resets = true, 0
				c.mu.Unlock()
			}
		},
	}
	done := make(chan struct{})
	c.closed = func() { close(done) }
	_ = srv.Serve(&probeListener{c: c}) // ends when there is no second connection
	<-done
	return c.found
}

// A probe is a connection that sends a request and notes the read that follows
// its answer.
type probe struct {
	in     *strings.Reader
	closed func()
	found  wait

	mu     sync.Mutex // net/http reads in the background while it answers
	idle   bool
	resets int
}

func (c *probe) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle && c.found.size == 0 {
		c.found = wait{len(p), c.resets}
	}
	return c.in.Read(p)
}

func (c *probe) SetReadDeadline(time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resets++
	return nil
}

func (c *probe) Close() error {
	if c.closed != nil {
		c.closed()
		c.closed = nil
	}
	return nil
}

func (*probe) Write(p []byte) (int, error)      { return len(p), nil }
func (*probe) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*probe) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*probe) SetDeadline(time.Time) error      { return nil }
func (*probe) SetWriteDeadline(time.Time) error { return nil }

// A probeListener accepts one connection.
type probeListener struct{ c *probe }

func (l *probeListener) Accept() (net.Conn, error) {
	if l.c == nil {
		return nil, io.EOF
	}
	c := l.c
	l.c = nil
	return c, nil
}

func (*probeListener) Close() error   { return nil }
func (*probeListener) Addr() net.Addr { return &net.TCPAddr{} }
