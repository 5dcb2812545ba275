package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A mover hands connections over a link, and waits for the answers.
type mover struct {
	link *wire.Link

	mu      sync.Mutex
	nextID  uint64
	answers map[uint64]chan wire.Taken // nil once the link has ended
}

func newMover(link *wire.Link) *mover {
	return &mover{link: link, answers: map[uint64]chan wire.Taken{}}
}

// errNotTaken means that a connection is still this process's.
var errNotTaken = errors.New("not taken by the other process")

// hand passes a connection on. The error wraps errNotTaken when it stays here.
//
// There is no time-out: as long as the other process lives it may have the
// connection already, and two must never read from it.
func (m *mover) hand(c wire.Connection, raw syscall.RawConn) error {
	answer := make(chan wire.Taken, 1)
	m.mu.Lock()
	if m.answers == nil {
		m.mu.Unlock()
		return errNotTaken
	}
	m.nextID++
	c.ID = m.nextID
	m.answers[c.ID] = answer
	m.mu.Unlock()
	if err := m.link.SendConn(c, raw); err != nil {
		m.mu.Lock()
		delete(m.answers, c.ID)
		m.mu.Unlock()
		return fmt.Errorf("%w: %w", errNotTaken, err)
	}
	taken, ok := <-answer
	switch {
	case !ok:
		return fmt.Errorf("%w: it has gone", errNotTaken)
	case !taken.OK:
		return fmt.Errorf("%w: %s", errNotTaken, taken.Reason)
	}
	return nil
}

// taken passes an answer to who waits for it.
func (m *mover) taken(t wire.Taken) {
	m.mu.Lock()
	answer := m.answers[t.ID]
	delete(m.answers, t.ID)
	m.mu.Unlock()
	if answer != nil {
		answer <- t
	}
}

// lost tells those who wait that the link has ended.
func (m *mover) lost() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.answers {
		close(a)
	}
	m.answers = nil
}

// moveIdle hands an idle HTTP/1 connection to the heir.
func (u *Upgrader) moveIdle(c *conn) bool {
	heir := u.heir.Load()
	if heir == nil {
		return false
	}
	raw, err := c.SyscallConn()
	return err == nil && heir.hand(wire.Connection{Listener: u.nameThere(c.l)}, raw) == nil
}

// nameThere is the name of l's socket in the process that connections go to.
func (u *Upgrader) nameThere(l *Listener) string {
	if u.running.Load() == nil && l.former != "" {
		return l.former // back to the predecessor
	}
	return l.name
}

// take serves a connection that came over link, or says why not. Not a byte is read
// before the answer is written: if it cannot be, the other process may read on. Only
// when that is dead, which dead waits for, is the connection certainly this one's.
func (u *Upgrader) take(link *wire.Link, m wire.Connection, file *os.File, dead func()) {
	u.adopting.Add(1)
	defer func() {
		u.adopting.Add(-1)
		u.connGone()
	}()
	defer file.Close()
	c, err := u.adopt(m, file)
	if err != nil {
		_ = link.Send(wire.Taken{ID: m.ID, Reason: err.Error()})
		return
	}
	err = link.Send(wire.Taken{ID: m.ID, OK: true})
	if errors.Is(err, wire.ErrGone) || errors.Is(err, net.ErrClosed) { // by who reads the link, and has seen its end
		dead()
		err = nil
	}
	switch {
	case c == nil: // it went on to the next process
	case err != nil:
		c.inner.Close()
	default:
		c.serve(u)
	}
}

// An adopted connection is about to be served here.
type adopted struct {
	wire.Connection
	inner  net.Conn
	l      *Listener
	resume func(*Conn, []byte) // nil for HTTP/1 between requests
}

// adopt prepares to serve a connection that was handed over. When this process
// itself drains the connection goes on to the next one, and the result is nil.
func (u *Upgrader) adopt(m wire.Connection, file *os.File) (*adopted, error) {
	if next := u.heir.Load(); next != nil {
		raw, err := file.SyscallConn()
		if err != nil {
			return nil, err
		}
		return nil, next.hand(m, raw)
	}
	l := u.listener(m.Listener)
	if l == nil && u.heir.Load() != nil { // it has closed this moment
		return u.adopt(m, file)
	}
	if l == nil {
		return nil, fmt.Errorf("nothing listens as %q in this version", m.Listener)
	}
	u.mu.Lock()
	resume := u.resumers[m.Kind]
	u.mu.Unlock()
	if m.Kind != "" && resume == nil {
		return nil, fmt.Errorf("connections of kind %q are unknown in this version", m.Kind)
	}
	if _, ok := l.server.(*httpServer); !ok && m.Kind == "" {
		return nil, fmt.Errorf("%q does not serve HTTP in this version", m.Listener)
	}
	inner, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return &adopted{Connection: m, inner: inner, l: l, resume: resume}, nil
}

// serve begins to use the connection. If the process has begun to drain since it
// was adopted, it moves on like the others.
func (a *adopted) serve(u *Upgrader) {
	if a.resume == nil {
		if !a.l.deliver(a.inner) {
			a.forward(u)
		}
		return
	}
	c := &conn{Conn: a.inner, l: a.l, phase: hijacked}
	c.other.Store(true)
	if !a.l.add(c, false) {
		a.forward(u)
		return
	}
	go a.resume(u.newConn(c, a.Kind, a.Unread, true), a.State)
}

// forward hands the connection to the heir, and closes it here in any case.
func (a *adopted) forward(u *Upgrader) {
	defer a.inner.Close()
	raw, err := rawConn(a.inner)
	if heir := u.heir.Load(); heir != nil && err == nil {
		_ = heir.hand(a.Connection, raw)
	}
}

// A process on probation that is given up hands its connections back and ends.
const (
	handBackTimeout = time.Second                                          // for what it has in flight
	handBackLimit   = handBackTimeout + cancelGrace + 500*time.Millisecond // then it is killed
)

// handBack makes the predecessor the heir, and drains.
func (u *Upgrader) handBack() {
	if !u.enter(Draining, Probation) {
		return
	}
	u.heir.Store(u.pred.mover)
	ctx, cancel := context.WithTimeoutCause(context.Background(), handBackTimeout, ErrDrainTimeout)
	defer cancel()
	u.drain(ctx)
}
