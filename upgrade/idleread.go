package upgrade

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// idleReadSize returns how many bytes net/http asks for when it waits for the next
// request and holds nothing of it yet. It is found by serving one request. Should
// another version of net/http wait in another way, the size never fits a read, and
// connections are told to close in place of moving.
func idleReadSize() int {
	c := &probe{in: strings.NewReader("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				c.idle = true
			}
		},
	}
	done := make(chan struct{})
	c.closed = func() { close(done) }
	_ = srv.Serve(&probeListener{c: c}) // ends when there is no second connection
	<-done
	return c.size
}

// A probe is a connection that sends a request and notes the read that follows
// its answer. Only one goroutine of net/http uses it at a time.
type probe struct {
	in     *strings.Reader
	idle   bool
	size   int
	closed func()
}

func (c *probe) Read(p []byte) (int, error) {
	if c.idle && c.size == 0 {
		c.size = len(p)
	}
	return c.in.Read(p)
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
func (*probe) SetReadDeadline(time.Time) error  { return nil }
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
