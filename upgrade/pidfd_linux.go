package upgrade

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// hold takes hold of process pid, which need not be a child. One that is dead
// already is so from the start. See pidfd_open(2).
func hold(pid int) (*peer, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case err == unix.ESRCH:
		p := &peer{pid: pid, end: func() error { return nil }, exited: make(chan struct{})}
		close(p.exited)
		return p, nil
	case (err == unix.ENOSYS || err == unix.EPERM) && os.Getppid() == pid:
		return heldParent(pid), nil // a kernel before 5.3, or a filter of system calls
	case err == unix.ENOSYS || err == unix.EPERM:
		return nil, fmt.Errorf("pidfd_open: %w: another process can be watched from Linux 5.3 on: %w", err, errors.ErrUnsupported)
	case err != nil:
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return holdFile(pid, os.NewFile(uintptr(fd), "pidfd"), nil)
}

// holdFile holds process pid by its pidfd, which it owns from here on. Told, if not
// nil, is asked once the process is dead how it ended.
func holdFile(pid int, pidfd *os.File, told func() string) (*peer, error) {
	fd, err := number(pidfd)
	if err != nil {
		pidfd.Close()
		return nil, err
	}
	exit, err := pollable(fd)
	if err != nil {
		pidfd.Close()
		return nil, err
	}
	p := &peer{pid: pid, exited: make(chan struct{}), drop: func() { exit.Close() }}
	var mu sync.Mutex // guards open, and the pidfd while it is used
	open := true
	signal := func(s unix.Signal) error {
		mu.Lock()
		defer mu.Unlock()
		if !open {
			return os.ErrProcessDone
		}
		return os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(fd, s, nil, 0))
	}
	p.end = func() error { return signal(unix.SIGKILL) }
	p.check = func() error {
		if err := signal(0); err != nil {
			return fmt.Errorf("this process may not end it, and could not take the service back: %w", err)
		}
		return nil
	}
	go func() {
		died := awaitReadable(exit, fd)
		if died && told != nil {
			p.status = told()
		}
		mu.Lock()
		open = false
		exit.Close()
		pidfd.Close()
		mu.Unlock()
		if died {
			close(p.exited)
		}
	}()
	return p, nil
}

// pollable makes a file that the runtime can wait for until the pidfd is readable.
// To make the pidfd itself such a file would change how others wait on it.
func pollable(pidfd int) (*os.File, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, pidfd, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err == nil {
		err = unix.SetNonblock(fd, true) // for os.NewFile
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return os.NewFile(uintptr(fd), "exit of a process"), nil
}

// awaitReadable waits until the process is dead; false if exit is closed before.
func awaitReadable(exit *os.File, pidfd int) bool {
	raw, err := exit.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Read(func(uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	}) == nil
}
