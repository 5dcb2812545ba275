//go:build unix

package supervise

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A child is one run of the program.
type child struct {
	*proc
	number  int
	prog    *program
	started time.Time
	ready   chan struct{} // closed when it said READY=1
	notify  *notifyReader
	killNow chan struct{} // closed when it may not drain any longer
	state   State         // guarded by Supervisor.mu, as is
	doomed  bool          // that killNow is closed
}

// launch starts p and returns once the program itself runs. With pinned it is
// run from the descriptor that p keeps.
func (s *Supervisor) launch(ctx context.Context, p *program, pinned bool) (*child, error) {
	s.mu.Lock()
	s.started++
	c := &child{number: s.started, prog: p, started: time.Now(), state: StateStarting,
		ready: make(chan struct{}), killNow: make(chan struct{})}
	s.mu.Unlock()
	var err error
	if c.notify, err = listenNotify(s.dir + "/notify-" + strconv.Itoa(c.number)); err != nil {
		return nil, fmt.Errorf("notify socket: %w", err)
	}
	status, err := s.fork(c, pinned)
	if err != nil {
		c.notify.close()
		return nil, &StartError{Path: p.path, Err: err}
	}
	s.guard.watch(c.pid)
	c.notify.read(c.pid, func() { close(c.ready) }, func(pid int) {
		s.emit(Event{Kind: Trouble, Child: c.number, PID: c.pid,
			Detail: fmt.Sprintf("process %d said READY=1, but it is not the child: ignored", pid)})
	})
	s.mu.Lock()
	s.children[c.number] = c
	s.mu.Unlock()
	s.burials.Go(func() { s.bury(c) })
	if err := awaitExec(ctx, status, s.opt.ReadyTimeout); err != nil {
		s.discard(c)
		return nil, &StartError{Path: p.path, Err: err}
	}
	s.emit(Event{Kind: Started, Child: c.number, PID: c.pid, Took: time.Since(c.started)})
	return c, nil
}

// fork starts the shim of a child and returns the pipe that tells of execve.
func (s *Supervisor) fork(c *child, pinned bool) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	held := append(s.stdio(), w)
	if pinned {
		held = append(held, c.prog.pin)
	}
	argv := append(append([]string{}, s.opt.Self...), shimArgs(len(s.sockets), c.prog, pinned)...)
	err = withDescriptors(held, nil, func(fds []uintptr) (err error) {
		files := append([]uintptr{}, fds[:firstFD]...)
		for _, sock := range s.sockets {
			files = append(files, uintptr(sock.fd))
		}
		files = append(files, fds[firstFD:]...)
		c.proc, err = s.procs.start(s.selfPath, argv, s.childEnviron(c.notify.path), files, attributes(s.opt.StopSignal))
		return err
	})
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// stdio are standard input, output and error of children.
func (s *Supervisor) stdio() []*os.File {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for i, f := range s.opt.Stdio {
		if f != nil {
			files[i] = f
		}
	}
	return files
}

// withDescriptors calls f with the descriptors of files, which stay open
// meanwhile. File.Fd would put them into blocking mode.
func withDescriptors(files []*os.File, fds []uintptr, f func([]uintptr) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = withDescriptors(files[1:], append(fds, fd), f) })
	return errors.Join(err, inner)
}

// awaitExec reads the errno of execve; none means that it succeeded, or that
// the process has ended.
func awaitExec(ctx context.Context, status *os.File, timeout time.Duration) error {
	defer status.Close()
	_ = status.SetReadDeadline(time.Now().Add(timeout))
	defer context.AfterFunc(ctx, func() { _ = status.SetReadDeadline(time.Unix(1, 0)) })()
	var errno [4]byte
	switch n, err := io.ReadFull(status, errno[:]); {
	case n == len(errno):
		return execError(syscall.Errno(binary.LittleEndian.Uint32(errno[:])))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("execve did not return within %s", timeout)
	}
	return nil
}

// execError adds what the bare error does not say.
func execError(err syscall.Errno) error {
	switch err {
	case syscall.ENOEXEC:
		return fmt.Errorf("%w: it is not for this machine, or a script without a #! line", err)
	case syscall.ENOENT:
		return fmt.Errorf("%w: it is gone, or the interpreter that it names is missing", err)
	case syscall.ETXTBSY:
		return fmt.Errorf("%w: it is still being written; put programs in place by rename", err)
	}
	return err
}

// end is how c has ended, or that it was killed and hangs in the kernel.
func (c *child) end() *ExitError {
	select {
	case <-c.exited:
		return c.exitError()
	default:
		return &ExitError{Status: 128 + int(syscall.SIGKILL), Text: "it was killed and has not ended"}
	}
}

// bury waits for the end of c and forgets it.
func (s *Supervisor) bury(c *child) {
	select {
	case <-c.exited:
	case <-s.settled: // what should have ended has; waiting on is in vain
	}
	s.guard.forget(c.pid)
	c.notify.close()
	s.mu.Lock()
	delete(s.children, c.number)
	s.mu.Unlock()
	s.emit(Event{Kind: Ended, Child: c.number, PID: c.pid, Took: time.Since(c.started), Detail: c.end().Text})
}
