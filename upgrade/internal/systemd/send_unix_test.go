//go:build linux || darwin

package systemd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limit is how long a test waits for what must happen.
const limit = time.Minute

// manager is the receiving end of the notification socket.
type manager struct{ *net.UnixConn }

func listen(t *testing.T, address string) manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return manager{c}
}

// socketPath is short enough for a socket's address.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "notify")
}

// receive takes one datagram with what came along.
func (m manager) receive(t *testing.T) (string, []unix.SocketControlMessage) {
	t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	b, oob := make([]byte, 2*maxMessage), make([]byte, 4096)
	n, oobn, flags, _, err := m.ReadMsgUnix(b, oob)
	if err != nil {
		t.Fatal(err)
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		t.Fatalf("datagram cut: flags %#x", flags)
	}
	control, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), control
}

// files takes one datagram that carries descriptors.
func (m manager) files(t *testing.T) (string, []*os.File) {
	t.Helper()
	text, control := m.receive(t)
	var files []*os.File
	for _, c := range control {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			f := os.NewFile(uintptr(fd), "received")
			t.Cleanup(func() { f.Close() })
			files = append(files, f)
		}
	}
	return text, files
}

func TestMessages(t *testing.T) {
	t.Parallel()
	addresses := map[string]string{"path": socketPath(t)}
	if runtime.GOOS == "linux" {
		addresses["abstract"] = "@theseus-systemd-test-" + strconv.Itoa(os.Getpid())
	}
	for name, address := range addresses {
		m := listen(t, address)
		n := New(env("NOTIFY_SOCKET", address))
		if !n.Enabled() {
			t.Fatalf("%s: not enabled: %v", name, n.Err())
		}
		for _, tt := range []struct {
			call func() error
			want string
		}{
			{n.Ready, "READY=1"},
			{n.Stopping, "STOPPING=1"},
			{n.Watchdog, "WATCHDOG=1"},
			{func() error { return n.MainPID(4711) }, "MAINPID=4711"},
			{func() error { return n.Status("50 % of »all«\tdone=1") }, "STATUS=50 % of »all«\tdone=1"},
			{func() error { return n.Status("") }, "STATUS="},
			{func() error { return n.Status(strings.Repeat("a", maxMessage-len("STATUS="))) }, "STATUS=" + strings.Repeat("a", maxMessage-len("STATUS="))},
			{func() error { return n.RemoveFiles("web %d\\") }, "FDSTOREREMOVE=1\nFDNAME=web %d\\"},
		} {
			if err := tt.call(); err != nil {
				t.Fatalf("%s: %q: %v", name, tt.want, err)
			}
			if got, _ := m.receive(t); got != tt.want {
				t.Errorf("%s: received %q, want %q", name, got, tt.want)
			}
		}
	}
}

func TestReloadingTime(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	before, err := monotonicMicroseconds()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	after, err := monotonicMicroseconds()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := m.receive(t)
	digits, ok := strings.CutPrefix(text, "RELOADING=1\nMONOTONIC_USEC=")
	usec, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || usec < before || usec > after {
		t.Errorf("received %q, want a time from %d to %d", text, before, after)
	}
}

func TestStoreFiles(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sent error
	var flags int
	err = raw.Control(func(fd uintptr) {
		sent = n.StoreFiles("web", int(fd), int(fd))
		flags, _ = unix.FcntlInt(fd, unix.F_GETFL, 0)
	})
	if err != nil || sent != nil {
		t.Fatal(err, sent)
	}
	if flags&unix.O_NONBLOCK == 0 {
		t.Error("the listener has been switched to blocking")
	}
	text, files := m.files(t)
	if want := "FDSTORE=1\nFDPOLL=0\nFDNAME=web"; text != want || len(files) != 2 {
		t.Fatalf("received %q with %d descriptors, want %q with 2", text, len(files), want)
	}
	l.Close()
	kept, err := net.FileListener(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	c, err := net.Dial("tcp", kept.Addr().String())
	if err != nil {
		t.Fatalf("the stored listener refuses: %v", err)
	}
	c.Close()
}

func TestStoreMostFiles(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	fds := make([]int, maxFiles)
	if err := n.StoreFiles("null", fds...); err != nil {
		t.Fatal(err)
	}
	if _, files := m.files(t); len(files) != maxFiles {
		t.Errorf("received %d descriptors, want %d", len(files), maxFiles)
	}
	if err := n.StoreFiles("closed", 1<<20); !errors.Is(err, unix.EBADF) {
		t.Errorf("StoreFiles(a closed descriptor) = %v, want EBADF", err)
	}
}

func TestBarrier(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	done := make(chan error, 1)
	go func() { done <- n.Barrier(context.Background()) }()
	text, files := m.files(t)
	if text != "BARRIER=1" || len(files) != 1 {
		t.Fatalf("received %q with %d descriptors, want BARRIER=1 with 1", text, len(files))
	}
	select {
	case err := <-done:
		t.Fatalf("Barrier() = %v before the manager closed its end", err)
	default:
	}
	files[0].Close()
	if err := <-done; err != nil {
		t.Errorf("Barrier() = %v, want nil", err)
	}
}

func TestBarrierCancelled(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Barrier(ctx) }()
	m.files(t)
	tired := errors.New("tired of waiting")
	cancel(tired)
	if err := <-done; !errors.Is(err, tired) {
		t.Errorf("Barrier() = %v, want the cause of the context", err)
	}
	if err := n.Barrier(ctx); !errors.Is(err, tired) {
		t.Errorf("Barrier(an ended context) = %v, want its cause", err)
	}
}

func TestBarrierMisused(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	done := make(chan error, 1)
	go func() { done <- n.Barrier(context.Background()) }()
	_, files := m.files(t)
	if _, err := io.WriteString(files[0], "?"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("Barrier() = nil though the manager wrote instead of closing")
	}
}

func TestManagerGone(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	n := New(env("NOTIFY_SOCKET", path))
	for call, err := range callAll(n) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s() without a socket = %v, want fs.ErrNotExist", call, err)
		}
	}
	m := listen(t, path)
	m.Close()
	if err := n.Ready(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("Ready() to a dead socket = %v, want ECONNREFUSED", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	m = listen(t, path)
	if err := n.Ready(); err != nil {
		t.Errorf("Ready() to the manager that came back = %v, want nil", err)
	}
	m.receive(t)
}

// A manager that reads nothing costs a second, not the service.
func TestManagerStuck(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	sent, err := 0, error(nil)
	for ; err == nil && sent < 1<<20; sent++ {
		err = n.Watchdog()
	}
	if runtime.GOOS == "linux" && !errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Fatalf("message %d to a stuck manager: %v, want os.ErrDeadlineExceeded", sent, err)
	}
	m.receive(t)
	if err := n.Ready(); err != nil {
		t.Errorf("Ready() once there is room = %v, want nil", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m, n := listen(t, path), New(env("NOTIFY_SOCKET", path))
	const callers, calls = 8, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				if err := n.Status("busy"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range callers * calls {
		if text, _ := m.receive(t); text != "STATUS=busy" {
			t.Errorf("received %q", text)
		}
	}
	wg.Wait()
}
