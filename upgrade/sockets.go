package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A rawSource is something with a descriptor.
type rawSource = syscall.Conn

// An inherited socket came from the predecessor, or from who started the process.
type inherited struct {
	wire.Socket
	file   *os.File // nil once it is claimed
	stored bool     // systemd has kept it
}

// Listen returns the listener of that network ("tcp", "tcp4", "tcp6" or "unix")
// and address: the predecessor's, when it has one of the same network and address,
// else a new one. Its name is network and address joined by "|".
//
// In the first process it accepts at once; in a successor once that may serve.
func (u *Upgrader) Listen(network, address string) (*Listener, error) {
	return u.ListenNamed(context.Background(), network+"|"+address, network, address, net.ListenConfig{})
}

// ListenNamed is like [Upgrader.Listen] with a name of its own, under which the
// predecessor's socket is found even when it was configured with another address
// that resolves to the same. A predecessor's socket of that name and another
// address is left behind: the new address is opened beside it, and the old one
// closes when the predecessor has drained it.
func (u *Upgrader) ListenNamed(ctx context.Context, name, network, address string, config net.ListenConfig) (*Listener, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, fmt.Errorf("listen on %s: network %q is not tcp, tcp4, tcp6 or unix", address, network)
	}
	requested := network + "|" + address
	inner, was, err := u.claimListener(name, requested)
	if err != nil {
		return nil, err
	}
	file := was.Unlink
	if inner == nil {
		if inner, err = openListener(ctx, network, address, config); err != nil {
			return nil, err
		}
		file = pathOf(network, address)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, other := range u.listeners {
		if other.name == name && !other.isClosed() {
			inner.Close()
			return nil, fmt.Errorf("listen on %s: the name %q is taken by %s", address, name, other.requested)
		}
	}
	l := newListener(u, name, requested, inner, !u.accepts())
	l.former, l.file = was.Name, newSocketFile(file)
	u.listeners = append(u.listeners, l)
	u.socketsChanged()
	return l, nil
}

// accepts reports whether listeners are open in the present state. u.mu is held.
func (u *Upgrader) accepts() bool {
	switch u.state {
	case Starting:
		return u.pred == nil
	case Probation, Serving, Upgrading:
		return true
	}
	return false
}

func openListener(ctx context.Context, network, address string, config net.ListenConfig) (socketListener, error) {
	l, err := config.Listen(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(network, address) {
		_ = os.Remove(address)
		l, err = config.Listen(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	s, ok := l.(socketListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("listen on %s: a %T cannot be handed over: %w", address, l, errors.ErrUnsupported)
	}
	if ul, ok := l.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false) // the file outlives the process
	}
	return s, nil
}

// abandoned reports whether the Unix socket at path is one that nobody listens on
// any more: a process that is killed leaves its file.
func abandoned(network, path string) bool {
	info, err := os.Lstat(path)
	if network != "unix" || err != nil || info.Mode()&os.ModeSocket == 0 {
		return false
	}
	c, err := net.DialTimeout(network, path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// A socketFile is the file of a Unix socket, which whoever ends the service
// removes. The zero value is that of a socket without one.
type socketFile struct {
	path string
	info os.FileInfo // when the socket was opened or taken over; nil if there was none
}

func newSocketFile(path string) socketFile {
	f := socketFile{path: path}
	if path != "" {
		f.info, _ = os.Lstat(path)
	}
	return f
}

// remove removes the file, unless another has taken its place.
func (f socketFile) remove() {
	if now, err := os.Lstat(f.path); f.info != nil && err == nil && os.SameFile(f.info, now) {
		_ = os.Remove(f.path)
	}
}

// pathOf returns the path of the file that a new socket of that address makes, ""
// for none.
func pathOf(network, address string) string {
	if strings.HasPrefix(network, "unix") && !strings.HasPrefix(address, "@") {
		return address
	}
	return ""
}

// claimListener takes the inherited socket of that name and request, else one of
// the same request under another name.
func (u *Upgrader) claimListener(name, requested string) (_ socketListener, was wire.Socket, _ error) {
	in := u.claim(name, requested)
	if in == nil {
		return nil, was, nil
	}
	defer in.file.Close()
	l, err := net.FileListener(in.file)
	if err != nil {
		return nil, was, fmt.Errorf("listen on %s: the socket handed over: %w", requested, err)
	}
	s, ok := l.(socketListener)
	if !ok {
		l.Close()
		return nil, was, fmt.Errorf("listen on %s: the socket handed over is a %T", requested, l)
	}
	return s, in.Socket, nil
}

// claim takes an inherited socket out of the list. The file is then the caller's.
func (u *Upgrader) claim(name, requested string) *inherited {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found *inherited
	for _, in := range u.inherited {
		if in.file == nil || in.Network == "file" || !in.serves(name, requested) || in.Name != name && anyPort(requested) {
			continue
		}
		if found = in; in.Name == name {
			break
		}
	}
	if found == nil {
		return nil
	}
	taken := *found
	found.file = nil
	return &taken
}

// serves reports whether the socket is what is asked for: it was asked for in the
// same words, is bound to that address, or was opened by a service manager, which
// decides on addresses, under that very name.
func (in *inherited) serves(name, requested string) bool {
	if in.Requested == requested {
		return true
	}
	network, address, _ := strings.Cut(requested, "|")
	if !strings.HasPrefix(network, in.Network) {
		return false
	}
	return in.Requested == "" && in.Name == name || sameAddress(network, address, in.Address)
}

// anyPort reports whether the system chooses the port: such a socket is found by
// its name alone.
func anyPort(requested string) bool { return strings.HasSuffix(requested, ":0") }

// File returns the descriptor that was handed over under that name, or nil. It is
// the caller's, and is not handed on unless it is added again.
func (u *Upgrader) File(name string) *os.File {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, in := range u.inherited {
		if in.file != nil && in.Name == name && in.Network == "file" {
			f := in.file
			in.file = nil
			return f
		}
	}
	return nil
}

// AddFile hands a descriptor of any kind to each successor. It stays the
// caller's, who must not close it while the process lives.
func (u *Upgrader) AddFile(name string, f *os.File) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.files[name]; ok {
		return fmt.Errorf("add file: the name %q is taken", name)
	}
	u.files[name] = f
	u.socketsChanged()
	return nil
}

// dropUnclaimed closes what the predecessor offered and this version does not use.
func (u *Upgrader) dropUnclaimed() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, in := range u.inherited {
		if in.file != nil {
			in.file.Close()
		}
	}
	u.inherited = nil
}

func (l *Listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
