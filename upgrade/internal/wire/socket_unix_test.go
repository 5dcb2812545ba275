//go:build unix

package wire

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func nonblocking(t *testing.T, c syscall.Conn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	var inner error
	err = raw.Control(func(fd uintptr) { flags, inner = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	if err := errors.Join(err, inner); err != nil {
		t.Fatal(err)
	}
	return flags&unix.O_NONBLOCK != 0
}

func rawConn(t *testing.T, c syscall.Conn) syscall.RawConn {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A listener is passed on while its owner waits in Accept. Neither owner's mode
// changes and both can accept.
func TestSendConnOfListenerInUse(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	accepted := make(chan error, 1)
	go func() { accepted <- accept(tcp) }()

	sockets := Sockets{Sockets: []Socket{{Name: "tcp"}, {Name: "udp"}}}
	if err := a.SendConn(sockets, rawConn(t, tcp.(*net.TCPListener)), rawConn(t, udp.(*net.UDPConn))); err != nil {
		t.Fatal(err)
	}
	_, files, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []syscall.Conn{tcp.(*net.TCPListener), udp.(*net.UDPConn), files[0], files[1]} {
		if !nonblocking(t, c) {
			t.Errorf("socket %d is blocking", i)
		}
	}
	dial(t, tcp.Addr())
	if err := <-accepted; err != nil {
		t.Errorf("the sender's accept: %v", err)
	}

	successor, err := net.FileListener(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	closeAll(files)
	tcp.Close()
	go func() { accepted <- accept(successor) }()
	dial(t, successor.Addr())
	if err := <-accepted; err != nil {
		t.Errorf("the successor's accept: %v", err)
	}
	if !nonblocking(t, successor.(*net.TCPListener)) {
		t.Error("the successor's listener is blocking")
	}
}

func accept(l net.Listener) error {
	c, err := l.Accept()
	if err == nil {
		err = c.Close()
	}
	return err
}

func dial(t *testing.T, addr net.Addr) {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A blocking descriptor stays blocking for its owner.
func TestBlockingStaysBlocking(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if err := a.Send(Connection{}, p[0]); err != nil {
		t.Fatal(err)
	}
	_, files, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(files)
	if nonblocking(t, files[0]) {
		t.Error("the received descriptor is non-blocking")
	}
	if flags, err := unix.FcntlInt(uintptr(p[0]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the sender's descriptor has flags %#x, %v", flags, err)
	}
}

func TestPairIsCloseOnExec(t *testing.T) {
	t.Parallel()
	l, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer f.Close()
	for i, c := range []syscall.Conn{l.conn, f} {
		err := rawConn(t, c).Control(func(fd uintptr) {
			if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("end %d: flags %#x, %v, want close-on-exec", i, flags, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "wire") // t.TempDir may be too long for an address
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"client": c, "server": s} {
		l := New(conn.(*net.UnixConn))
		defer l.Close()
		pid, uid, gid, err := l.Peer()
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil || pid != os.Getpid() || uid != os.Getuid() || gid != os.Getgid() {
			t.Errorf("%s: peer = %d, %d, %d, %v", name, pid, uid, gid, err)
		}
	}
}

// A witness is a socket that knows whether link is kept for one sender while
// the socket is borrowed.
type witness struct {
	syscall.RawConn
	link *Link
	free bool
}

func (w *witness) Control(f func(fd uintptr)) error {
	return w.RawConn.Control(func(fd uintptr) {
		f(fd)
		if w.link.sending.TryLock() {
			w.free = true
			w.link.sending.Unlock()
		}
	})
}

// A frame that is written in pieces keeps other senders out to its end.
// TestConcurrentSenders sees a mix of frames only now and then.
func TestOneSenderAtATime(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	w := &witness{RawConn: rawConn(t, a.conn), link: a}
	if err := a.SendConn(Connection{}, w); err != nil {
		t.Fatal(err)
	}
	if w.free {
		t.Error("another sender could have written into the frame")
	}
	_, files, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	closeAll(files)
}
