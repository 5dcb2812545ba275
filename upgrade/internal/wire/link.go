package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultTimeout is how long a frame may take to send unless [Link.SetTimeout]
// says otherwise.
const DefaultTimeout = 10 * time.Second

// farewell is how long telling the peer why the link ends may take.
const farewell = time.Second

// A Link sends and receives messages over a Unix stream socket. Its methods
// are safe for concurrent use. The zero value is not usable.
type Link struct {
	conn    *net.UnixConn
	timeout atomic.Int64 // nanoseconds

	sending sync.Mutex // held for a whole frame

	receiving sync.Mutex
	reader    frameReader // guarded by receiving

	mu    sync.Mutex
	cause error // guarded by mu: why the link has ended
	gone  error // guarded by mu: why nothing more can be sent
}

// New returns a link over c, which it owns from here on. A c that is not a
// stream socket, or a platform that cannot pass descriptors, makes a link whose
// methods return an error; see [Link.Err].
func New(c *net.UnixConn) *Link {
	l := &Link{conn: c}
	l.reader.src = newSocket(c)
	l.timeout.Store(int64(DefaultTimeout))
	if err := usable(c); err != nil {
		l.end(err)
	}
	return l
}

// FromFile returns a link over the socket f, such as the one that [Pair] made
// for a child. It takes f over and closes it, with an error too.
func FromFile(f *os.File) (*Link, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("link from file %s: %w", f.Name(), err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("link from file %s: not a Unix socket", f.Name())
	}
	l := New(u)
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("link from file %s: %w", f.Name(), err)
	}
	return l, nil
}

// SetTimeout sets how long a frame may take to send, from the next one on. Zero
// means [DefaultTimeout]; a negative d waits without limit.
func (l *Link) SetTimeout(d time.Duration) {
	if d == 0 {
		d = DefaultTimeout
	}
	l.timeout.Store(int64(d))
}

// Receive returns the next message and the descriptors that came with it. The
// caller owns the files and closes those that it does not want. They are
// close-on-exec, and blocking or not as the sender's are: the two share that
// flag. [Sockets] comes with one file each, [Connection] with one.
//
// Receive waits without limit; Close ends the wait. Messages of unknown kinds
// are skipped. It returns io.EOF when the peer has closed its end or died
// between two frames; sending may still work. Any other error ends the link:
// it wraps io.ErrUnexpectedEOF, [ErrMalformed], [ErrTooLarge], [ErrFilesLost],
// net.ErrClosed after Close, or what ended the link before.
func (l *Link) Receive() (Message, []*os.File, error) {
	l.receiving.Lock()
	defer l.receiving.Unlock()
	if err := l.Err(); err != nil {
		return nil, nil, fmt.Errorf("receive: %w", err)
	}
	m, fds, err := l.reader.next()
	if err == io.EOF {
		return nil, nil, io.EOF
	}
	if err != nil {
		return nil, nil, fmt.Errorf("receive: %w", l.fail(err))
	}
	return m, newFiles(m.kind(), fds), nil
}

// fail ends the link because of what was received, and returns the cause.
func (l *Link) fail(err error) error {
	if cause := l.Err(); cause != nil {
		return cause
	}
	if l.sending.TryLock() {
		l.tell(err)
		l.sending.Unlock()
	}
	return l.end(err)
}

// tell sends an abort if the peer reads. The caller holds sending.
func (l *Link) tell(reason error) {
	frame, err := encode(Abort{Reason: reason.Error()}, 0)
	if err != nil || l.conn.SetWriteDeadline(time.Now().Add(farewell)) != nil {
		return
	}
	// The link ends either way, so nothing is left to do about an error.
	_, _ = l.conn.Write(frame)
}

// Close ends the link and every call under way, and closes the socket. What was
// sent can still be received by the peer. Later calls do nothing.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return nil
	}
	l.cause = net.ErrClosed
	return l.conn.Close()
}

// Err returns why the link has ended, net.ErrClosed after Close, and nil while
// it is in use. The end of the peer's stream alone does not end it.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// end closes the socket because of err, unless something has before, and
// returns the cause.
func (l *Link) end(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = err
		l.conn.Close()
	}
	return l.cause
}

// Peer returns who is at the other end: the process that connected, or the one
// that listened. At both ends of a [Pair] that is the process that called Pair.
// A process id of 0 is one in a PID namespace that this process cannot see.
// The error wraps errors.ErrUnsupported where the system does not tell.
func (l *Link) Peer() (pid, uid, gid int, err error) {
	if err := l.Err(); err != nil {
		return 0, 0, 0, fmt.Errorf("peer: %w", err)
	}
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return 0, 0, 0, fmt.Errorf("peer: %w", err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) { pid, uid, gid, inner = peer(int(fd)) })
	if err = errors.Join(err, inner); err != nil {
		return 0, 0, 0, fmt.Errorf("peer: %w", err)
	}
	return pid, uid, gid, nil
}
