package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// eventStream is an event stream on a connection that this process owns.
type eventStream struct {
	c     Conn
	out   *chunks
	opts  EventOptions
	log   *slog.Logger
	call  func(*Events) error
	state func() ([]byte, error)
}

// begin sends the head of the response and serves.
func (t *eventStream) begin(ctx context.Context, head []byte) {
	if send(t.c, t.opts.WriteTimeout, head) != nil {
		_ = t.c.Close() // the client is gone
		return
	}
	t.serve(ctx)
}

// serve calls run until the stream has ended or was handed over.
func (t *eventStream) serve(ctx context.Context) {
	moved := false
	defer func() {
		if !moved {
			_ = t.c.Close()
		}
	}()
	o := &offer{c: t.c}
	for {
		alive, err := t.once(ctx, o)
		if !alive || !errors.Is(err, ErrMoving) || !o.made() {
			t.finish(alive, err)
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
		t.log.Info("event stream stays here", "err", err)
		o = o.next(ch)
	}
}

// once calls run. alive reports whether the client is still there.
func (t *eventStream) once(ctx context.Context, o *offer) (alive bool, err error) {
	e := newEvents(ctx, t.out, o, t.opts.KeepAlive)
	defer e.seal()
	w := watch(t.c, e.end)
	defer w.stop()
	err = t.call(e)
	w.stop()
	if unexpected(e.ctx, err) {
		t.log.Warn("event stream ended", "err", err)
	}
	return e.ctx.Err() == nil, err
}

// move hands the stream over. After an error it is as before.
func (t *eventStream) move() error {
	state, err := t.state()
	if err != nil {
		return err
	}
	if err := t.c.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return t.c.Move(state, nil)
}

// finish ends the response; only a run without error completes it.
func (t *eventStream) finish(alive bool, err error) {
	if !alive {
		return
	}
	if err == nil && t.out.last() != nil {
		return
	}
	linger(t.c)
}
