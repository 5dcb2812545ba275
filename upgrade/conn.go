package upgrade

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A conn is a connection that a [Listener] accepted. It knows at any time
// whether net/http waits on it for a request of which nothing has been read: only
// then can another process go on with it.
//
// That knowledge takes three facts. The server says when a request has ended
// (http.StateIdle). But it may hold bytes of the next one by then: in its buffer, so
// the wait counts only when the read asks for as many as the buffer has room for;
// or in its parser, so it counts only until the server sets the deadline with which
// it parses. What net/http does there is found out by idleWait.
type conn struct {
	net.Conn
	l     *Listener
	once  sync.Once
	moved atomic.Bool // it is another process's; the server may use it a moment longer
	other atomic.Bool // what the server writes here are no frames of HTTP/2

	frames frames // of HTTP/2, with TLS or without

	mu       sync.Mutex
	plain    bool          // net/http serves it as HTTP/1 without TLS
	multi    bool          // it carries HTTP/2
	secure   *secureConn   // with TLS, if its frames can be seen
	preface  int           // bytes seen that begin HTTP/2's connection preface
	phase    phase         //
	size     int           // bytes that the blocked read asked for; 0 if none is
	resets   int           // of the read deadline, since the connection was idle
	leaving  bool          // to be moved when it is idle
	staying  bool          // it cannot move: its next answer says so
	grace    time.Duration // it may be idle while it cannot move; 0 means for ever
	lapse    *time.Timer   // of the grace, while it is idle
	lapsed   bool          // the grace is over: reads fail
	deadline time.Time     // of reads, as net/http set it
	idler    time.Duration // it was idle in another process: how long it may be here; 0 for no such, below for ever
	header   time.Duration // what the server gives the next request's header, while idler counts
}

// A phase is where a connection is in the life that net/http gives it.
type phase uint8

const (
	fresh    phase = iota // nothing was ever read
	active                // a request is read, or answered
	idle                  // between requests
	hijacked              // no longer the server's
)

var (
	_ io.ReaderFrom = (*conn)(nil)
	_ syscall.Conn  = (*conn)(nil)
)

// errMoved ends net/http's wait on a connection that another process serves now.
// It is a time-out, since on that the server closes its end without an answer.
var errMoved = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}

// unwrapConn returns the conn below c, and whether there is TLS above it.
func unwrapConn(c net.Conn) (_ *conn, secure bool) {
	switch c := c.(type) {
	case *secureConn:
		return c.own, true
	case *tls.Conn:
		own, _ := c.NetConn().(*conn)
		return own, true
	}
	own, _ := c.(*conn)
	return own, false
}

// Read reads, or moves the connection to the successor when it is idle and the
// process drains.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if c.moved.Load() {
			return 0, errMoved
		}
		if c.beginRead(len(p)) {
			if c.settle(c.l.u.moveIdle(c)) {
				return 0, errMoved
			}
			continue
		}
		n, err := c.Conn.Read(p)
		if c.endRead(p[:n], err) {
			continue // the wait was broken off: leave
		}
		return n, err
	}
}

// beginRead notes that a read of size bytes begins and reports whether the
// connection is to be moved instead.
func (c *conn) beginRead(size int) (leave bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving && c.movable(size) {
		return true
	}
	c.size = size
	return false
}

// Write writes, unless the connection has moved.
func (c *conn) Write(p []byte) (int, error) {
	if c.moved.Load() {
		return 0, net.ErrClosed
	}
	if c.other.Load() {
		return c.Conn.Write(p)
	}
	return c.frames.write(c.Conn, p)
}

// settle notes whether the connection has moved.
func (c *conn) settle(moved bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved.Store(moved)
	c.staying = !moved
	return moved
}

// movable reports whether nothing has been read of the request that a read of
// size bytes waits for.
func (c *conn) movable(size int) bool {
	if !c.plain || c.staying || size == 0 {
		return false
	}
	return c.phase == fresh || c.phase == idle && wait{size, c.resets} == c.l.u.idle
}

// endRead notes what a read brought and reports whether it was broken off only
// because the connection is to be moved.
func (c *conn) endRead(got []byte, err error) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	broken := c.leaving && c.movable(c.size)
	c.size = 0
	if len(got) > 0 {
		c.sniff(got)
		if c.phase != hijacked {
			c.phase = active
		}
		c.roused()
		c.revive()
	}
	if !broken {
		return false
	}
	if !c.lapsed {
		_ = c.Conn.SetReadDeadline(c.deadline) // leave had put it into the past
	}
	return len(got) == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// unhurried returns the deadline of a read that waits for a request. The server takes
// a connection that was idle in another process for a new one, and would give its
// next request no more time to come than a header has.
func (c *conn) unhurried(t time.Time) time.Time {
	if c.idler == 0 || c.phase != fresh || t.IsZero() {
		return t
	}
	c.header = time.Until(t)
	if c.idler < 0 {
		return time.Time{}
	}
	return time.Now().Add(c.idler)
}

// roused ends that: the request has begun, and the rest of its header is due.
func (c *conn) roused() {
	if c.header > 0 {
		c.deadline = time.Now().Add(c.header)
		_ = c.Conn.SetReadDeadline(c.deadline)
	}
	c.idler, c.header = 0, 0
}

// http2Preface is how an HTTP/2 connection begins; no HTTP/1 method is PRI
// (RFC 9113, 3.4 and 11.6).
const (
	http2Preface = "PRI"
	wholePreface = http2Preface + " * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// sniff recognizes HTTP/2 without TLS, whose connections cannot move.
func (c *conn) sniff(got []byte) {
	for _, b := range got {
		if c.preface < 0 || c.preface == len(http2Preface) {
			return
		}
		if b != http2Preface[c.preface] {
			c.preface = -1
			c.other.Store(true)
			return
		}
		if c.preface++; c.preface == len(http2Preface) {
			c.plain, c.multi = false, true
			c.frames.due.Store(c.leaving)
		}
	}
}

// secured notes that TLS negotiated HTTP/2, and the connection above it if the frames
// can be seen there.
func (c *conn) secured(s *secureConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.multi = true
	if s != nil {
		c.secure = s
		c.frames.due.Store(c.leaving)
	}
}

// goAway is where to write GOAWAY; nil if that is left to the server, or the
// connection carries no HTTP/2.
func (c *conn) goAway() io.Writer {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.secure != nil:
		return c.secure.Conn
	case c.multi && !c.other.Load():
		return c.Conn
	}
	return nil
}

// http1 reports whether the server may read another HTTP/1 request from it.
func (c *conn) http1() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.multi && c.phase != hijacked
}

// serving notes a state that net/http reports for the connection.
func (c *conn) serving(s http.ConnState, secure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.plain = !secure
	case http.StateActive:
		c.phase = active
	case http.StateIdle:
		c.phase, c.resets = idle, 0
		c.watchIdle()
	case http.StateHijacked:
		c.phase, c.plain = hijacked, false
	}
}

// leave asks the connection to move as soon as it is idle, which may be now; of HTTP/2
// the client is told to go.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	c.frames.due.Store(c.multi)
	if c.movable(c.size) {
		_ = c.Conn.SetReadDeadline(past)
	}
}

// endIdle ends the connection once it has been idle for the grace, counted from now
// on or from when it becomes idle. Who is answered meanwhile starts anew.
func (c *conn) endIdle(grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grace = grace
	if c.phase == idle || c.phase == fresh {
		c.watchIdle()
	}
}

// revive undoes the end of the grace: a request has come, perhaps at that very
// moment. c.mu is held.
func (c *conn) revive() {
	if c.lapse != nil {
		c.lapse.Stop()
	}
	if c.lapsed {
		c.lapsed = false
		_ = c.Conn.SetReadDeadline(c.deadline)
	}
}

// watchIdle starts the grace. c.mu is held.
func (c *conn) watchIdle() {
	if c.grace == 0 || c.multi {
		return
	}
	if c.lapse != nil {
		c.lapse.Stop()
	}
	c.lapse = time.AfterFunc(c.grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.phase != idle && c.phase != fresh || c.multi || c.moved.Load() {
			return
		}
		c.lapsed = true
		_ = c.Conn.SetReadDeadline(past)
	})
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// told reports whether an answer on the connection must say that it is the last.
func (c *conn) told() bool {
	if c.goAway() != nil {
		return false // see frames
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving && (c.staying || !c.plain)
}

// kind names what the connection is used for, in the status.
func (c *conn) kind() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.phase == hijacked:
		return "hijacked"
	case c.multi:
		return "http2"
	case c.phase == active:
		return "active"
	}
	return "idle"
}

// SetReadDeadline keeps the deadline of net/http apart from the one that leave
// sets.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = c.unhurried(t)
	c.deadline = t
	c.resets++
	if c.lapsed {
		return nil
	}
	if c.leaving && c.movable(c.size) {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// Close closes this process's descriptor. A connection that was handed over goes
// on elsewhere.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.mu.Lock()
		if c.lapse != nil {
			c.lapse.Stop()
		}
		c.mu.Unlock()
		c.l.forget(c)
	})
	return err
}

// ReadFrom lets the system copy files and sockets to the connection.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if c.moved.Load() {
		return 0, net.ErrClosed
	}
	return io.Copy(c.Conn, r)
}

// CloseWrite sends the end of the stream; net/http does so before it closes a
// connection of which it has not read all.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok && !c.moved.Load() {
		return w.CloseWrite()
	}
	return nil
}

// NetConn returns the connection of package net, for socket options.
func (c *conn) NetConn() net.Conn { return c.Conn }

// SyscallConn gives access to the descriptor.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return rawConn(c.Conn) }

// rawConn returns the descriptor of v, which stays v's.
func rawConn(v any) (syscall.RawConn, error) {
	if s, ok := v.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, &net.OpError{Op: "raw", Err: errors.ErrUnsupported}
}
