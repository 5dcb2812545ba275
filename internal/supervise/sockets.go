//go:build unix

package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A socket is kept for ever: it is only ever duplicated into children.
type socket struct {
	name, network, address string
	fd                     int    // close-on-exec
	file, id               string // path to remove in the end and its identity; empty if it is not ours
	own                    bool   // opened here, or taken back from systemd's store
}

func (s *socket) close() {
	_ = unix.Close(s.fd)
	if s.file != "" && identity(s.file) == s.id {
		_ = os.Remove(s.file)
	}
}

func closeAll(sockets []*socket) {
	for _, s := range sockets {
		s.close()
	}
}

// collect returns the sockets of the children: those inherited, then those
// opened. An inherited one with the name and address of an entry of opt.Listen
// is that entry.
func collect(opt Options, inherited []*socket) (all []*socket, err error) {
	var opened []*socket
	defer func() {
		if err != nil {
			closeAll(append(opened, inherited...))
		}
	}()
	for _, l := range opt.Listen {
		s := take(&inherited, l)
		if s == nil {
			if s, err = open(l); err != nil {
				return nil, err
			}
		}
		s.own = true
		opened = append(opened, s)
	}
	all = append(inherited, opened...)
	if opt.Nonblocking || opt.FDs == StyleNginx {
		for _, s := range all {
			if err = unix.SetNonblock(s.fd, true); err != nil {
				return nil, fmt.Errorf("socket %s: non-blocking mode: %w", s.name, err)
			}
		}
	}
	return all, nil
}

// take removes the entry that is l from the list and returns it.
func take(list *[]*socket, l Listen) *socket {
	for i, s := range *list {
		if s.name == l.name() && s.network == l.Network && sameAddress(s.address, l) {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			s.ownFile(l)
			return s
		}
	}
	return nil
}

// sameAddress compares ports only, for a host name may have any address.
func sameAddress(address string, l Listen) bool {
	if l.Network == "unix" {
		return address == l.Address
	}
	_, have, err1 := net.SplitHostPort(address)
	_, want, err2 := net.SplitHostPort(l.Address)
	port, err3 := net.LookupPort(l.Network, want)
	return err1 == nil && err2 == nil && err3 == nil && (port == 0 || have == fmt.Sprint(port))
}

// open makes a listening socket, in blocking mode.
func open(l Listen) (*socket, error) {
	conn, err := bind(l)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", l, err)
	}
	s := &socket{name: l.name(), network: l.Network}
	s.fd, err = duplicate(conn)
	_ = conn.Close() // the duplicate keeps it open
	if err == nil {
		err = unix.SetNonblock(s.fd, false) // nobody else has it yet
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", l, err)
	}
	if _, s.address, err = describe(s.fd); err != nil {
		_ = unix.Close(s.fd)
		return nil, fmt.Errorf("listen on %s: %w", l, err)
	}
	s.ownFile(l)
	return s, nil
}

// ownFile has the socket's file removed in the end.
func (s *socket) ownFile(l Listen) {
	if l.Network == "unix" && !strings.HasPrefix(l.Address, "@") {
		s.file, s.id = l.Address, identity(l.Address)
	}
}

// closer is a socket of package net.
type closer interface {
	syscall.Conn
	Close() error
}

func bind(l Listen) (closer, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // the children are told "tcp" and get it
	switch l.Network {
	case "udp":
		c, err := lc.ListenPacket(context.Background(), l.Network, l.Address)
		if err != nil {
			return nil, err
		}
		return c.(*net.UDPConn), nil
	case "tcp":
		ln, err := lc.Listen(context.Background(), l.Network, l.Address)
		if err != nil {
			return nil, err
		}
		return ln.(*net.TCPListener), nil
	}
	return bindUnix(&lc, l.Address)
}

// bindUnix replaces a socket file that a process which died left behind.
func bindUnix(lc *net.ListenConfig, path string) (closer, error) {
	ln, err := lc.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err = os.Remove(path); err == nil {
			ln, err = lc.Listen(context.Background(), "unix", path)
		}
	}
	if err != nil {
		return nil, err
	}
	u := ln.(*net.UnixListener)
	u.SetUnlinkOnClose(false)
	return u, nil
}

// abandoned reports whether path is a socket on which nobody listens.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// duplicate returns a new descriptor of the same socket. Unlike File().Fd() it
// leaves the mode of the socket alone.
func duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	dup, dupErr := -1, error(nil)
	err = raw.Control(func(fd uintptr) {
		dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstFD)
	})
	return dup, errors.Join(err, dupErr)
}
