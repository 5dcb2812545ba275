package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// rendezvousName is the name under which the listener of the rendezvous is handed
// over.
const rendezvousName = "theseus rendezvous"

// Bounds for those who come to the rendezvous.
const (
	knockTimeout = 10 * time.Second       // for who they are
	knockLimit   = 8                      // that have not said so yet; more are turned away
	knockPause   = 100 * time.Millisecond // before a process that met nobody tries again
)

// A rendezvous is where a process that nobody's upgrade has started finds the
// service. It listens like any other socket: what has come waits in the queue while
// the process stands by, and the listener goes to the successor with the others.
type rendezvous struct {
	u     *Upgrader
	path  string
	l     *Listener
	seats chan struct{} // has room for knockLimit
}

// A guest is a process that came to the rendezvous.
type guest struct{ hello wire.Hello }

// newRendezvous checks the options.
func (u *Upgrader) newRendezvous() (*rendezvous, error) {
	if err := rendezvousSupported(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(u.opt.Rendezvous)
	if err == nil && len(path) > maxSocketPath {
		err = fmt.Errorf("the path has %d bytes, the address of a socket at most %d: choose a shorter one", len(path), maxSocketPath)
	}
	if err != nil {
		return nil, fmt.Errorf("rendezvous %s: %w", u.opt.Rendezvous, err)
	}
	return &rendezvous{u: u, path: path, seats: make(chan struct{}, knockLimit)}, nil
}

// maxSocketPath is the longest path that a socket can be bound to (unix(7)).
const maxSocketPath = 107

// findRendezvous takes over from the service that listens there, or makes this the
// first process. A service that ends before it said a word is no service: the next
// one is looked for, which may be this process.
func (u *Upgrader) findRendezvous() error {
	r, err := u.newRendezvous()
	if err != nil {
		return err
	}
	for end := time.Now().Add(helloTimeout); ; time.Sleep(knockPause) {
		c, l, err := r.dialOrBind()
		switch {
		case err != nil:
			return fmt.Errorf("rendezvous %s: %w", r.path, err)
		case l != nil:
			r.open(l, wire.Socket{Unlink: r.path})
			return nil
		case c == nil:
			err = errors.New("it is too busy")
		default:
			err = r.join(c)
		}
		if err == nil {
			return u.keepMeeting(r)
		}
		again := c == nil || errors.Is(err, errNoHello) || errors.Is(err, errAnotherOne)
		if !again || time.Now().After(end) {
			return fmt.Errorf("rendezvous %s: %w", r.path, err)
		}
	}
}

// join makes this process the successor of the one at the other end.
func (r *rendezvous) join(c *net.UnixConn) error {
	u := r.u
	link := wire.New(c)
	old, err := identify(c, link)
	if err != nil {
		link.Close()
		return fmt.Errorf("the service: %w", err)
	}
	_ = link.Send(u.greeting()) // one that has gone is noticed by reading
	if u.pred, err = u.meet(link, old); err != nil {
		_ = link.Send(wire.Abort{Reason: err.Error()})
		link.Close()
	}
	return err
}

// keepRendezvous goes on listening at the rendezvous of the predecessor.
func (u *Upgrader) keepRendezvous() error {
	r, err := u.newRendezvous()
	if err != nil {
		return err
	}
	return u.keepMeeting(r)
}

func (u *Upgrader) keepMeeting(r *rendezvous) error {
	inner, was, err := u.claimListener(rendezvousName, "unix|"+r.path)
	if err != nil {
		return fmt.Errorf("rendezvous: %w", err)
	}
	if inner != nil {
		r.open(inner, was)
		return nil
	}
	c, l, err := r.dialOrBind() // the predecessor had none there
	if err == nil && l == nil {
		if c != nil {
			c.Close()
		}
		err = errors.New("another service listens there: choose another path")
	}
	if err != nil {
		return fmt.Errorf("rendezvous %s: %w", r.path, err)
	}
	r.open(l, wire.Socket{Unlink: r.path})
	return nil
}

// open listens from when the process serves.
func (r *rendezvous) open(inner socketListener, was wire.Socket) {
	u := r.u
	r.l = newListener(u, rendezvousName, "unix|"+r.path, inner, true)
	r.l.former, r.l.file, r.l.server = was.Name, newSocketFile(was.Unlink), r
	u.mu.Lock()
	u.meeting = r
	u.listeners = append(u.listeners, r.l)
	u.mu.Unlock()
	go r.run()
}

// run admits who comes, until the listener closes.
func (r *rendezvous) run() {
	for {
		accepted, err := r.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors: some will be closed
			r.u.opt.Log.Warn("upgrade: rendezvous", "error", err)
			select {
			case <-time.After(knockPause):
			case <-r.u.over:
				return
			}
			continue
		}
		own, _ := unwrapConn(accepted)
		c, ok := own.Conn.(*net.UnixConn)
		r.l.forget(own) // it is no client's: a drain does not wait for it
		if !ok {
			accepted.Close()
			continue
		}
		select {
		case r.seats <- struct{}{}:
			go r.admit(c)
		default:
			r.u.opt.Log.Warn("upgrade: too many come to the rendezvous at a time, and say nothing", "limit", knockLimit)
			c.Close()
		}
	}
}

// drain is for the interface: nothing of the rendezvous needs time.
func (r *rendezvous) drain(context.Context) {}

// admit lets a process take over, if it says within the time who it is, and may.
func (r *rendezvous) admit(c *net.UnixConn) {
	u := r.u
	link := wire.New(c)
	link.SetTimeout(u.opt.knockLimit)
	p, hello, err := r.hear(c, link)
	<-r.seats
	if err != nil {
		u.opt.Log.Warn("upgrade: refused who came to the rendezvous", "error", err)
		_ = link.Send(wire.Abort{Reason: err.Error()})
		link.Close()
		return
	}
	link.SetTimeout(0)
	a := &attempt{u: u, guest: &guest{hello}, req: Request{Force: hello.Force}, next: newSuccessor(u, link, p, Release{})}
	a.next.foreign, a.next.lastWords = true, lastWordsForeign
	a.report.PID = p.pid
	if _, err := u.upgrade(context.Background(), a); err != nil && !a.claimed {
		u.opt.Log.Warn("upgrade: refused who came to the rendezvous", "peer", p.pid, "error", err)
	}
}

// hear finds out who is at the other end. Not a byte is read before the system has
// said whose process it is.
func (r *rendezvous) hear(c *net.UnixConn, link *wire.Link) (p *peer, hello wire.Hello, err error) {
	if p, err = identify(c, link); err != nil {
		return nil, hello, err
	}
	if err = p.endable(); err == nil {
		hello, err = hear(link, r.u.opt.knockLimit)
	}
	if err != nil {
		p.forget()
		return nil, hello, fmt.Errorf("process %d: %w", p.pid, err)
	}
	return p, hello, nil
}

// hear waits for the hello of a process that comes by itself, which speaks first.
func hear(link *wire.Link, limit time.Duration) (hello wire.Hello, err error) {
	late := time.AfterFunc(limit, func() { link.Close() })
	m, files, err := link.Receive()
	closeAll(files)
	if !late.Stop() {
		return hello, fmt.Errorf("no hello within %s", limit)
	}
	if err != nil {
		return hello, fmt.Errorf("no hello: %w", err)
	}
	hello, ok := m.(wire.Hello)
	if !ok {
		return hello, fmt.Errorf("%s came before hello", wire.Name(m))
	}
	return hello, nil
}

// checkGuest looks at the program that a process which came by itself runs.
func (a *attempt) checkGuest() error {
	if err := a.openGuest(); err != nil {
		return fmt.Errorf("its program cannot be read: %w", err)
	}
	a.u.makeRoom()
	return a.admit()
}

func (a *attempt) openGuest() (err error) {
	exe := fmt.Sprintf("/proc/%d/exe", a.next.pid)
	path, err := os.Readlink(exe)
	if err != nil {
		return err
	}
	a.report.Release.Path = programName(path)
	if a.file, err = os.Open(exe); err != nil {
		return err
	}
	if a.next.isDead() { // its number may be another's
		return os.ErrProcessDone
	}
	return nil
}
