package stream

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// Message is one message of a WebSocket.
type Message struct {
	// Binary tells a binary message from a text, which must be UTF-8.
	Binary bool
	// Data is the payload.
	Data []byte
}

// Socket is a WebSocket during one call of run. Its methods are safe for
// concurrent use.
//
// Pings are answered and the end of the connection is noticed while run does
// something else, but only one message is read ahead: a client that sends
// messages which nobody receives is held up, with its pings.
type Socket struct {
	ctx      context.Context
	end      context.CancelCauseFunc
	offer    *offer
	x        *wire
	in       <-chan item // of the reader, which starts before run
	protocol string
}

// Receive returns the next message, which belongs to the caller. A message that
// was returned is never repeated; one that was not goes to the successor.
//
// It returns [ErrMoving], between messages, when the connection is to move; then
// run returns. Any other error is the end: a *[CloseError] if the client closed
// or broke the protocol, an error that wraps [ErrGone] if it left without a
// word, [ErrEnded], or the cause of the context's end.
func (c *Socket) Receive() (Message, error) {
	for {
		if err := c.check(); err != nil {
			return Message{}, err
		}
		if c.offer.stands() {
			return Message{}, ErrMoving
		}
		select {
		case it := <-c.in:
			return Message{Binary: it.op == opBinary, Data: it.data}, nil
		case <-c.ctx.Done():
		case <-c.offer.channel():
		case <-c.offer.again():
		}
	}
}

// Each calls f with each message, one at a time, until [Socket.Receive] or f returns
// an error, which it returns. As Send is such a function, Each(c.Send) is an echo.
func (c *Socket) Each(f func(Message) error) error {
	for {
		m, err := c.Receive()
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
	}
}

// Send writes one message and returns when the system has taken it. It also
// works when the connection is to move: the answer to a message that was
// received belongs to this process. After an error that wraps [ErrInvalid]
// nothing was sent and the connection goes on; after any other it is over, see
// [Socket.Receive]. It wraps [os.ErrDeadlineExceeded] if the client did not
// read for the write timeout.
func (c *Socket) Send(m Message) error {
	op := opBinary
	if !m.Binary {
		op = opText
		if !utf8.Valid(m.Data) {
			return fmt.Errorf("text message %w: it is not UTF-8", ErrInvalid)
		}
	}
	return c.write(op, m.Data)
}

func (c *Socket) write(op opcode, data []byte) error {
	refused := false
	err := c.x.write(op, data, func() error {
		err := c.check()
		refused = err != nil
		return err
	})
	if err == nil || refused {
		return err
	}
	err = fmt.Errorf("send message: %w", err)
	c.end(err)
	return err
}

// check says why the connection can't be used any more.
func (c *Socket) check() error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}

// Moving is closed when Receive returns [ErrMoving]; it is for a run that waits
// for something of its own and may then return ErrMoving. It may be nil, which
// never becomes ready. Ask for it anew each time: it changes after a move that
// failed.
func (c *Socket) Moving() <-chan struct{} {
	if c.ctx.Err() != nil {
		return nil
	}
	return c.offer.channel()
}

// Context ends when the connection does, when the request's context ends and
// when run returns; [context.Cause] tells which. It does not end because the
// connection is to move. In a successor it has no values.
func (c *Socket) Context() context.Context { return c.ctx }

// Protocol is the subprotocol agreed on, or empty; see [SocketOptions.Protocols].
func (c *Socket) Protocol() string { return c.protocol }

// seal refuses further calls, after a Send under way.
func (c *Socket) seal() {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	c.end(ErrEnded)
}
