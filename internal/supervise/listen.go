package supervise

import (
	"fmt"
	"net"
	"strings"
)

// Listen names a socket that the supervisor opens and keeps.
type Listen struct {
	// Name goes into LISTEN_FDNAMES: up to 255 printable ASCII characters
	// without ":". Empty means one made from network and address.
	Name    string
	Network string // "tcp", "udp" or "unix"
	// Address is host:port for tcp and udp, port 0 for one that is free, and a
	// path for unix ("@name" for Linux's abstract sockets).
	Address string
}

// ParseListen reads [NAME=]tcp:HOST:PORT, [NAME=]udp:HOST:PORT or
// [NAME=]unix:PATH.
func ParseListen(s string) (Listen, error) {
	var l Listen
	spec := s
	if name, rest, ok := strings.Cut(s, "="); ok && !strings.ContainsAny(name, ":/") {
		l.Name, spec = name, rest
		if name == "" {
			return Listen{}, fmt.Errorf("socket %q: the name before = is empty", s)
		}
	}
	var ok bool
	if l.Network, l.Address, ok = strings.Cut(spec, ":"); !ok {
		return Listen{}, fmt.Errorf("socket %q: write tcp:HOST:PORT, udp:HOST:PORT or unix:PATH", s)
	}
	if err := l.check(); err != nil {
		return Listen{}, err
	}
	return l, nil
}

// String is what [ParseListen] reads.
func (l Listen) String() string {
	if l.Name == "" {
		return l.Network + ":" + l.Address
	}
	return l.Name + "=" + l.Network + ":" + l.Address
}

func (l Listen) check() error {
	if l.Name != "" && !validName(l.Name) {
		return fmt.Errorf("socket %q: a name has up to 255 printable ASCII characters, without : and =", l.String())
	}
	switch l.Network {
	case "tcp", "udp":
		if _, _, err := net.SplitHostPort(l.Address); err != nil {
			return fmt.Errorf("socket %q: write %s:HOST:PORT: %w", l.String(), l.Network, err)
		}
	case "unix":
		if l.Address == "" || strings.ContainsRune(l.Address, 0) {
			return fmt.Errorf("socket %q: write unix:PATH", l.String())
		}
	default:
		return fmt.Errorf("socket %q: network %q is none of tcp, udp, unix", l.String(), l.Network)
	}
	return nil
}

// validName follows sd_pid_notify_with_fds(3), FDNAME=; "=" would not parse.
func validName(name string) bool {
	return len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r > '~' || r == ':' || r == '='
	})
}

// name is the name given, or one made from network and address.
func (l Listen) name() string {
	if l.Name != "" {
		return l.Name
	}
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' || r == '=' || r == '/' {
			return '-'
		}
		return r
	}, l.Network+"-"+l.Address)
	return name[max(0, len(name)-255):]
}
