package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// socketStream is a WebSocket that this process owns.
type socketStream struct {
	c        Conn
	x        *wire
	p        *parser
	protocol string
	opts     SocketOptions
	log      *slog.Logger
	call     func(*Socket) error
	state    func() ([]byte, error)
}

// serve calls run until the connection has ended or was handed over.
func (t *socketStream) serve(ctx context.Context) {
	moved := false
	defer func() {
		if !moved {
			_ = t.c.Close()
		}
	}()
	o := &offer{c: t.c}
	for {
		over, err := t.once(ctx, o)
		if over != nil || !errors.Is(err, ErrMoving) || !o.made() {
			t.finish(ctx, over, err)
			return
		}
		ch := o.channel()
		if !closed(ch) { // the process stays after all
			o = o.next(nil)
			continue
		}
		if err = t.move(); err == nil {
			moved = true
			return
		}
		t.log.Info("websocket stays here", "err", err)
		o = o.next(ch)
	}
}

// once calls run. over is why the connection ended, nil if it did not.
func (t *socketStream) once(ctx context.Context, o *offer) (over, err error) {
	ctx, end := context.WithCancelCause(ctx)
	c := &Socket{ctx: ctx, end: end, offer: o, x: t.x, protocol: t.protocol}
	defer c.seal()
	r := read(t.p, t.x, end)
	defer r.stop()
	c.in = r.in
	err = t.call(c)
	r.stop()
	if unexpected(ctx, err) {
		t.log.Warn("websocket ended", "err", err)
	}
	return context.Cause(ctx), err
}

// move hands the connection over. After an error it is as before.
func (t *socketStream) move() error {
	state, err := t.state()
	if err != nil {
		return err
	}
	if err := t.c.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return t.c.Move(state, t.p.unread())
}

// finish says goodbye as far as that was not done.
func (t *socketStream) finish(ctx context.Context, over, err error) {
	var c *CloseError
	switch {
	case over == nil:
		t.handshake(farewell(err))
	case errors.As(over, &c) && c.Local:
		linger(t.c) // the client may still be sending
	case ctx.Err() != nil: // in a hurry: the client's answer is not awaited
		if t.x.write(opClose, closePayload(&CloseError{Code: 1001}), nil) == nil {
			linger(t.c)
		}
	}
}

// handshake closes from this side (RFC 6455, section 7.1.2): it sends a close
// frame and reads up to the client's.
func (t *socketStream) handshake(c *CloseError) {
	if t.x.write(opClose, closePayload(c), nil) != nil {
		return
	}
	if t.c.SetReadDeadline(deadline(t.opts.CloseTimeout)) != nil {
		return
	}
	for {
		it, ok, err := t.p.next()
		switch {
		case err != nil, ok && it.op == opClose:
			return
		case !ok:
			n, err := t.c.Read(t.p.space())
			if t.p.filled(n); err != nil {
				return
			}
		}
	}
}
