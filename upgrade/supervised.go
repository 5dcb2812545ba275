package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// supervisorVariable names the descriptor of the link to the supervisor in the
// environment of a worker.
const supervisorVariable = "THESEUS_SUPERVISOR_FD"

// supervisorTimeout is how long the supervisor may take to read a message before it
// is taken for dead. It is generous: it may be replacing itself.
const supervisorTimeout = time.Minute

// A supervisor is the worker's view of the process that starts workers, and starts
// them anew when they crash.
type supervisor struct {
	u     *Upgrader
	link  *wire.Link
	mine  wire.Hello
	ended chan struct{} // closed when the link has ended

	greeted chan struct{} // closed when its hello has come, or the link has ended
	pid     int           // these two are valid once greeted is closed
	err     error         // why the two do not understand each other

	asked    sync.WaitGroup // requests that are carried out
	starting sync.Mutex     // held while an order to start is queued and sent

	mu    sync.Mutex
	left  bool                  // the link is closed by this process
	ready []chan startedProcess // who waits for an answer to an order to start; nil once the link has ended
	exits map[int]chan<- string // who wants to know how a process ended
}

// A startedProcess is the answer to an order to start.
type startedProcess struct {
	link *wire.Link
	peer *peer
	err  error
}

// errNoSupervisor is why an order to start is not carried out.
var errNoSupervisor = errors.New("the supervisor has gone")

// Supervised reports whether a supervisor started this process and lives: it starts
// the successors then, and tells the world which process to look at.
func (u *Upgrader) Supervised() bool {
	if u.sup == nil {
		return false
	}
	select {
	case <-u.sup.ended:
		return false
	default:
		return true
	}
}

// findSupervisor takes over what a supervisor gives to its workers, and greets it.
func (u *Upgrader) findSupervisor() error {
	beats, err := inheritedFile(beatVariable)
	if err != nil {
		return err
	}
	if beats != nil {
		if err := u.beatInto(beats); err != nil {
			return fmt.Errorf("%s: %w; unset it to start without a supervisor", beatVariable, err)
		}
	}
	link, err := inheritedLink(supervisorVariable)
	if link == nil {
		return err
	}
	link.SetTimeout(supervisorTimeout)
	u.sup = &supervisor{u: u, link: link, mine: u.greeting(), ended: make(chan struct{}), greeted: make(chan struct{}),
		ready: []chan startedProcess{}, exits: map[int]chan<- string{}}
	if u.opt.PIDFile != "" {
		u.opt.Log.Debug("Options.PIDFile has no effect: the supervisor is the process to find")
	}
	_ = link.Send(u.sup.mine) // one that has gone is noticed below
	go u.sup.read()
	go u.ownDigest() // which it is told as soon as this process serves
	return nil
}

// agree waits for the supervisor's hello. One that has died meanwhile is no error.
func (s *supervisor) agree() error {
	select {
	case <-s.greeted:
		return s.err
	case <-time.After(helloTimeout):
		return fmt.Errorf("the supervisor sent no hello within %s", helloTimeout)
	}
}

// read handles what the supervisor says, until the link ends.
func (s *supervisor) read() {
	defer s.gone()
	for {
		m, files, err := s.link.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case wire.Hello:
			if s.hello(m) != nil {
				closeAll(files)
				return
			}
		case wire.Request:
			s.ask(m)
		case wire.Started:
			s.started(m, files)
			continue
		case wire.Exited:
			s.exited(m)
		case wire.Abort:
			s.u.opt.Log.Error("upgrade: the supervisor ends the link", "why", m.Reason)
		}
		closeAll(files)
	}
}

func (s *supervisor) hello(theirs wire.Hello) error {
	select {
	case <-s.greeted:
		return nil // it said so before
	default:
	}
	s.pid = theirs.PID
	if _, err := wire.Negotiate(s.mine, theirs); err != nil {
		s.err = fmt.Errorf("the supervisor: %w", err)
		_ = s.link.Send(wire.Abort{Reason: err.Error()})
	}
	close(s.greeted)
	return s.err
}

// ask begins to carry out a request, unless the process ends.
func (s *supervisor) ask(m wire.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.left {
		s.asked.Go(func() { s.carryOut(m) })
	}
}

// carryOut upgrades because the supervisor asks for it.
func (s *supervisor) carryOut(m wire.Request) {
	verdict := wire.Verdict{ID: m.ID, OK: true}
	if _, err := s.u.Upgrade(context.Background(), Request{Path: m.Path, Force: m.Force}); err != nil {
		verdict.OK, verdict.Reason = false, err.Error()
	}
	_ = s.link.Send(verdict)
}

// start has the supervisor start the program at path. Answers come in the order of
// the questions.
func (s *supervisor) start(ctx context.Context, path, mark string) (*wire.Link, *peer, error) {
	answer := make(chan startedProcess, 1)
	if err := s.order(answer, path, mark); err != nil {
		return nil, nil, err
	}
	select {
	case got := <-answer:
		return got.link, got.peer, got.err
	case <-ctx.Done():
		go func() { // nobody wants it any more
			if got := <-answer; got.err == nil {
				_ = got.peer.end()
				got.link.Close()
			}
		}()
		return nil, nil, fmt.Errorf("the supervisor did not start it: %w", context.Cause(ctx))
	}
}

func (s *supervisor) order(answer chan startedProcess, path, mark string) error {
	s.starting.Lock()
	defer s.starting.Unlock()
	s.mu.Lock()
	if s.ready == nil {
		s.mu.Unlock()
		return errNoSupervisor
	}
	s.ready = append(s.ready, answer)
	s.mu.Unlock()
	u := s.u
	err := s.link.Send(wire.Start{Path: path, Args: u.ownArgs, Env: append(append([]string{}, u.opt.Env...), pathVariable+"="+path, mark)})
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.ready); n > 0 {
			s.ready = s.ready[:n-1]
		}
		return fmt.Errorf("ask the supervisor to start it: %w", err)
	}
	return nil
}

// started passes an answer on.
func (s *supervisor) started(m wire.Started, files []*os.File) {
	s.mu.Lock()
	if len(s.ready) == 0 {
		s.mu.Unlock()
		closeAll(files)
		return
	}
	answer := s.ready[0]
	s.ready = s.ready[1:]
	s.mu.Unlock()
	if m.Reason != "" {
		answer <- startedProcess{err: errors.New(m.Reason)}
		return
	}
	answer <- s.takeProcess(m.PID, files)
}

// takeProcess takes hold of a process that was started for this one.
func (s *supervisor) takeProcess(pid int, files []*os.File) (got startedProcess) {
	how := make(chan string, 1)
	s.mu.Lock()
	s.exits[pid] = how
	s.mu.Unlock()
	if got.peer, got.err = holdFile(pid, files[1], func() string { return s.told(pid, how) }); got.err != nil {
		files[0].Close()
		return got
	}
	if got.link, got.err = wire.FromFile(files[0]); got.err != nil {
		_ = got.peer.end()
	}
	return got
}

// told waits for word of how a process that is dead has ended, which only its parent
// knows.
func (s *supervisor) told(pid int, how <-chan string) string {
	select {
	case status := <-how:
		return status
	case <-s.ended:
	case <-time.After(time.Second):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.exits, pid)
	return ""
}

func (s *supervisor) exited(m wire.Exited) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if how := s.exits[m.PID]; how != nil {
		how <- m.Status
		delete(s.exits, m.PID)
	}
}

// leave ends the link because this process ends. S may be nil.
func (s *supervisor) leave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	s.asked.Wait() // it is told what came of its requests
	s.link.Close()
}

// gone handles the end of the link. If the supervisor has died the process serves
// on, and is its own master from here on.
func (s *supervisor) gone() {
	s.link.Close()
	s.mu.Lock()
	waiting, left := s.ready, s.left
	s.ready = nil
	s.mu.Unlock()
	close(s.ended)
	for _, answer := range waiting {
		answer <- startedProcess{err: errNoSupervisor}
	}
	select {
	case <-s.greeted:
	default:
		close(s.greeted)
	}
	if left || s.err != nil {
		return
	}
	s.u.opt.Log.Error("upgrade: the supervisor has gone: this process serves on, and starts its successors itself", "pid", os.Getpid())
	if s.u.isService() {
		s.u.announce()
	}
}

// isService reports whether this process is the service, and nobody's predecessor.
func (u *Upgrader) isService() bool {
	switch u.State() {
	case Serving, Upgrading, Standby:
		return u.running.Load() == nil
	}
	return false
}
