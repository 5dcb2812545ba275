package upgrade

import (
	"context"
	"errors"
	"fmt"
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

// take serves a connection that came over link, or says why not.
func (u *Upgrader) take(link *wire.Link, m wire.Connection, file *os.File) {
	err := u.adopt(m, file)
	answer := wire.Taken{ID: m.ID, OK: err == nil}
	if err != nil {
		answer.Reason = err.Error()
	}
	_ = link.Send(answer)
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
