package systemd

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// storedPrefix marks the names of sockets that package upgrade, or its supervisor,
// has the manager keep.
const storedPrefix = "theseus|"

// StoredName is the name under which the manager keeps a socket that a service knows
// by name, and that it has opened as requested: the prefix, the name and, if it is
// another, what was requested, separated by bars. What a name of a descriptor may
// not contain is escaped. It is false for one that is too long.
func StoredName(name, requested string) (string, bool) {
	stored := storedPrefix + escape(name)
	if requested != name {
		stored += "|" + escape(requested)
	}
	return stored, len(stored) <= maxName
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("%:|", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ParseStoredName undoes [StoredName]. It is false for any other name.
func ParseStoredName(stored string) (name, requested string, ok bool) {
	rest, ok := strings.CutPrefix(stored, storedPrefix)
	if !ok {
		return "", "", false
	}
	name, requested, two := strings.Cut(rest, "|")
	if !two {
		requested = name
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return "", "", false
	}
	requested, err = url.PathUnescape(requested)
	if err != nil {
		return "", "", false
	}
	return name, requested, true
}

// Describe finds out what f is: the network and address of a socket, else "file".
func Describe(f *os.File) (network, address string) {
	if l, err := net.FileListener(f); err == nil {
		defer l.Close()
		if ul, ok := l.(*net.UnixListener); ok {
			ul.SetUnlinkOnClose(false)
		}
		return l.Addr().Network(), l.Addr().String()
	}
	if p, err := net.FilePacketConn(f); err == nil {
		defer p.Close()
		return p.LocalAddr().Network(), p.LocalAddr().String()
	}
	return "file", ""
}
