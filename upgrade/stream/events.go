package stream

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Events is an event stream during one call of run. Its methods are safe for
// concurrent use.
type Events struct {
	ctx       context.Context
	end       context.CancelCauseFunc
	offer     *offer
	keepAlive time.Duration

	mu   sync.Mutex // held while an event is written
	out  sink
	last time.Time // of the last write
}

// sink is where the bytes of whole events go.
type sink interface {
	// write sends p or fails for good.
	write(p []byte) error
}

// newEvents makes the stream for one call of run.
func newEvents(ctx context.Context, out sink, o *offer, keepAlive time.Duration) *Events {
	ctx, end := context.WithCancelCause(ctx)
	return &Events{ctx: ctx, end: end, out: out, offer: o, keepAlive: keepAlive, last: time.Now()}
}

// Send writes one event and returns when the system has taken it. After nil the
// event was sent, once and for all. After [ErrMoving] it was not sent and run
// returns. After an error that wraps [ErrInvalid] it was not sent and the
// stream goes on. After any other error the stream is over: it wraps [ErrGone],
// [os.ErrDeadlineExceeded] if the client did not read for the write timeout, or
// is [ErrEnded] or the cause of the context's end.
func (e *Events) Send(ev Event) error {
	p, err := ev.encode()
	if err != nil {
		return err
	}
	return e.send(p)
}

// SendData sends an event that has nothing but data; see [Events.Send].
func (e *Events) SendData(data string) error { return e.Send(Event{Data: data}) }

func (e *Events) send(p []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.check(); err != nil {
		return err
	}
	if err := e.out.write(p); err != nil {
		err = fmt.Errorf("send event: %w", err)
		e.end(err)
		return err
	}
	e.last = time.Now()
	return nil
}

// check says why the stream can't be used now.
func (e *Events) check() error {
	if e.ctx.Err() != nil {
		return context.Cause(e.ctx)
	}
	if e.offer.stands() {
		return ErrMoving
	}
	return nil
}

// Wait returns nil after d, or earlier: [ErrMoving] when the stream is to move,
// the cause, such as [ErrGone], when it has ended. Zero only asks; a negative d
// waits without limit. While it waits, comments keep the connection alive if
// [EventOptions.KeepAlive] says so.
func (e *Events) Wait(d time.Duration) error {
	var over <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	for {
		if err := e.check(); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		case <-e.idle():
			if err := e.send([]byte(":\n\n")); err != nil {
				return err
			}
		case <-e.ctx.Done():
		case <-e.offer.channel():
		case <-e.offer.again():
		}
	}
}

// idle fires when a comment is due.
func (e *Events) idle() <-chan time.Time {
	if e.keepAlive <= 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.After(time.Until(e.last.Add(e.keepAlive)))
}

// Moving is closed when Send and Wait return [ErrMoving]; it is for a run that
// waits for something of its own. It may be nil, which never becomes ready. Ask
// for it anew each time: it changes after a move that failed.
func (e *Events) Moving() <-chan struct{} {
	if e.ctx.Err() != nil {
		return nil
	}
	return e.offer.channel()
}

// Context ends when the client is gone, when the request's context ends and when
// run returns; [context.Cause] tells which. It does not end because the stream
// is to move. In a successor it has no values.
func (e *Events) Context() context.Context { return e.ctx }

// seal refuses further calls, after those under way.
func (e *Events) seal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.end(ErrEnded)
}
