//go:build unix

package supervise

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mostInherited bounds LISTEN_FDS.
const mostInherited = 1024

// inherit takes over the descriptors that LISTEN_FDS announces to this process
// (sd_listen_fds(3)): it owns them from then on. Variables for another process
// are ignored.
func inherit(getenv func(string) string) ([]*socket, error) {
	n, names, err := parseInherited(getenv, os.Getpid())
	if err != nil || n == 0 {
		return nil, err
	}
	var all []*socket
	for i := range n {
		s := &socket{name: names[i], fd: firstFD + i}
		if s.network, s.address, err = describe(s.fd); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS=%d: descriptor %d: %w", n, s.fd, err)
		}
		unix.CloseOnExec(s.fd)
		all = append(all, s)
	}
	return all, nil
}

// parseInherited returns the number of descriptors and a name for each.
func parseInherited(getenv func(string) string, pid int) (int, []string, error) {
	count := getenv("LISTEN_FDS")
	if count == "" || getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return 0, nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > mostInherited {
		return 0, nil, fmt.Errorf("LISTEN_FDS=%q is not a number from 0 to %d", count, mostInherited)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	if len(names) != n {
		names = make([]string, n)
	}
	for i, name := range names {
		if name == "" || !validName(name) {
			names[i] = "unknown" // what sd_listen_fds_with_names(3) says
		}
	}
	return n, names, nil
}

// describe returns network and local address of an open descriptor; other
// files than sockets have the network "file".
func describe(fd int) (network, address string, err error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err == unix.ENOTSOCK {
		return "file", "", nil
	} else if err != nil {
		return "", "", os.NewSyscallError("getsockopt", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return "", "", os.NewSyscallError("getsockname", err)
	}
	stream := kind == unix.SOCK_STREAM
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return inet(stream), net.JoinHostPort(net.IP(sa.Addr[:]).String(), strconv.Itoa(sa.Port)), nil
	case *unix.SockaddrInet6:
		ip := net.IPAddr{IP: sa.Addr[:]}
		if sa.ZoneId != 0 {
			ip.Zone = strconv.Itoa(int(sa.ZoneId))
		}
		return inet(stream), net.JoinHostPort(ip.String(), strconv.Itoa(sa.Port)), nil
	case *unix.SockaddrUnix:
		if !stream {
			return "unixgram", sa.Name, nil
		}
		return "unix", sa.Name, nil
	}
	return "socket", "", nil
}

func inet(stream bool) string {
	if stream {
		return "tcp"
	}
	return "udp"
}
