//go:build unix

package demo

import "syscall"

// upgradable says whether processes can be replaced here.
const upgradable = true

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

// ownGroup starts a process in a group of its own, so that it and those that
// replace it can be ended together, and Ctrl-C does not reach them first.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// signalGroup signals the processes of a group, unless all of them have ended.
func signalGroup(leader int, over <-chan struct{}, sig syscall.Signal) {
	select {
	case <-over:
	default:
		_ = syscall.Kill(-leader, sig)
	}
}

// killProcess ends a process without a word.
func killProcess(pid int) error { return syscall.Kill(pid, kill) }
