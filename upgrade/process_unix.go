//go:build unix

package upgrade

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

const supported = true

func stopSignals() []os.Signal    { return []os.Signal{syscall.SIGTERM, syscall.SIGINT} }
func upgradeSignals() []os.Signal { return []os.Signal{syscall.SIGUSR2} }
func isUpgrade(s os.Signal) bool  { return s == syscall.SIGUSR2 }

// inheritedLink returns the control link to the predecessor, nil in the first
// process.
func inheritedLink() (*wire.Link, error) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(variable) // it is not for the programs that this one starts
	if setID() {
		return nil, fmt.Errorf("%s is set: %w", variable, ErrSetID)
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q is not a descriptor; unset it to start without a predecessor", variable, text)
	}
	unix.CloseOnExec(fd)
	link, err := wire.FromFile(os.NewFile(uintptr(fd), "control link"))
	if err != nil {
		return nil, fmt.Errorf("%s=%d: %w; unset it to start without a predecessor", variable, fd, err)
	}
	return link, nil
}

// waitDead waits until the process that started this one is dead. Its end of the
// link is closed by then, so that takes moments.
func waitDead(pid int) {
	for os.Getppid() == pid {
		time.Sleep(time.Millisecond)
	}
}

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
