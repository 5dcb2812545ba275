package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// maxSocketPath is the longest path that every supported system can bind, in
// bytes: macOS has room for 104 with the final zero.
const maxSocketPath = 103

// ListenUnix listens on a Unix socket at path that only its owner may open. A
// socket left there by a process that has died is replaced; any other file, and
// a socket that answers, is an error. The file is removed when the listener is
// closed, unless somebody else's has taken its place.
//
// On Linux and macOS the socket is bound in a private directory, given mode 0600
// and renamed into place, so that it is never open to others.
func ListenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	bind := path
	if runtime.GOOS != "windows" {
		dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", path, err)
		}
		defer os.RemoveAll(dir)
		bind = filepath.Join(dir, "s")
	}
	if n := max(len(path), len(bind)); n > maxSocketPath {
		return nil, fmt.Errorf("listen on %s: the path is %d bytes too long for a unix socket: use a shorter directory, or TCP",
			path, n-maxSocketPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bind, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if bind != path {
		if err := errors.Join(os.Chmod(bind, 0o600), os.Rename(bind, path)); err != nil {
			l.Close()
			return nil, fmt.Errorf("listen on %s: %w", path, err)
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &socketListener{UnixListener: l, path: path, info: info}, nil
}

// OwnUnix makes sure that only its owner may open the socket that was bound at
// bound, in a directory of mode 0700, and moves it to path, where one that a dead
// process has left is replaced.
func OwnUnix(bound, path string) error {
	err := removeStale(path)
	if err == nil {
		err = errors.Join(os.Chmod(bound, 0o600), os.Rename(bound, path))
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	return nil
}

// OwnerOnly returns nil when the file mode keeps everyone but the owner of the
// socket at path away, as [Options].Token says.
func OwnerOnly(path string) error { return ownerOnly(path) }

// removeStale removes a socket that nobody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// Windows does not always mark a socket as one; there a dial tells.
	if info.Mode()&fs.ModeSocket == 0 && runtime.GOOS != "windows" {
		return errors.New("a file that is not a socket is there: move it away")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return errors.New("another process listens there: stop it, or choose another path")
	}
	// One that is busy or another user's is not stale. Windows has other numbers.
	if !errors.Is(err, syscall.ECONNREFUSED) && runtime.GOOS != "windows" {
		return fmt.Errorf("can't tell whether another process listens there: %w", err)
	}
	if info.Mode().IsRegular() && info.Size() > 0 {
		return errors.New("a file that is not a socket is there: move it away")
	}
	return os.Remove(path)
}

// socketListener is a Unix listener under its final path.
type socketListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo // of the socket when it was made
	once sync.Once
}

// Addr returns the path that clients dial.
func (l *socketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening and removes the socket if it is still this one.
func (l *socketListener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() {
		if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.info) {
			err = errors.Join(err, os.Remove(l.path))
		}
	})
	return err
}

// ownerOnly returns nil when the file mode keeps everyone but the owner of the
// socket at path away.
func ownerOnly(path string) error {
	if runtime.GOOS == "windows" {
		return errors.New("file modes don't protect sockets on Windows")
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("its mode is %v: only 0600 goes without", info.Mode())
	}
	return nil
}

// ownerListener marks the connections of a socket that only its owner may open.
type ownerListener struct{ net.Listener }

func (l ownerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return markedConn{c}, nil
}

type markedConn struct{ net.Conn }

type ownerKey struct{}

// markConn carries the mark of a connection into its requests.
func markConn(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(markedConn); ok {
		return context.WithValue(ctx, ownerKey{}, true)
	}
	return ctx
}

// ownerConn reports whether a request came over a socket that only its owner
// may open.
func ownerConn(ctx context.Context) bool {
	owner, _ := ctx.Value(ownerKey{}).(bool)
	return owner
}
