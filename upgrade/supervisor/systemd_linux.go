package supervisor

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/systemd"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// warn logs an error of telling systemd something.
func (s *Supervisor) warn(err error) {
	if err != nil {
		s.opt.Log.Warn("systemd was not told", "error", err)
	}
}

// alive feeds systemd's watchdog while the worker that serves is well.
func (s *Supervisor) alive() {
	if s.serving != nil && s.degraded.IsZero() {
		s.warn(s.notify.Watchdog())
	}
}

// activate takes over the sockets of the service manager: those that it opened and
// those that it kept for an earlier process.
func (s *Supervisor) activate() error {
	s.warn(s.notify.Err())
	files, err := systemd.Files(os.LookupEnv, os.Getpid())
	if err != nil {
		return err
	}
	for _, name := range systemd.ListenVariables() {
		os.Unsetenv(name)
	}
	if len(files) == 0 {
		return nil
	}
	snap := newSnapshot()
	known := map[uint64]bool{}
	for _, f := range files {
		sock, stored := storedSocket(f.Name)
		if !stored {
			sock.Name = f.Name
		}
		sock.Network, sock.Address = systemd.Describe(f.File)
		if sock.Network == "unix" && stored && !strings.HasPrefix(sock.Address, "@") {
			sock.Unlink = sock.Address
		}
		fd, err := keep(f.File)
		if err != nil {
			snap.release()
			return err
		}
		inode := inodeOf(fd)
		if stored {
			s.stored[f.Name] = inode
		}
		if known[inode] {
			closeFD(fd) // the unit opens it, and it was stored too
			continue
		}
		known[inode] = true
		snap.sockets = append(snap.sockets, heldSocket{sock, fd})
	}
	s.snap, s.activated = snap, true
	return nil
}

func inodeOf(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

func listening(fd int) bool {
	yes, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && yes == 1
}

// storeFiles gives systemd copies of the sockets that listen, if it keeps any, and
// takes back those that are no longer in use.
func (s *Supervisor) storeFiles() error {
	room, err := strconv.Atoi(os.Getenv("FDSTORE"))
	if err != nil || room <= 0 || !s.notify.Enabled() {
		return nil
	}
	now := map[string]heldSocket{}
	for _, sock := range s.snap.sockets {
		if name, ok := storeName(sock.Socket); ok && sock.Requested != "" && listening(sock.fd) && len(now) < room {
			now[name] = sock
		}
	}
	for name, inode := range s.stored {
		if sock, ok := now[name]; !ok || inodeOf(sock.fd) != inode {
			if err := s.notify.RemoveFiles(name); err != nil {
				return err
			}
			delete(s.stored, name)
		}
	}
	for name, sock := range now {
		if _, ok := s.stored[name]; ok {
			continue
		}
		if err := s.notify.StoreFiles(name, sock.fd); err != nil {
			return err
		}
		s.stored[name] = inodeOf(sock.fd)
	}
	return nil
}

// forgetFiles takes back those sockets whose file in the file system the worker has
// removed: nobody could connect to them.
func (s *Supervisor) forgetFiles() error {
	if !s.stopping || s.snap == nil {
		return nil
	}
	for _, sock := range s.snap.sockets {
		name, ok := storeName(sock.Socket)
		if _, stored := s.stored[name]; !ok || !stored || sock.Unlink == "" {
			continue
		}
		if err := s.notify.RemoveFiles(name); err != nil {
			return err
		}
		delete(s.stored, name)
	}
	return nil
}

// storeName is the name of a socket in the store. It is false for one that is too long.
func storeName(sock wire.Socket) (string, bool) { return systemd.StoredName(sock.Name, sock.Requested) }

// storedSocket is the inverse: it sets the name and what was asked for.
func storedSocket(stored string) (sock wire.Socket, ok bool) {
	sock.Name, sock.Requested, ok = systemd.ParseStoredName(stored)
	return sock, ok
}
