package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A successor is the old process's view of the new one.
type successor struct {
	u *Upgrader
	*mover
	process   *os.Process
	release   Release
	sockets   []string      // names of those that it took over; set when it is ready
	heartbeat time.Duration // between its heartbeats; set when it is ready

	inbox  chan wire.Message // all but heartbeats and answers; closed when the link ends
	beats  chan wire.Beat    // the latest
	exited chan struct{}     // closed when the process is known to be dead
	status string            // how it ended; valid once exited is closed

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
	s := &successor{u: u, mover: newMover(link), process: cmd.Process, release: Release{Path: path},
		inbox: make(chan wire.Message, 16), beats: make(chan wire.Beat, 1), exited: make(chan struct{})}
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
			s.taken(m)
		case wire.Connection: // it is given up and hands back what it has
			go s.u.take(s.link, m, files[0], func() { <-s.exited })
			continue
		default:
			select {
			case s.inbox <- m:
			default: // it says more than the protocol lets it: whoever waits sees the link end
				closeAll(files)
				return
			}
		}
		closeAll(files)
	}
}

// lost ends the link for those who wait on it.
func (s *successor) lost() {
	s.link.Close()
	s.mover.lost()
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
		return none, fmt.Errorf("it sent %s where %s was due", wire.Name(m), what)
	case <-ctx.Done():
		return none, fmt.Errorf("no %s: %w", what, context.Cause(ctx))
	}
}

// errSilent means that the process ended without a word.
var errSilent = errors.New("it ended")

// ended says why the link has ended: what it sent, if that was no message of the
// protocol, else its exit status tells best.
func (s *successor) ended(ctx context.Context) error {
	if err := s.link.Err(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("control link: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	select {
	case <-s.exited:
		return fmt.Errorf("%w: %s", errSilent, s.status)
	case <-ctx.Done():
		return errors.New("it closed the control link")
	}
}

// end tells the process why it is given up. One that has served, and still
// listens, gets some time to hand its connections back. Then it is killed.
func (s *successor) end(why error, served bool) {
	grace := lastWords
	if served {
		grace = handBackLimit
	}
	_ = s.link.Send(wire.Abort{Reason: why.Error()}) // a link that has failed has told it
	if !errors.Is(why, errHung) {
		select {
		case <-s.exited:
		case <-time.After(grace):
		}
	}
	s.kill()
}

// lastWord returns the reason that the process, which is dead, gave for its end.
func (s *successor) lastWord(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		select {
		case m, open := <-s.inbox:
			if abort, ok := m.(wire.Abort); ok || !open {
				return abort.Reason
			}
		case <-ctx.Done():
			return ""
		}
	}
}

// lastWords is how long a process that has not served may take to tell its own log
// why it is not wanted.
const lastWords = 100 * time.Millisecond

// kill ends the process and waits until it is certainly dead, so that whatever it
// owned may be owned again.
func (s *successor) kill() {
	_ = s.process.Kill()
	<-s.exited
	s.link.Close()
}

// claimed reports whether the successor accepts from the socket of that name.
func (s *successor) claimed(name string) bool { return slices.Contains(s.sockets, name) }

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
