package upgrade

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A Conn is a connection that a handler took over from the server, or that a
// predecessor handed to a function given to [Upgrader.Resume]. It can be handed to
// the next process together with a state that says how to go on.
//
// One goroutine at a time may read, and one write.
type Conn struct {
	net.Conn
	u       *Upgrader
	kind    string
	movable bool

	mu     sync.Mutex
	unread []byte
	moving chan struct{}
}

// Hijack takes the connection of a request over from net/http, like
// http.Hijacker. It works for HTTP/1 only. Kind names what continues the
// connection in the next process; see [Upgrader.Resume]. The process waits for
// the connection to end when it drains, up to the deadline.
func (u *Upgrader) Hijack(w http.ResponseWriter, kind string) (*Conn, error) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("hijack: %w", err)
	}
	unread, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("hijack: %w", err)
	}
	own, secure := unwrapConn(c)
	return u.newConn(c, kind, unread, own != nil && !secure), nil
}

func (u *Upgrader) newConn(c net.Conn, kind string, unread []byte, movable bool) *Conn {
	h := &Conn{Conn: c, u: u, kind: kind, movable: movable,
		unread: append([]byte(nil), unread...), moving: make(chan struct{})}
	u.mu.Lock()
	defer u.mu.Unlock()
	if movable {
		u.movers[h] = struct{}{}
		if u.leaving.Load() && u.heir.Load() != nil {
			close(h.moving)
		}
	}
	return h
}

// Resume registers the function that continues connections of that kind which a
// predecessor hands over. It owns the connection and runs in a goroutine of its
// own. Register all before [Upgrader.Ready]; a connection of a kind that is not
// registered stays with the predecessor.
func (u *Upgrader) Resume(kind string, f func(c *Conn, state []byte)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.resumers[kind] = f
}

// offerMoves tells the holders of connections that a successor takes them.
func (u *Upgrader) offerMoves() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.heir.Load() == nil {
		return
	}
	for h := range u.movers {
		h.mu.Lock()
		select {
		case <-h.moving:
		default:
			close(h.moving)
		}
		h.mu.Unlock()
	}
}

// Moving returns a channel that is closed when the connection should be handed
// over with [Conn.Move]. It never is for a connection that cannot move.
func (c *Conn) Moving() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moving
}

// Read reads what net/http had read beyond the request, or the process before
// beyond what it used, and then from the connection.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if n := copy(p, c.unread); n > 0 {
		c.unread = c.unread[n:]
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()
	return c.Conn.Read(p)
}

// Move hands the connection to the successor, whose function for its kind gets
// state, and whose reads begin with unread: the bytes that were read here and not
// used. Nobody may be reading or writing. After nil the connection is the
// successor's and must not be touched; after an error it is unchanged and
// stays here until it ends. Moving is not offered a second time.
func (c *Conn) Move(state, unread []byte) error {
	next := c.u.heir.Load()
	c.mu.Lock()
	rest := append(append([]byte(nil), unread...), c.unread...)
	c.moving = make(chan struct{})
	c.mu.Unlock()
	own, _ := unwrapConn(c.Conn)
	if next == nil || own == nil || !c.movable {
		return fmt.Errorf("move: %w", errNotTaken)
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	if err := next.hand(wire.Connection{Kind: c.kind, Listener: c.u.nameThere(own.l), State: state, Unread: rest}, raw); err != nil {
		return fmt.Errorf("move: %w", err)
	}
	_ = c.Close() // the successor's end is open
	return nil
}

// CloseWrite ends what this side sends.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return fmt.Errorf("close for writing: %w", errors.ErrUnsupported)
}

// Close closes this process's end.
func (c *Conn) Close() error {
	c.u.mu.Lock()
	delete(c.u.movers, c)
	c.u.mu.Unlock()
	return c.Conn.Close()
}
