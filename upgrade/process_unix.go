//go:build unix

package upgrade

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

const supported = true

func stopSignals() []os.Signal    { return []os.Signal{syscall.SIGTERM, syscall.SIGINT} }
func upgradeSignals() []os.Signal { return []os.Signal{syscall.SIGUSR2} }
func isUpgrade(s os.Signal) bool  { return s == syscall.SIGUSR2 }

// inheritedFile returns the file that a variable of the environment names the
// descriptor of, nil if it is not set.
func inheritedFile(name string) (*os.File, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(name) // it is not for the programs that this one starts
	if setID() {
		return nil, fmt.Errorf("%s is set: %w", name, ErrSetID)
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q is not a descriptor; unset it to start without a predecessor", name, text)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name), nil
}

// inheritedLink returns the link that a variable of the environment names the
// descriptor of, nil if it is not set.
func inheritedLink(name string) (*wire.Link, error) {
	f, err := inheritedFile(name)
	if f == nil {
		return nil, err
	}
	link, err := wire.FromFile(f)
	if err != nil {
		return nil, fmt.Errorf("%w; unset it to start without a predecessor", err)
	}
	return link, nil
}

// duplicate makes a file of a copy of a descriptor.
func duplicate(raw syscall.RawConn, name string) (f *os.File, err error) {
	var fd int
	controlErr := raw.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(controlErr, err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// heldParent watches the process that started this one where the system has no
// better means: its children get another parent when it dies.
func heldParent(pid int) *peer {
	p := &peer{pid: pid, end: func() error { return syscall.Kill(pid, syscall.SIGKILL) }, exited: make(chan struct{})}
	stop := make(chan struct{})
	p.drop = sync.OnceFunc(func() { close(stop) })
	go func() {
		tick := time.NewTicker(parentInterval)
		defer tick.Stop()
		for os.Getppid() == pid {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
		close(p.exited)
	}()
	return p
}

// parentInterval is how often heldParent looks.
const parentInterval = 10 * time.Millisecond

// readable reports whether something waits in the queue of a socket.
func readable(s syscall.Conn) (yes bool) {
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		for err == unix.EINTR {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		}
		yes = err == nil && n > 0
	})
	return yes
}
