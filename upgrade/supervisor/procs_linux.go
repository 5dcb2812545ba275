package supervisor

import (
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// procs starts, signals and reaps processes. A process is reaped under the lock
// under which it is started and signalled, so no process ID is used after it may
// belong to another.
type procs struct {
	all   bool        // reap children that it did not start, too
	ended func(*proc) // called for each of its own that has ended, without the lock

	mu   sync.Mutex
	live map[int]*proc

	quit, done chan struct{} // of the goroutine that reaps; nil while it does not run
}

// A proc is a child that leads its process group.
type proc struct {
	pid    int
	fd     int                // a pidfd, closed by whoever keeps the proc
	exited chan struct{}      // closed when it was reaped
	status syscall.WaitStatus // valid then
}

func newProcs(all bool, ended func(*proc)) *procs {
	return &procs{all: all, ended: ended, live: map[int]*proc{}}
}

// resume reaps from here on, what has ended before too.
func (t *procs) resume() {
	t.quit, t.done = make(chan struct{}), make(chan struct{})
	go func(quit, done chan struct{}) {
		defer close(done)
		child := make(chan os.Signal, 1)
		signal.Notify(child, syscall.SIGCHLD)
		defer signal.Stop(child)
		for {
			for _, p := range t.reap() {
				t.ended(p)
			}
			select {
			case <-child:
			case <-quit:
				return
			}
		}
	}(t.quit, t.done)
}

// pause ends the reaping: who ends from here on stays a zombie. The channel is
// closed when all that was reaped has been reported.
func (t *procs) pause() <-chan struct{} {
	close(t.quit)
	return t.done
}

// start runs the file path with files as its descriptors 0, 1, 2, …; ^0 stands for
// none. Death, if not 0, is the signal that the process gets when this one dies.
func (t *procs) start(path string, argv, env []string, files []uintptr, death syscall.Signal) (*proc, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}})
	if err != nil {
		return nil, execError(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return t.add(pid, fd), nil
}

// adopt takes over a child that the program before this one in the same process
// has started.
func (t *procs) adopt(pid int) (*proc, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return t.add(pid, fd), nil
}

// add is called with the lock held.
func (t *procs) add(pid, fd int) *proc {
	p := &proc{pid: pid, fd: fd, exited: make(chan struct{})}
	t.live[pid] = p
	return p
}

// signal sends sig to the process, unless it was reaped.
func (t *procs) signal(p *proc, sig syscall.Signal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live[p.pid] != p {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.pid, sig)
}

// kill ends the process and its group.
func (t *procs) kill(p *proc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live[p.pid] == p {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
}

// reap collects what has ended and returns its own of them.
func (t *procs) reap() (ended []*proc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all {
		for {
			pid, ws := wait(-1)
			if pid <= 0 {
				return ended
			}
			ended = t.bury(ended, pid, ws)
		}
	}
	for pid := range t.live {
		if got, ws := wait(pid); got == pid {
			ended = t.bury(ended, pid, ws)
		}
	}
	return ended
}

// wait collects a child that has ended; the pid is not above zero if there is none.
func wait(pid int) (int, syscall.WaitStatus) {
	var ws syscall.WaitStatus
	for {
		got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.ECHILD && pid > 0 {
			return pid, ws // somebody else in this process has reaped it
		}
		return got, ws
	}
}

// bury records the end of a process; what remains of its group goes with it. The
// group's number cannot belong to another yet: numbers are given out in a circle.
func (t *procs) bury(ended []*proc, pid int, ws syscall.WaitStatus) []*proc {
	p := t.live[pid]
	if p == nil {
		return ended
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	delete(t.live, pid)
	p.status = ws
	close(p.exited)
	return append(ended, p)
}

// statusOf is the exit status as a shell reports it: 128+n if signal n ended the
// process.
func statusOf(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// statusText is the same for people.
func statusText(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return "signal: " + ws.Signal().String()
	}
	return "exit status " + strconv.Itoa(ws.ExitStatus())
}
