package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/internal/executable"
	"github.com/theseus-run/theseus/upgrade/internal/systemd"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A State is where a process is between its start and its end.
type State string

// The states of a process.
const (
	Starting  State = "starting"  // not ready yet
	Ready     State = "ready"     // waits for its predecessor to let it serve
	Probation State = "probation" // serves; the predecessor stands by
	Serving   State = "serving"   // is the service
	Upgrading State = "upgrading" // serves, and a successor starts
	Standby   State = "standby"   // does not accept; the successor is on probation
	Draining  State = "draining"  // finishes what it has
	Ended     State = "ended"     // nothing is left
)

// An Upgrader is a process's part in a chain of processes that hand one service
// on. There is one per process. Its methods are safe for concurrent use.
type Upgrader struct {
	opt        Options
	path       string   // of the program, made absolute at the start
	ownArgs    []string // Options.Args as given
	generation int
	began      time.Time
	pred       *predecessor // nil in the first process
	sup        *supervisor  // nil in a process that no supervisor has started
	meeting    *rendezvous  // nil without Options.Rendezvous
	notify     *systemd.Notifier
	store      store // what that keeps

	running    atomic.Pointer[successor] // that has been committed
	heir       atomic.Pointer[mover]     // where connections go when this process drains: the successor, or back
	leaving    atomic.Bool               // the process drains
	announced  atomic.Bool               // the PID file is written and systemd told
	idle       wait                      // see idleWait; set before leaving
	counting   atomic.Bool               // answers are counted: the process is on probation
	yielding   atomic.Bool               // singletons are not taken back; see releaseAll
	inflight   atomic.Int64
	adopting   atomic.Int64 // connections that come over and are not yet among a listener's
	arrived    atomic.Int64 // requests on probation: come, answered, answered with an error
	requests   atomic.Int64
	errors     atomic.Int64
	events     sync.Mutex // held while OnEvent runs
	failed     chan error // of servers
	digestOnce sync.Once
	digest     string         // of the own program; see ownDigest
	pidTrial   <-chan error   // its outcome; nil if there is none
	signals    chan os.Signal // from New on, so that an early one does not kill the process
	over       chan struct{}  // closed when the process has drained

	drainsChanged chan struct{} // has room for one
	setChanged    chan struct{} // has room for one: the set of sockets is another

	mu         sync.Mutex
	connsMoved sync.Cond // on mu; a connection has gone or changed its kind
	state      State
	since      time.Time
	listeners  []*Listener
	packets    []*PacketConn
	files      map[string]*os.File
	inherited  []*inherited
	states     []stateSource
	received   map[string]Blob
	singletons []*singleton
	pools      []Pool
	servers    []server
	resumers   map[string]func(*Conn, []byte)
	movers     map[*Conn]struct{}
	rejected   map[string]string // digest → why
	attempt    *attempt          // the latest upgrade that was not undone
	drains     []wire.Process    // predecessors that drain
	stopped    bool              // Shutdown was called: no upgrade begins any more
	shutdown   context.CancelFunc
	hurry      bool // the drain is to end now
}

// Errors of [Upgrader.Upgrade]; see also [RejectedError] and [FailedError].
var (
	ErrPID1        = errors.New("this process is PID 1, whose end would end its container: run it below an init or by theseus exec")
	ErrSetID       = errors.New("this process has more rights than who started it, who could choose the program that inherits them")
	ErrInProgress  = errors.New("an upgrade is in progress")
	ErrProbation   = errors.New("this process is itself on probation; upgrade again when it has proved itself")
	ErrDraining    = errors.New("this process drains; ask its successor to upgrade")
	ErrNotServing  = errors.New("this process does not serve yet")
	ErrUnsupported = fmt.Errorf("replacing the running process on this system: %w", errors.ErrUnsupported)
)

// ErrRefused is wrapped by the error of [New] when the old process does not want
// this one for its successor; the text says why.
var ErrRefused = errors.New("the old process refuses")

// New makes the process's Upgrader. In a process that was started by another's
// upgrade, or that finds the service at Options.Rendezvous, it receives the sockets
// and states of the old process, and fails when these do not come whole. It must be
// called before sockets are opened, at most once. From then on SIGUSR2 is
// [Upgrader.Run]'s.
//
// An error wraps [ErrRefused] if the old process said no, and
// [errors.ErrUnsupported] for what the system cannot do.
func New(opt Options) (*Upgrader, error) {
	u := &Upgrader{
		opt: opt.withDefaults(), ownArgs: opt.Args, state: Starting, began: time.Now(), since: time.Now(),
		files: map[string]*os.File{}, received: map[string]Blob{}, resumers: map[string]func(*Conn, []byte){},
		movers: map[*Conn]struct{}{}, rejected: map[string]string{},
		failed: make(chan error, 1), signals: make(chan os.Signal, 16), over: make(chan struct{}), drainsChanged: make(chan struct{}, 1), setChanged: make(chan struct{}, 1),
	}
	u.connsMoved.L = &u.mu
	if supported {
		signal.Notify(u.signals, upgradeSignals()...)
	}
	u.notify = systemd.New(os.LookupEnv)
	u.warn(u.notify.Err())
	link, err := inheritedLink(variable)
	if err != nil {
		return nil, err
	}
	if u.path, err = u.findPath(link != nil); err == nil {
		err = u.findSupervisor()
	}
	if err == nil {
		err = u.findPredecessor(link)
	}
	if err == nil && u.sup != nil {
		err = u.sup.agree()
	}
	u.noteStored()
	if err == nil {
		return u, nil
	}
	if u.pred != nil {
		link = u.pred.link
	}
	if link != nil {
		_ = link.Send(wire.Abort{Reason: err.Error()})
		link.Close()
	}
	u.sup.leave()
	return nil, err
}

// findPath returns the program that an upgrade starts.
func (u *Upgrader) findPath(inherited bool) (string, error) {
	defer os.Unsetenv(pathVariable)
	if u.opt.Path != "" {
		return executable.Find(u.opt.Path)
	}
	return ownPath(inherited)
}

// findPredecessor takes over from the process at the other end of the link, else
// from the service at the rendezvous. Without either this is the first process.
func (u *Upgrader) findPredecessor(link *wire.Link) (err error) {
	meets := u.opt.Rendezvous != "" && u.sup == nil
	if u.opt.Rendezvous != "" && !meets {
		u.opt.Log.Debug("Options.Rendezvous has no effect: a supervisor starts the successors")
	}
	switch {
	case link != nil:
		if u.pred, err = u.meet(link, nil); err == nil && meets {
			err = u.keepRendezvous()
		}
		return err
	case meets:
		if err := u.findRendezvous(); err != nil {
			return err
		}
	}
	return u.adoptActivated()
}

// Generation is the number of upgrades that led to this process, from 0.
func (u *Upgrader) Generation() int { return u.generation }

// Inherited reports whether the process took over from another one.
func (u *Upgrader) Inherited() bool { return u.pred != nil }

// State returns the state of the process.
func (u *Upgrader) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state
}

// enter changes the state from one of those named; without names from any.
func (u *Upgrader) enter(to State, from ...State) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	ok := len(from) == 0
	for _, f := range from {
		ok = ok || f == u.state
	}
	if ok {
		u.state, u.since = to, time.Now()
	}
	return ok
}

// Serve lets srv answer what comes in at l, and returns at once; [Upgrader.Run]
// reports when it fails. The server's Handler, ConnState, ConnContext and
// BaseContext are wrapped: set them before. One server may have several listeners.
// Do not call its Shutdown.
func (u *Upgrader) Serve(srv *http.Server, l *Listener) { u.serveHTTP(srv, l, nil) }

// ServeTLS is like Serve with TLS. The files may be empty when srv.TLSConfig has
// certificates. TLS connections cannot move to another process: their clients are
// told to open another one.
func (u *Upgrader) ServeTLS(srv *http.Server, l *Listener, certFile, keyFile string) {
	u.serveHTTP(srv, l, &[2]string{certFile, keyFile})
}

func (u *Upgrader) serveHTTP(srv *http.Server, l *Listener, cert *[2]string) {
	u.mu.Lock()
	var s *httpServer
	for _, known := range u.servers {
		if h, ok := known.(*httpServer); ok && h.srv == srv {
			s = h
		}
	}
	if s == nil {
		s = newHTTPServer(u, srv)
		u.servers = append(u.servers, s)
	}
	l.server = s
	u.mu.Unlock()
	go func() { u.fail(s.serve(l, cert)) }()
}

// ServeFunc lets a server of another kind serve l, and returns at once. Serve is
// its method that accepts from a listener; graceful finishes what it has, and
// stop ends at once. With gRPC these are Serve, GracefulStop and Stop of
// grpc.Server.
func (u *Upgrader) ServeFunc(l *Listener, serve func(net.Listener) error, graceful, stop func()) {
	s := &funcServer{u: u, graceful: graceful, stop: stop}
	u.mu.Lock()
	u.servers = append(u.servers, s)
	l.server = s
	u.mu.Unlock()
	go func() { u.fail(serve(l)) }()
}

// Failed delivers the error of a server that has ended by itself, for who does not
// use [Upgrader.Run].
func (u *Upgrader) Failed() <-chan error { return u.failed }

// fail notes that a server has ended by itself.
func (u *Upgrader) fail(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return
	}
	select {
	case u.failed <- err:
	default:
	}
}

// connGone wakes those who wait for connections to go.
func (u *Upgrader) connGone() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.connsMoved.Broadcast()
}

// connChanged wakes them when a connection may have changed its kind. It costs
// nothing while nobody waits.
func (u *Upgrader) connChanged() {
	if u.leaving.Load() {
		u.connGone()
	}
}

// waitConns waits until no connection satisfies which, or ctx ends.
func (u *Upgrader) waitConns(ctx context.Context, which func(*conn) bool) {
	defer context.AfterFunc(ctx, u.connGone)()
	for ctx.Err() == nil {
		u.mu.Lock()
		if !u.anyConn(which) {
			u.mu.Unlock()
			return
		}
		u.connsMoved.Wait()
		u.mu.Unlock()
	}
}

// anyConn is called with u.mu held. Locks are taken in the order Upgrader,
// Listener, conn.
func (u *Upgrader) anyConn(which func(*conn) bool) bool {
	if u.adopting.Load() > 0 {
		return true
	}
	for _, l := range u.listeners {
		if l.any(which) {
			return true
		}
	}
	return false
}

// conns returns all connections.
func (u *Upgrader) conns() []*conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []*conn
	for _, l := range u.listeners {
		all = append(all, l.open()...)
	}
	return all
}

// offered returns the sockets to hand to a successor.
func (u *Upgrader) offered() ([]wire.Socket, []rawSource) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var names []wire.Socket
	var sources []rawSource
	for _, l := range u.listeners {
		l.mu.Lock()
		if !l.closed {
			names = append(names, wire.Socket{Name: l.name, Network: l.Addr().Network(), Address: l.Addr().String(), Requested: l.requested, Unlink: l.file.path})
			sources = append(sources, l.inner)
		}
		l.mu.Unlock()
	}
	for _, p := range u.packets {
		if !p.isClosed() {
			names = append(names, wire.Socket{Name: p.name, Network: p.LocalAddr().Network(), Address: p.LocalAddr().String(), Requested: p.requested, Unlink: p.file.path})
			sources = append(sources, p.inner)
		}
	}
	for name, f := range u.files {
		names = append(names, wire.Socket{Name: name, Network: "file"})
		sources = append(sources, f)
	}
	for _, in := range u.inherited { // not claimed, and still the predecessor's wish
		if in.file != nil {
			names = append(names, in.Socket)
			sources = append(sources, in.file)
		}
	}
	return names, sources
}

// anyRejected reports whether a program was rolled back.
func (u *Upgrader) anyRejected() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.rejected) > 0
}

// stopNow ends a drain.
func (u *Upgrader) stopNow() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hurry = true
	if u.shutdown != nil {
		u.shutdown()
	}
}
