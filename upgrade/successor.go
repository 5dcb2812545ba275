package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A successor is the old process's view of the new one.
type successor struct {
	u *Upgrader
	*mover
	*peer
	release   Release
	foreign   bool          // it came by itself
	lastWords time.Duration // what it gets before it is killed, if it has not served
	sockets   []string      // names of those that it took over; set when it is ready
	heartbeat time.Duration // between its heartbeats; set when it is ready

	inbox chan wire.Message // all but heartbeats and answers; closed when the link ends
	beats chan wire.Beat    // the latest

	givenUp atomic.Bool // it has served and is told to hand back
}

// variable names the descriptor of the control link in a successor's environment.
const variable = "THESEUS_UPGRADE_FD"

// markVariable tells the processes of one successor from all others: they inherit it.
const markVariable = "THESEUS_UPGRADE_MARK"

// pathVariable names the file that the successor was started from: its own first
// argument may be relative to a directory that is no longer the working one.
const pathVariable = "THESEUS_UPGRADE_PATH"

// spawn starts the program at path as successor. The system returns only once it
// has loaded the program, which from a file system that hangs may be never.
func (u *Upgrader) spawn(ctx context.Context, path, mark string) (*wire.Link, *peer, error) {
	link, theirs, err := wire.Pair()
	if err != nil {
		return nil, nil, err
	}
	cmd := u.command(path, mark, theirs)
	started := make(chan error, 1)
	go func() {
		defer theirs.Close()
		started <- cmd.Start()
	}()
	select {
	case err = <-started:
	case <-ctx.Done():
		err = fmt.Errorf("the system did not start it: %w", context.Cause(ctx))
		go func() {
			if <-started == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}()
	}
	if err != nil {
		link.Close()
		return nil, nil, err
	}
	return link, child(cmd), nil
}

// start starts the program at path as successor: a child, or the supervisor's. What
// it starts itself carries the mark, too.
func (u *Upgrader) start(ctx context.Context, path, mark string) (*successor, error) {
	start := u.spawn
	if u.Supervised() {
		start = u.sup.start
	}
	link, p, err := start(ctx, path, markVariable+"="+mark)
	if err != nil {
		return nil, err
	}
	return newSuccessor(u, link, p, Release{Path: path}), nil
}

// newSuccessor speaks with p over link from here on.
func newSuccessor(u *Upgrader, link *wire.Link, p *peer, release Release) *successor {
	s := &successor{u: u, mover: newMover(link), peer: p, release: release, lastWords: u.opt.lastWords,
		inbox: make(chan wire.Message, 16), beats: make(chan wire.Beat, 1)}
	go s.read()
	return s
}

// command is how the successor is started.
func (u *Upgrader) command(path, mark string, link *os.File) *exec.Cmd {
	cmd := exec.Command(path)
	cmd.Args = append([]string{os.Args[0]}, u.opt.Args...)
	cmd.Env = append(successorEnv(os.Environ()), u.opt.Env...)
	cmd.Env = append(cmd.Env, variable+"=3", pathVariable+"="+path, mark)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{link}
	closeOnExec()
	return cmd
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
			if s.u.running.Load() == s { // nobody else has a say in it
				s.u.stopOldest()
			}
		case wire.Beat:
			select {
			case <-s.beats:
			default:
			}
			s.beats <- m
		case wire.Taken:
			s.taken(m)
		case wire.Connection: // it is given up and hands back what it has
			if !s.givenUp.Load() {
				break
			}
			go s.u.take(s.link, m, files[0], s.dead)
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
			return none, reason(abort)
		}
		if got, ok := m.(T); ok {
			return got, nil
		}
		return none, fmt.Errorf("it sent %s where %s was due", wire.Name(m), what)
	case <-s.exited: // the link need not end with it: what it has started may hold it
		if why := s.lastWord(ctx); why != nil {
			return none, why
		}
		err := s.ended(ctx)
		if s.link.Err() == nil {
			err = fmt.Errorf("%w; processes that it left behind hold the control link", err)
		}
		return none, err
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
		return fmt.Errorf("%w%s", errSilent, s.how())
	case <-ctx.Done():
		return errors.New("it closed the control link")
	}
}

// giveUp tells the process why it is given up. One that has served, and still
// listens, gets some time to hand its connections back. Then it is killed, for only
// its death proves that what it owned is free.
func (s *successor) giveUp(why error, served bool) {
	grace := s.lastWords
	if served {
		grace = handBackLimit
	}
	s.givenUp.Store(served)
	if !errors.Is(why, errHung) {
		_ = s.link.Send(wire.Abort{Reason: why.Error()}) // a link that has failed has told it
		select {
		case <-s.exited:
		case <-time.After(grace):
		}
	}
	s.kill()
}

// reason is why the process ended the upgrade.
func reason(abort wire.Abort) error {
	if abort.Stopped {
		return fmt.Errorf("%w: %s", errStopped, abort.Reason)
	}
	return errors.New(abort.Reason)
}

// lastWord returns the reason that the process, which is dead, gave for its end; nil
// if it gave none.
func (s *successor) lastWord(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		select {
		case m, open := <-s.inbox:
			if abort, ok := m.(wire.Abort); ok {
				return reason(abort)
			}
			if !open {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// dismiss tells the process why it is not wanted. It was given nothing, so that it
// may live.
func (s *successor) dismiss(why error) {
	_ = s.link.Send(wire.Abort{Reason: why.Error()})
	s.link.Close()
	s.forget()
}

// How long a process that has not served may take to tell its own log why it is
// not wanted: a child, and one whose end somebody else waits for.
const (
	lastWords        = 100 * time.Millisecond
	lastWordsForeign = time.Second
)

// kill ends the process and waits until it is certainly dead, so that whatever it
// owned may be owned again.
func (s *successor) kill() {
	_ = s.peer.end()
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
