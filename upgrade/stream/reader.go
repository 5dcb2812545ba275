package stream

import (
	"context"
	"errors"
	"sync"
)

// reader reads a WebSocket while run is called: it answers pings and close
// frames by itself and reads one message ahead.
type reader struct {
	p    *parser
	x    *wire
	in   chan item               // messages, unbuffered: given or not, nothing between
	end  context.CancelCauseFunc // called when there will be no more
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

// read starts a reader.
func read(p *parser, x *wire, end context.CancelCauseFunc) *reader {
	r := &reader{p: p, x: x, in: make(chan item), end: end, quit: make(chan struct{}), done: make(chan struct{})}
	go r.loop()
	return r
}

// stop ends the reader and waits for it. What it had not given to anybody is in
// the parser again.
func (r *reader) stop() { r.once.Do(func() { halt(r.x.c, r.quit, r.done) }) }

func (r *reader) loop() {
	defer close(r.done)
	for !closed(r.quit) {
		it, ok, err := r.p.next()
		switch {
		case err != nil:
			err = r.bye(err)
		case !ok:
			err = r.fill()
		case it.op.control():
			err = r.control(it)
		default:
			r.give(it)
		}
		if err != nil {
			r.end(err)
			return
		}
	}
}

// fill reads more bytes.
func (r *reader) fill() error {
	n, err := r.x.c.Read(r.p.space())
	r.p.filled(n)
	if err == nil || interrupted(r.quit, err) {
		return nil
	}
	return gone(err)
}

// give hands a message to Receive.
func (r *reader) give(it item) {
	select {
	case r.in <- it:
	case <-r.quit:
		r.p.putBack(it)
	}
}

// control answers a control frame. It returns an error when that was the last.
func (r *reader) control(it item) error {
	switch it.op {
	case opPing:
		return r.x.write(opPong, it.data, nil)
	case opClose:
		return r.bye(parseClose(it.data))
	}
	return nil // an unsolicited pong (RFC 6455, section 5.5.3)
}

// bye ends the connection with a close frame, the answer to the client's own or
// to a violation. Sends are refused from then on, before the frame is written.
func (r *reader) bye(err error) error {
	var c *CloseError
	if errors.As(err, &c) {
		r.end(err)
		_ = r.x.write(opClose, closePayload(c), nil) // over in any case
	}
	return err
}
