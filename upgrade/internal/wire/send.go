package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// Send sends m with copies of the descriptors fds, which stay the caller's and
// must be open until Send returns. [Sockets] takes one descriptor each,
// [Connection] one, any other message 0 to [MaxFiles].
//
// An error that wraps [ErrTimeout] has ended the link. One that wraps [ErrGone]
// means that the peer reads no more; call Receive for its last words. After any
// other error nothing of m was sent, and unless [Link.Err] says otherwise the
// link is as good as before: [ErrMalformed] and [ErrTooLarge] for m itself, or
// what the kernel says to the descriptors.
func (l *Link) Send(m Message, fds ...int) error {
	return l.send(m, nil, fds)
}

// SendConn is [Link.Send] for sockets and files in use, such as what SyscallConn
// of a net.TCPListener returns. Each descriptor is borrowed in place: it is not
// duplicated and its flags do not change. Closing one of them elsewhere waits
// until SendConn returns.
func (l *Link) SendConn(m Message, conns ...syscall.RawConn) error {
	return l.send(m, conns, nil)
}

func (l *Link) send(m Message, conns []syscall.RawConn, fds []int) error {
	frame, err := encode(m, len(conns)+len(fds))
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	l.sending.Lock()
	defer l.sending.Unlock()
	if err := l.unsendable(); err != nil {
		return fmt.Errorf("send %s: %w", m.kind(), err)
	}
	write := func(fds []int) error { return l.write(frame, fds) }
	if err := borrow(conns, fds, write); err != nil {
		return fmt.Errorf("send %s: %w", m.kind(), err)
	}
	return nil
}

// borrow calls use with fds and the descriptors of conns while none of conns can
// be closed.
func borrow(conns []syscall.RawConn, fds []int, use func([]int) error) error {
	if len(conns) == 0 {
		return use(fds)
	}
	if conns[0] == nil {
		return fmt.Errorf("%w: no socket", ErrMalformed)
	}
	var inner error
	err := conns[0].Control(func(fd uintptr) {
		inner = borrow(conns[1:], append(fds, int(fd)), use)
	})
	if err != nil {
		return fmt.Errorf("borrow descriptor: %w", err)
	}
	return inner
}

// write sends one frame. The caller holds sending.
func (l *Link) write(frame []byte, fds []int) error {
	var deadline time.Time
	if d := time.Duration(l.timeout.Load()); d > 0 {
		deadline = time.Now().Add(d)
	}
	if err := l.conn.SetWriteDeadline(deadline); err != nil {
		return l.failSend(0, err)
	}
	n := 0
	var err error
	if len(fds) > 0 {
		n, err = sendFiles(l.conn, frame, fds)
	}
	if err == nil && n < len(frame) {
		var more int
		more, err = l.conn.Write(frame[n:])
		n += more
	}
	if err != nil {
		return l.failSend(n, err)
	}
	return nil
}

// failSend says what becomes of the link after an error that came when n bytes of
// a frame were sent.
func (l *Link) failSend(n int, err error) error {
	switch cause := l.Err(); {
	case cause != nil:
		return cause
	case errors.Is(err, os.ErrDeadlineExceeded):
		return l.end(fmt.Errorf("%w for %v", ErrTimeout, time.Duration(l.timeout.Load())))
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return l.endSending(fmt.Errorf("%w: %w", ErrGone, err))
	case n == 0 && !errors.Is(err, net.ErrClosed):
		return err
	}
	return l.end(err)
}

// unsendable returns why nothing more can be sent, or nil.
func (l *Link) unsendable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return l.gone
}

func (l *Link) endSending(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = err
	return err
}
