//go:build unix

package supervise

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
)

// procs starts, signals and reaps processes. One goroutine does it all, so a
// process id is never used after it was reaped; and it keeps its thread, for
// the kernel takes the end of the thread that started a child for the
// supervisor's (PR_SET_PDEATHSIG(2const)).
type procs struct {
	all  bool // reap children that it did not start too
	work chan func()
	quit chan struct{}
	done chan struct{}
	live map[int]*proc // owned by the goroutine
}

// A proc is a process that leads its process group.
type proc struct {
	pid    int
	exited chan struct{}      // closed when it was reaped
	status syscall.WaitStatus // valid then
}

func newProcs(all bool) *procs {
	t := &procs{all: all, work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{}), live: map[int]*proc{}}
	go t.loop()
	return t
}

func (t *procs) loop() {
	defer close(t.done)
	runtime.LockOSThread() // for ever: the thread ends with the goroutine
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case f := <-t.work:
			f()
		case <-ended:
			t.reap()
		case <-t.quit:
			t.reap()
			return
		}
	}
}

// close ends the goroutine. Processes that still run stay.
func (t *procs) close() {
	close(t.quit)
	<-t.done
}

// do runs f on the goroutine; false means that it has ended.
func (t *procs) do(f func()) bool {
	ran := make(chan struct{})
	select {
	case t.work <- func() { defer close(ran); f() }:
		<-ran
		return true
	case <-t.done:
		return false
	}
}

// start runs the file path with files as its descriptors 0, 1, 2, ….
func (t *procs) start(path string, argv, env []string, files []uintptr, sys *syscall.SysProcAttr) (*proc, error) {
	err := error(ErrStopping)
	p := &proc{exited: make(chan struct{})}
	t.do(func() {
		p.pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: env, Files: files, Sys: sys})
		if err == nil {
			t.live[p.pid] = p
		}
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// signal sends sig to the process, unless it was reaped.
func (t *procs) signal(p *proc, sig syscall.Signal) (err error) {
	t.do(func() {
		if t.live[p.pid] == p {
			err = syscall.Kill(p.pid, sig)
		}
	})
	return err
}

// kill ends the process and its group.
func (t *procs) kill(p *proc) {
	t.do(func() {
		if t.live[p.pid] == p {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
			_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		}
	})
}

// reap collects what has ended.
func (t *procs) reap() {
	if t.all {
		for {
			var ws syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if pid <= 0 {
				return
			}
			t.ended(pid, ws)
		}
	}
	for pid := range t.live {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
		for errors.Is(err, syscall.EINTR) {
			got, err = syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
		}
		if got == pid || errors.Is(err, syscall.ECHILD) { // somebody else reaped it
			t.ended(pid, ws)
		}
	}
}

// ended records the end of a process; what remains of its group goes with it.
// The group's number cannot belong to another yet: ids are given out in a
// circle.
func (t *procs) ended(pid int, ws syscall.WaitStatus) {
	p := t.live[pid]
	if p == nil {
		return
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	delete(t.live, pid)
	p.status = ws
	close(p.exited)
}

// exitError tells how a process that was reaped has ended.
func (p *proc) exitError() *ExitError {
	if p.status.Signaled() {
		return &ExitError{Status: 128 + int(p.status.Signal()), Text: "signal: " + p.status.Signal().String()}
	}
	return &ExitError{Status: p.status.ExitStatus(), Text: "exit status " + strconv.Itoa(p.status.ExitStatus())}
}
