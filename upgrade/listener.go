package upgrade

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Listener is a net.Listener whose socket outlives the process. It can pause,
// which leaves what arrives in the kernel's queue, and it delivers connections
// that a predecessor hands over beside those it accepts.
//
// Its methods are safe for concurrent use.
type Listener struct {
	u         *Upgrader
	name      string
	former    string // the name that the socket had in the predecessor
	requested string // the address that was asked for, with its network
	inner     socketListener
	file      socketFile
	server    server // what accepts from it; nil if that is not ours. Set before it accepts

	wake chan struct{} // has room for one: something waits in ready or failed
	done chan struct{}
	once sync.Once

	mu        sync.Mutex
	changed   sync.Cond // on mu; of paused, accepting, closed
	paused    bool
	accepting bool // the loop is in the kernel, or holds a connection
	started   bool
	closed    bool
	ready     []net.Conn
	failed    []error
	conns     map[*conn]struct{}
}

// A socketListener is what *net.TCPListener and *net.UnixListener have in common.
type socketListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

func newListener(u *Upgrader, name, requested string, inner socketListener, paused bool) *Listener {
	l := &Listener{u: u, name: name, requested: requested, inner: inner, paused: paused,
		wake: make(chan struct{}, 1), done: make(chan struct{}), conns: make(map[*conn]struct{})}
	l.changed.L = &l.mu
	return l
}

// Name is the name under which a successor finds the socket.
func (l *Listener) Name() string { return l.name }

// Addr is the address that the socket is bound to.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// SyscallConn gives access to the listening socket, for socket options.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.inner.SyscallConn() }

// Accept waits for a connection. While the listener is paused it waits on.
func (l *Listener) Accept() (net.Conn, error) {
	if s, ok := l.server.(*httpServer); ok {
		s.watching.Do(s.watchSecure)
	}
	l.start()
	for {
		c, err, more := l.take()
		if more {
			l.signal()
		}
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-l.wake:
		case <-l.done:
			if c, err, _ := l.take(); c != nil || err != nil { // see shut
				return c, err
			}
			return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
		}
	}
}

// start begins to accept when the first caller waits.
func (l *Listener) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.closed {
		return
	}
	l.started = true
	go l.loop()
}

func (l *Listener) take() (c net.Conn, err error, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.ready) > 0:
		c, l.ready = l.ready[0], l.ready[1:]
	case len(l.failed) > 0:
		err, l.failed = l.failed[0], l.failed[1:]
	}
	if len(l.ready) == 0 {
		l.changed.Broadcast()
	}
	return c, err, len(l.ready)+len(l.failed) > 0
}

func (l *Listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// loop accepts until the listener closes.
func (l *Listener) loop() {
	for l.enter() {
		c, err := l.inner.Accept()
		if c == nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)) {
			l.exit(nil, nil)
			continue
		}
		l.exit(c, err)
	}
}

// enter waits until the loop may accept; false when the listener has closed.
// One connection at most waits to be taken: the rest is better off in the
// kernel's queue, which a successor shares.
func (l *Listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepting = false
	l.changed.Broadcast()
	for (l.paused || len(l.ready)+len(l.failed) > 0) && !l.closed {
		l.changed.Wait()
	}
	l.accepting = !l.closed
	return l.accepting
}

// exit delivers what the kernel returned.
func (l *Listener) exit(c net.Conn, err error) {
	if c != nil {
		l.accepted(c)
	} else if err != nil {
		l.mu.Lock()
		l.failed = append(l.failed, err)
		l.mu.Unlock()
		l.signal()
	}
}

// accepted gives a connection that came from the kernel to the callers of Accept.
func (l *Listener) accepted(inner net.Conn) {
	if !l.add(&conn{Conn: inner, l: l}, true) {
		inner.Close()
	}
}

// deliver gives a connection that another process had to the callers of Accept. It
// reports false when the listener has closed.
func (l *Listener) deliver(inner net.Conn) bool {
	c := &conn{Conn: inner, l: l}
	if s, ok := l.server.(*httpServer); ok {
		c.idler = s.idleTimeout()
	}
	return l.add(c, true)
}

// add counts a connection among the listener's, and queues it for Accept, unless
// the listener has closed.
func (l *Listener) add(c *conn, queue bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns[c] = struct{}{}
	if queue {
		l.ready = append(l.ready, c)
		l.signal()
	}
	return true
}

// pause stops accepting and waits until every connection that was accepted has been
// taken by Accept. The wait ends with ctx; with patience it ends too, but for a
// connection that is on its way from the kernel. The socket stays open.
func (l *Listener) pause(ctx, patience context.Context) error {
	defer context.AfterFunc(ctx, l.broadcast)()
	defer context.AfterFunc(patience, l.broadcast)()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = true
	_ = l.inner.SetDeadline(past)
	for l.paused && !l.closed && ctx.Err() == nil && (l.accepting || len(l.ready) > 0 && patience.Err() == nil) {
		l.changed.Wait()
	}
	return ctx.Err()
}

// resume accepts again, beginning with what has queued up meanwhile.
func (l *Listener) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = false
	_ = l.inner.SetDeadline(time.Time{})
	l.changed.Broadcast()
}

// finish accepts what waits in the kernel's queue of a paused listener that no
// other process accepts from, and waits until all of it has been taken by Accept.
func (l *Listener) finish(ctx context.Context) {
	for ctx.Err() == nil && readable(l.inner) {
		_ = l.inner.SetDeadline(time.Now().Add(time.Second)) // what waits may go away
		c, err := l.inner.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			break
		}
		l.accepted(c)
	}
	_ = l.pause(ctx, ctx)
}

func (l *Listener) broadcast() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

// Close ends this process's use of the socket; the connections stay, but for those
// that nobody has taken by Accept. The address is free once no process of the service
// holds the socket. It may be called twice.
func (l *Listener) Close() error {
	err := l.shut()
	l.mu.Lock()
	ready := l.ready
	l.ready = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	for _, c := range ready {
		c.Close()
	}
	return err
}

// shut is Close that leaves to Accept what waits to be taken: a predecessor may have
// handed it over since the pause.
func (l *Listener) shut() (err error) {
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.changed.Broadcast()
		l.mu.Unlock()
		close(l.done)
		err = l.inner.Close()
		l.u.socketsChanged()
	})
	return err
}

// forget drops a closed connection.
func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.u.connGone()
}

// any reports whether there is a connection of that kind.
func (l *Listener) any(which func(*conn) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if which(c) {
			return true
		}
	}
	return false
}

// open returns the connections.
func (l *Listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	return all
}
