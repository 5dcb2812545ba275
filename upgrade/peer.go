package upgrade

import (
	"os"
	"os/exec"
)

// A peer is the process at the other side of an upgrade, held so that its number cannot come to
// mean another one: a child that is reaped here, or a process that somebody else
// started.
type peer struct {
	pid    int
	end    func() error  // kills it
	check  func() error  // reports an error if it may not be killed; nil for a child
	drop   func()        // lets go of it while it lives; nil if there is nothing to do
	exited chan struct{} // closed when it is known to be dead
	status string        // how it ended, "" if nobody told; valid once exited is closed
}

// child holds a process that this one has started.
func child(cmd *exec.Cmd) *peer {
	p := &peer{pid: cmd.Process.Pid, end: cmd.Process.Kill, exited: make(chan struct{})}
	go p.reap(cmd)
	return p
}

func (p *peer) reap(cmd *exec.Cmd) {
	err := cmd.Wait()
	p.status = "exit status 0"
	if err != nil {
		p.status = err.Error()
	}
	close(p.exited)
}

// dead waits until the process is. Nothing that it owned is in use any more then.
func (p *peer) dead() { <-p.exited }

// isDead reports whether the process is known to be dead.
func (p *peer) isDead() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// how is how the process, which is dead, ended, for the end of a sentence.
func (p *peer) how() string {
	if p.status == "" {
		return "" // only its parent knows
	}
	return ": " + p.status
}

// endable reports an error if this process may not kill the other one.
func (p *peer) endable() error {
	if p.check == nil {
		return nil
	}
	return p.check()
}

// forget lets go of a process that may live on.
func (p *peer) forget() {
	if p.drop != nil {
		p.drop()
	}
}

// number returns the descriptor of f, and changes nothing about it.
func number(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}
