package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

func rendezvousSupported() error { return nil }

// lockTimeout limits the wait for another process that binds the path just now.
const lockTimeout = 10 * time.Second

// dialOrBind connects to the service, or makes the caller the one that listens. Of
// several processes that find nobody exactly one comes to listen: they take turns
// by a lock file beside the socket, which stays. Both results are nil if the
// service has no room in its queue.
func (r *rendezvous) dialOrBind() (*net.UnixConn, *net.UnixListener, error) {
	c, err := r.dial()
	if err == nil || !nobody(err) {
		return c, nil, err
	}
	lock, err := os.OpenFile(r.path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return nil, nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if c, err = r.dial(); err == nil || !nobody(err) { // somebody was faster
		return c, nil, err
	}
	if err := r.removeStale(); err != nil {
		return nil, nil, err
	}
	l, err := bind(r.path)
	return nil, l, err
}

func (r *rendezvous) dial() (*net.UnixConn, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
	if errors.Is(err, syscall.EAGAIN) {
		return nil, nil
	}
	return c, err
}

// nobody reports whether err of dial means that nobody listens.
func nobody(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// removeStale removes the socket of a process that was killed. The lock is held, and
// nobody listens.
func (r *rendezvous) removeStale() error {
	info, err := os.Lstat(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("it exists, and is not a socket: remove it, or choose another path")
	}
	return os.Remove(r.path)
}

// flock takes the lock, which a process holds for moments only.
func flock(f *os.File) error {
	fd, err := number(f)
	if err != nil {
		return err
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			return err
		}
	}
}

// bind listens at path. The socket's own mode is that of the file (unix(7)), so that
// it is never open to others.
func bind(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false) // the file outlives the process
	return ul, nil
}

// own makes this process the one that others find at the other end: a connection has
// the credentials of who called listen(2) last, not of who accepts.
func (r *rendezvous) own() {
	raw, err := r.l.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) })
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		r.u.opt.Log.Error("upgrade: rendezvous", "error", err)
	}
}

// backlog is as long as the system lets it be.
const backlog = 1 << 15

// identify takes hold of the process at the other end of c, if it is one of the own
// user or root.
func identify(c *net.UnixConn, link *wire.Link) (*peer, error) {
	pid, uid, _, err := link.Peer()
	switch own := os.Geteuid(); {
	case err != nil:
		return nil, err
	case uid != own && uid != 0:
		return nil, fmt.Errorf("process %d belongs to user %d: only user %d and root may take part in upgrades of this service", pid, uid, own)
	case pid == 0:
		return nil, errors.New("the process is in another PID namespace, and cannot be seen: let the two share one")
	case pid == os.Getpid():
		return nil, errors.New("this process itself")
	}
	pidfd, err := peerPidfd(c)
	if err != nil {
		return hold(pid)
	}
	return holdFile(pid, pidfd, nil)
}

// peerPidfd is how the process at the other end can be held even if its number is
// another's by now. Linux has it from 6.5 on.
func peerPidfd(c *net.UnixConn) (f *os.File, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	controlErr := raw.Control(func(s uintptr) { fd, err = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PEERPIDFD) })
	if err := errors.Join(controlErr, err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}
