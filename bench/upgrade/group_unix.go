//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// startGroup starts a program in a process group of its own.
func startGroup(cmd *exec.Cmd) (*group, error) {
	if err := adoptOrphans(); err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &group{id: cmd.Process.Pid, done: make(chan struct{}), gone: make(chan struct{})}
	go g.reap()
	_ = cmd.Process.Release() // reap waits for it
	return g, nil
}

// reapGroup collects what has ended; it does not wait.
func reapGroup(id int) {
	for {
		pid, err := unix.Wait4(-id, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func killGroup(id int) error {
	if err := unix.Kill(-id, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("kill process group %d: %w", id, err)
	}
	return nil
}

// inGroup reports whether a process belongs to a group.
func inGroup(pid, id int) bool {
	of, err := unix.Getpgid(pid)
	return err == nil && of == id
}

// upgradeSignal asks a process to upgrade.
func upgradeSignal(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	return p.Signal(unix.SIGUSR2)
}
