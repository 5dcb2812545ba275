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
	pid     int
	old     *peer           // nil until hello
	foreign bool            // it did not start this process: they met at the rendezvous
	serve   chan wire.Serve // the order to serve; closed when it will not come
	ended   chan struct{}   // closed when the link has ended

	committed chan struct{} // closed by the one who committed
	once      atomic.Bool
	aborted   atomic.Pointer[string] // why the old process ended the upgrade
	orphaned  atomic.Bool            // the old process died without a word
}

// helloTimeout is how long a process that was just started waits for what its
// predecessor sends. It is generous: the predecessor has a deadline of its own.
const helloTimeout = time.Minute

// meet takes over what the predecessor hands on. Old is nil if the process at the
// other end is to be known by its hello, else this one has greeted it already.
func (u *Upgrader) meet(link *wire.Link, old *peer) (*predecessor, error) {
	p := &predecessor{u: u, mover: newMover(link), old: old, foreign: old != nil, serve: make(chan wire.Serve, 1), ended: make(chan struct{}), committed: make(chan struct{})}
	late := time.AfterFunc(helloTimeout, func() { link.Close() })
	u.tryPIDFile()
	err := p.receive()
	if !late.Stop() {
		err = fmt.Errorf("it did not send everything within %s", helloTimeout)
	}
	if err != nil {
		u.dropUnclaimed()
		clear(u.received)
		clear(u.rejected)
		u.generation = 0
		if p.old != nil {
			p.old.forget()
		}
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
		if errors.Is(err, io.EOF) && !greeted {
			return errNoHello
		}
		if errors.Is(err, io.EOF) {
			return errors.New("the old process has gone")
		}
		if err != nil {
			return err
		}
		_, isHello := m.(wire.Hello)
		_, isAbort := m.(wire.Abort)
		if !greeted && !isHello && !isAbort {
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
			return fmt.Errorf("%w: %s", ErrRefused, m.Reason)
		case wire.Prepared:
			return blobs.complete()
		default:
			closeAll(files)
			return fmt.Errorf("%s came where sockets, states or prepared were due", wire.Name(m))
		}
	}
}

// Why a process that was met at the rendezvous is to be looked for there again.
var (
	errNoHello    = errors.New("the old process has gone without a word")
	errAnotherOne = errors.New("another process has taken over meanwhile, or it runs in another PID namespace")
)

func (p *predecessor) greet(theirs wire.Hello) (err error) {
	u := p.u
	u.generation, p.pid = theirs.Generation+1, theirs.PID
	for _, d := range theirs.Rejected {
		u.rejected[d] = "rolled back by an earlier process"
	}
	mine := u.greeting()
	if !p.foreign {
		// One that has died may have sent everything, which is still to be read.
		if err := p.link.Send(mine); err != nil && !errors.Is(err, wire.ErrGone) {
			return err
		}
	}
	if _, err := wire.Negotiate(mine, theirs); err != nil {
		return err
	}
	if !p.foreign {
		p.old, err = hold(theirs.PID)
	} else if p.old.pid != theirs.PID {
		err = errAnotherOne
	}
	return err
}

// greeting is this process's hello.
func (u *Upgrader) greeting() wire.Hello {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := wire.Hello{Min: protocolMin, Max: protocol, PID: os.Getpid(), Generation: u.generation,
		Release: u.release(), Limits: wire.Limits{State: u.opt.StateLimit}, Force: u.opt.Force}
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
			if p.isSupervisor() { // which has nothing more to say as a predecessor
				closeAll(files)
				p.u.emit(Event{Name: "alone"})
				return
			}
		case wire.Connection:
			if !p.isOver() {
				closeAll(files)
				_ = p.link.Send(wire.Taken{ID: m.ID, Reason: "this process is not the service yet"})
				continue
			}
			go p.u.take(p.link, m, files[0], p.old.dead)
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

// isSupervisor reports whether the predecessor died, and the supervisor plays its
// part from the last snapshot.
func (p *predecessor) isSupervisor() bool {
	s := p.u.sup
	if s == nil {
		return false
	}
	<-s.greeted // it is, for New has waited for it
	return s.pid == p.pid
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
		p.u.emit(Event{Name: "alone", Peer: p.pid})
		return
	}
	p.old.dead()
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
		if err := u.health(ctx); err != nil {
			b.Healthy, b.Reason = false, err.Error()
		}
		if p.link.Send(b) != nil {
			return
		}
		u.opt.point("beat")
		select {
		case <-tick.C:
			if seq == 1 { // the first requests are behind it
				rehearse()
			}
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
