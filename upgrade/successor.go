package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A successor is the old process's view of the new one.
type successor struct {
	u       *Upgrader
	link    *wire.Link
	process *os.Process
	release Release
	sockets []string // names of those that it took over; set when it is ready

	inbox  chan wire.Message // all but heartbeats and answers; closed when the link ends
	beats  chan wire.Beat    // the latest
	exited chan struct{}     // closed when the process is known to be dead
	status string            // how it ended; valid once exited is closed

	mu      sync.Mutex
	nextID  uint64
	answers map[uint64]chan wire.Taken // nil once the link has ended
}

// variable names the descriptor of the control link in a successor's environment.
const variable = "THESEUS_UPGRADE_FD"

// start starts the program at path as successor.
func (u *Upgrader) start(path string) (*successor, error) {
	link, theirs, err := wire.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(path)
	cmd.Args = append([]string{os.Args[0]}, u.opt.Args...)
	cmd.Env = append(successorEnv(os.Environ()), u.opt.Env...)
	cmd.Env = append(cmd.Env, variable+"=3")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	closeOnExec()
	if err := cmd.Start(); err != nil {
		link.Close()
		return nil, err
	}
	s := &successor{u: u, link: link, process: cmd.Process, release: Release{Path: path},
		inbox: make(chan wire.Message, 16), beats: make(chan wire.Beat, 1), exited: make(chan struct{}), answers: map[uint64]chan wire.Taken{}}
	go func() {
		err := cmd.Wait()
		s.status = "exit status 0"
		if err != nil {
			s.status = err.Error()
		}
		close(s.exited)
	}()
	go s.read()
	return s, nil
}

// read sorts what comes over the link until that ends.
func (s *successor) read() {
	defer s.lost()
	for {
		m, files, err := s.link.Receive()
		for _, f := range files {
			f.Close() // a successor sends none
		}
		if err != nil {
			return
		}
		switch m := m.(type) {
		case wire.Stop:
			s.u.stopOldest()
		case wire.Beat:
			select {
			case <-s.beats:
			default:
			}
			s.beats <- m
		case wire.Taken:
			s.mu.Lock()
			answer := s.answers[m.ID]
			delete(s.answers, m.ID)
			s.mu.Unlock()
			if answer != nil {
				answer <- m
			}
		default:
			select {
			case s.inbox <- m:
			default: // it says more than the protocol lets it: whoever waits sees the link end
				return
			}
		}
	}
}

// lost ends the link for those who wait on it.
func (s *successor) lost() {
	s.link.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.answers {
		close(a)
	}
	s.answers = nil
	close(s.inbox)
}

// await returns the next message of type T.
func await[T wire.Message](ctx context.Context, s *successor, what string) (T, error) {
	var none T
	select {
	case m, open := <-s.inbox:
		if !open {
			return none, s.ended(ctx)
		}
		if abort, ok := m.(wire.Abort); ok {
			return none, errors.New(abort.Reason)
		}
		if got, ok := m.(T); ok {
			return got, nil
		}
		return none, fmt.Errorf("sent %T where %s was due", m, what)
	case <-ctx.Done():
		return none, fmt.Errorf("no %s: %w", what, context.Cause(ctx))
	}
}

// ended says why the link has ended, which the exit status tells best.
func (s *successor) ended(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	select {
	case <-s.exited:
		return fmt.Errorf("it ended: %s", s.status)
	case <-ctx.Done():
		return errors.New("it closed the control link")
	}
}

// kill ends the process and waits until it is certainly dead, so that whatever it
// owned may be owned again.
func (s *successor) kill() {
	_ = s.process.Kill()
	<-s.exited
	s.link.Close()
}

// claimed reports whether the successor accepts from the socket of that name.
func (s *successor) claimed(name string) bool { return slices.Contains(s.sockets, name) }

// errNotTaken means that the successor did not take a connection, which is
// still this process's.
var errNotTaken = errors.New("not taken by the successor")

// hand passes a connection on. The error wraps errNotTaken when it stays here.
//
// There is no time-out: as long as the successor lives it may have the connection
// already, and two must never read from it.
func (s *successor) hand(m wire.Connection, raw syscall.RawConn) error {
	answer := make(chan wire.Taken, 1)
	s.mu.Lock()
	if s.answers == nil {
		s.mu.Unlock()
		return errNotTaken
	}
	s.nextID++
	m.ID = s.nextID
	s.answers[m.ID] = answer
	s.mu.Unlock()
	if err := s.link.SendConn(m, raw); err != nil {
		s.mu.Lock()
		delete(s.answers, m.ID)
		s.mu.Unlock()
		return fmt.Errorf("%w: %w", errNotTaken, err)
	}
	taken, ok := <-answer
	switch {
	case !ok:
		return fmt.Errorf("%w: it has gone", errNotTaken)
	case !taken.OK:
		return fmt.Errorf("%w: %s", errNotTaken, taken.Reason)
	}
	return nil
}

// moveIdle hands an idle HTTP/1 connection to the successor.
func (u *Upgrader) moveIdle(c *conn) bool {
	s := u.running.Load()
	if s == nil {
		return false
	}
	raw, err := c.SyscallConn()
	return err == nil && s.hand(wire.Connection{Listener: c.l.name}, raw) == nil
}

// sendSockets sends descriptors with their names, in as many messages as it takes.
func sendSockets(link *wire.Link, names []wire.Socket, sources []rawSource) error {
	for chunk := range slices.Chunk(names, wire.MaxFiles) {
		conns := make([]syscall.RawConn, len(chunk))
		for i := range chunk {
			var err error
			if conns[i], err = sources[i].SyscallConn(); err != nil {
				return fmt.Errorf("socket %q: %w", chunk[i].Name, err)
			}
		}
		if err := link.SendConn(wire.Sockets{Sockets: chunk}, conns...); err != nil {
			return err
		}
		sources = sources[len(chunk):]
	}
	return nil
}
