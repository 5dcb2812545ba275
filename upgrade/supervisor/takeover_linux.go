package supervisor

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A takeover is the handshake in which the supervisor plays the dead predecessor
// of a worker, from the last snapshot.
type takeover struct {
	conduit *conduit
	snap    *snapshot
	hello   wire.Hello
}

// close ends the link; nil is allowed.
func (t *takeover) close() {
	if t != nil {
		t.conduit.close()
	}
}

// handOn begins the handshake with w. The link is closed when w has become the
// service or the handshake has failed.
func (s *Supervisor) handOn(w *worker, c *conduit) {
	t := &takeover{conduit: c, snap: s.snap.hold(), hello: s.greeting()}
	t.hello.Generation = s.lastGeneration()
	w.takeover = t
	c.link.SetTimeout(-1) // the deadline is that of the whole handshake
	late := s.after(s.opt.ReadyTimeout, func() {
		if w.takeover == t {
			s.kill(w, fmt.Sprintf("it did not serve within %s", s.opt.ReadyTimeout))
		}
	})
	go func() {
		err := t.run()
		t.snap.release()
		s.post(func() {
			if err == nil || w.takeover != t { // it serves, or has ended
				return
			}
			late.stop()
			t.close()
			s.trouble(w, "a worker that was started again did not take over", err)
			s.after(time.Second, func() { s.kill(w, "it did not take over") }) // it may be about to end by itself
		})
	}()
}

// lastGeneration is that of the worker that served last. Sockets of a service
// manager have none: the one who gets them is the first.
func (s *Supervisor) lastGeneration() int {
	if s.activated {
		return -1
	}
	return s.generation
}

// run is the old side of the handshake, but that nobody stands by: there is nothing
// to go back to.
func (t *takeover) run() error {
	link := t.conduit.link
	if err := link.Send(t.hello); err != nil {
		return t.broken(err)
	}
	theirs, err := awaitMessage[wire.Hello](link)
	if err != nil {
		return err
	}
	if _, err := wire.Negotiate(t.hello, theirs); err != nil {
		return err
	}
	if err := t.snap.send(link); err != nil {
		return t.broken(err)
	}
	if _, err := awaitMessage[wire.Ready](link); err != nil {
		return err
	}
	if err := link.Send(wire.Serve{}); err != nil {
		return t.broken(err)
	}
	if _, err := awaitMessage[wire.Serving](link); err != nil {
		return err
	}
	if err := link.Send(wire.Commit{}); err != nil {
		return t.broken(err)
	}
	for { // until the worker has said on its other link that it is the service
		_, files, err := link.Receive()
		closeFiles(files)
		if err != nil {
			return nil
		}
	}
}

// broken prefers what the worker says last to the error of the write that noticed
// its end.
func (t *takeover) broken(err error) error {
	if !errors.Is(err, wire.ErrGone) {
		return err
	}
	_, last := awaitMessage[wire.Abort](t.conduit.link)
	if last == nil || errors.Is(last, io.EOF) {
		return err
	}
	return last
}

// awaitMessage returns the next message of that type. Heartbeats come at any time.
func awaitMessage[T wire.Message](link *wire.Link) (T, error) {
	var none T
	for {
		m, files, err := link.Receive()
		closeFiles(files)
		if errors.Is(err, io.EOF) {
			return none, fmt.Errorf("it ended the link where %s was due: %w", wire.Name(none), err)
		}
		if err != nil {
			return none, err
		}
		switch m := m.(type) {
		case T:
			return m, nil
		case wire.Beat, wire.Draining:
		case wire.Abort:
			return none, errors.New(m.Reason)
		default:
			return none, fmt.Errorf("it sent %s where %s was due", wire.Name(m), wire.Name(none))
		}
	}
}
