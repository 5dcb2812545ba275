package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A predecessor is the new process's view of the old one.
type predecessor struct {
	u *Upgrader
	*mover
	pid   int
	serve chan wire.Serve // the order to serve; closed when it will not come
	ended chan struct{}   // closed when the link has ended

	committed chan struct{} // closed by the one who committed
	once      atomic.Bool
	aborted   atomic.Pointer[string] // why the old process ended the upgrade
	orphaned  atomic.Bool            // the old process died without a word
}

// helloTimeout is how long a process that was just started waits for what its
// predecessor sends. It is generous: the predecessor has a deadline of its own.
const helloTimeout = time.Minute

// meet takes over what the predecessor hands on.
func (u *Upgrader) meet(link *wire.Link) (*predecessor, error) {
	p := &predecessor{u: u, mover: newMover(link), serve: make(chan wire.Serve, 1), ended: make(chan struct{}), committed: make(chan struct{})}
	late := time.AfterFunc(helloTimeout, func() { link.Close() })
	defer late.Stop()
	if err := p.receive(); err != nil {
		u.dropUnclaimed()
		return nil, fmt.Errorf("take over from the old process: %w", err)
	}
	u.counting.Store(true)
	go p.read()
	return p, nil
}

// receive reads up to Prepared.
func (p *predecessor) receive() error {
	u := p.u
	blobs := &blobReader{limit: u.opt.StateLimit, into: u.received}
	greeted := false
	for {
		m, files, err := p.link.Receive()
		if errors.Is(err, io.EOF) {
			return errors.New("the old process has gone")
		}
		if err != nil {
			return err
		}
		_, isHello := m.(wire.Hello)
		if !greeted && !isHello {
			closeAll(files)
			return fmt.Errorf("%s came before hello", wire.Name(m))
		}
		switch m := m.(type) {
		case wire.Hello:
			if greeted {
				return errors.New("hello came twice")
			}
			greeted = true
			if err := p.greet(m); err != nil {
				return err
			}
		case wire.Sockets:
			for i, s := range m.Sockets {
				u.inherited = append(u.inherited, &inherited{Socket: s, file: files[i]})
			}
		case wire.State, wire.StateData, wire.StateEnd:
			if err := blobs.add(m); err != nil {
				return err
			}
		case wire.Abort:
			return errors.New(m.Reason)
		case wire.Prepared:
			return blobs.complete()
		default:
			closeAll(files)
			return fmt.Errorf("%s came where sockets, states or prepared were due", wire.Name(m))
		}
	}
}

func (p *predecessor) greet(theirs wire.Hello) error {
	u := p.u
	u.generation, p.pid = theirs.Generation+1, theirs.PID
	for _, d := range theirs.Rejected {
		u.rejected[d] = "rolled back by an earlier process"
	}
	mine := u.greeting()
	if err := p.link.Send(mine); err != nil {
		return err
	}
	_, err := wire.Negotiate(mine, theirs)
	return err
}

// greeting is this process's hello.
func (u *Upgrader) greeting() wire.Hello {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := wire.Hello{Min: protocolMin, Max: protocol, PID: os.Getpid(), Generation: u.generation,
		Release: u.release(), Limits: wire.Limits{State: u.opt.StateLimit}}
	for d := range u.rejected {
		h.Rejected = append(h.Rejected, d)
	}
	return h
}

// read handles what comes after Prepared, until the predecessor has gone.
func (p *predecessor) read() {
	defer close(p.ended)
	defer p.link.Close()
	defer p.stop()
	defer p.lost()
	for {
		m, files, err := p.link.Receive()
		if err != nil {
			p.gone()
			return
		}
		switch m := m.(type) {
		case wire.Serve:
			p.order(m)
			continue
		case wire.Commit:
			p.commit("committed")
		case wire.Connection:
			if !p.isOver() {
				closeAll(files)
				_ = p.link.Send(wire.Taken{ID: m.ID, Reason: "this process is not the service yet"})
				continue
			}
			go p.u.take(p.link, m, files[0], func() { waitDead(p.pid) })
			continue
		case wire.Taken:
			p.taken(m)
		case wire.Probe:
			_ = p.link.Send(wire.Alive{})
		case wire.Draining:
			p.u.setDrains(m.Processes)
		case wire.Abort:
			p.aborted.Store(&m.Reason)
			if p.u.State() != Probation {
				closeAll(files)
				return
			}
			go p.u.handBack()
		}
		closeAll(files)
	}
}

// isOver reports whether the upgrade is: this process is the service.
func (p *predecessor) isOver() bool {
	select {
	case <-p.committed:
		return true
	default:
		return false
	}
}

// order passes the order to serve on, once.
func (p *predecessor) order(m wire.Serve) {
	select {
	case p.serve <- m:
	default:
	}
}

// stop lets whoever waits for the order to serve know that it will not come.
func (p *predecessor) stop() { close(p.serve) }

// gone handles the end of the link. The old process ends it without a word only
// by dying: then there is nobody else left to serve.
func (p *predecessor) gone() {
	if p.isOver() { // it has drained
		p.u.setDrains(nil)
		return
	}
	waitDead(p.pid)
	p.orphaned.Store(true)
	p.order(wire.Serve{}) // its singletons died with it, and their last state too
	p.inherit()
}

// inherit commits the process if it serves and its predecessor is dead. Whichever
// comes to be true last calls it.
func (p *predecessor) inherit() {
	if p.orphaned.Load() && p.u.State() == Probation {
		p.commit("the old process died")
	}
}

// commit makes this process the service.
func (p *predecessor) commit(why string) {
	if !p.once.CompareAndSwap(false, true) {
		return
	}
	u := p.u
	u.counting.Store(false)
	u.enter(Serving, Probation)
	close(p.committed)
	u.dropUnclaimed()
	u.announce()
	u.growPools()
	u.emit(Event{Name: "serving", Why: why, Peer: p.pid, Took: time.Since(u.began)})
}

// listener returns the open listener of that name, or the one that took over the
// socket of that name.
func (u *Upgrader) listener(name string) *Listener {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.listeners {
		if (l.name == name || l.former == name) && !l.isClosed() {
			return l
		}
	}
	return nil
}

// beat sends heartbeats until the process is committed or the link ends.
func (p *predecessor) beat(ctx context.Context) {
	u := p.u
	tick := time.NewTicker(u.opt.Heartbeat)
	defer tick.Stop()
	for seq := uint64(1); ; seq++ {
		b := wire.Beat{Seq: seq, Healthy: true, Arrived: uint64(u.arrived.Load()), Requests: uint64(u.requests.Load()), Errors: uint64(u.errors.Load()), Inflight: u.inflight.Load()}
		if u.opt.Health != nil {
			asked, cancel := context.WithTimeout(ctx, u.opt.Heartbeat)
			if err := u.opt.Health(asked); err != nil {
				b.Healthy, b.Reason = false, err.Error()
			}
			cancel()
		}
		if p.link.Send(b) != nil {
			return
		}
		u.opt.point("beat")
		select {
		case <-tick.C:
		case <-p.committed:
			return
		case <-p.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
