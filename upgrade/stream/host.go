package stream

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Host takes over connections and hands them on; [Adapt] makes one of package
// upgrade's Upgrader. A nil Host is allowed: nothing ever moves then.
type Host interface {
	// Hijack takes over the connection of an HTTP/1 request. What the server
	// had read beyond the request comes first from the Conn's Read. On an error
	// the response can still be written in the usual way.
	Hijack(w http.ResponseWriter, kind string) (Conn, error)

	// Resume registers what continues the connections of a kind that a
	// predecessor handed over. The function is called in a goroutine of its
	// own and owns the Conn.
	Resume(kind string, f func(c Conn, state []byte))
}

// Conn is a connection that can be handed to the next process. If it has a
// method CloseWrite() error, the end of a stream is gentler to the client.
type Conn interface {
	net.Conn

	// Moving returns a channel that is closed once the connection should be
	// handed over, because the process drains. It returns the same channel
	// until a Move has failed and there is a new reason to try.
	Moving() <-chan struct{}

	// Move hands over the connection, the state and the unread bytes, which the
	// successor reads before anything that the Conn itself still holds. After
	// nil the connection belongs to the successor and must not be touched;
	// after an error it stays here, unharmed. No call on the Conn is under way
	// and no deadline is set when Move is called.
	Move(state, unread []byte) error
}

// localHost stands in for a nil Host.
type localHost struct{}

// Hijack implements Host.
func (localHost) Hijack(w http.ResponseWriter, _ string) (Conn, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	rest, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take over connection: %w", err), nc.Close())
	}
	return &localConn{Conn: nc, rest: rest}, nil
}

// Resume implements Host.
func (localHost) Resume(string, func(Conn, []byte)) {}

// localConn is a connection that stays. rest belongs to the reader.
type localConn struct {
	net.Conn
	rest []byte
}

// Read implements net.Conn.
func (c *localConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// CloseWrite closes the sending side where the connection can.
func (c *localConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Moving implements Conn.
func (c *localConn) Moving() <-chan struct{} { return nil }

// Move implements Conn.
func (c *localConn) Move(_, _ []byte) error {
	return fmt.Errorf("move connection without a host: %w", errors.ErrUnsupported)
}
