//go:build linux

package supervisor

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A manager stands for systemd: it takes messages and keeps descriptors.
type manager struct {
	conn *net.UnixConn
	mu   sync.Mutex
	said []string
	fds  map[string]int // by FDNAME
	wg   sync.WaitGroup
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{conn: conn, fds: map[string]int{}}
	m.wg.Go(m.read)
	t.Cleanup(func() {
		_ = conn.Close()
		m.wg.Wait()
		for _, fd := range m.fds {
			_ = unix.Close(fd)
		}
	})
	return m
}

func (m *manager) read() {
	buf, oob := make([]byte, 4096), make([]byte, 256)
	for {
		n, o, _, _, err := m.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return
		}
		m.mu.Lock()
		text := string(buf[:n])
		m.said = append(m.said, text)
		if _, name, ok := strings.Cut(text, "FDNAME="); ok {
			messages, _ := unix.ParseSocketControlMessage(oob[:o])
			for _, c := range messages {
				if fds, err := unix.ParseUnixRights(&c); err == nil {
					m.fds[strings.SplitN(name, "\n", 2)[0]] = fds[0]
				}
			}
		}
		m.mu.Unlock()
	}
}

// heard returns the number behind the first message from number after on that begins
// with text; 0 if there is none.
func (m *manager) heard(text string, after int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := after; i < len(m.said); i++ {
		if strings.HasPrefix(m.said[i], text) {
			return i + 1
		}
	}
	return 0
}

func (m *manager) await(t *testing.T, text string, after int) (next int) {
	t.Helper()
	until(t, fmt.Sprintf("%q after message %d", text, after), func() bool { next = m.heard(text, after); return next > 0 })
	return next
}

func (m *manager) tell(cmd *exec.Cmd, more ...string) {
	cmd.Env = append(append(cmd.Env, "NOTIFY_SOCKET="+m.conn.LocalAddr().String()), more...)
}

// TestSystemdIsTold: by the supervisor, and by nobody else, also after its replacement.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	w := start(t, func(w *world, c *setup) {
		m.tell(w.cmd, "WATCHDOG_USEC=100000", "FDSTORE=8")
		c.Heartbeat = 400 * time.Millisecond // three of them are what an upgrade's probe may take
	})
	n := m.await(t, "READY=1", 0)
	m.await(t, "STATUS=serving, process ", 0)
	m.await(t, "FDSTORE=1\nFDPOLL=0\nFDNAME=theseus|tcp%7C127.0.0.1%3A", 0)
	n = m.await(t, "WATCHDOG=1", n)
	pid := w.ask().pid
	_ = syscall.Kill(pid, syscall.SIGSTOP) // the watchdog gets nothing while the worker hangs
	n = m.await(t, "STATUS=degraded", n)
	_ = syscall.Kill(pid, syscall.SIGCONT)
	w.await(Recovered, 1)
	n = m.await(t, "WATCHDOG=1", n)
	next := filepath.Join(w.dir, "next")
	w.install(next, "")
	w.order("replace", next)
	w.await(Replaced, 1)
	if got := w.ordered("upgrade", ""); got != "ok" {
		t.Fatalf("upgrade: %s", got)
	}
	n = m.await(t, "RELOADING=1\nMONOTONIC_USEC=", n)
	n = m.await(t, "READY=1", n)
	w.config.Broken = "exit" // a reload that fails ends, too
	w.deploy()
	w.ordered("upgrade", "")
	n = m.await(t, "RELOADING=1\nMONOTONIC_USEC=", n)
	n = m.await(t, "READY=1", n)
	env, err := w.get("/env")
	if err != nil || strings.Contains(env, "NOTIFY_SOCKET") || strings.Contains(env, "WATCHDOG_USEC") || strings.Contains(env, "FDSTORE") || strings.Contains(env, "THESEUS_SUPERVISOR_") || strings.Contains(env, "THESEUS_BEAT_FD") || strings.Contains(env, "THESEUS_UPGRADE_FD") {
		t.Errorf("the environment of a worker: %v\n%s", err, env)
	}
	w.signal(syscall.SIGTERM)
	m.await(t, "STOPPING=1", n)
	if status := w.awaitEnd(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if m.heard("MAINPID", 0) > 0 {
		t.Error("the main process has changed")
	}
}

// TestStoreOutlivesAll: what systemd keeps is what the next supervisor's worker serves
// on; who connects in between waits.
func TestStoreOutlivesAll(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	w := start(t, func(w *world, _ *setup) { m.tell(w.cmd, "FDSTORE=8") })
	w.snapshot()
	m.await(t, "FDSTORE=1", 0)
	pid := w.ask().pid
	_ = w.cmd.Process.Kill()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	until(t, "the end of both", func() bool { return gone(w.cmd.Process.Pid) && gone(pid) })
	answered := make(chan error, 1)
	go func() { _, err := w.get("/"); answered <- err }()
	m.mu.Lock()
	var name string
	var fd int
	for name, fd = range m.fds {
	}
	m.mu.Unlock()
	next := start(t, func(n *world, _ *setup) {
		n.config.Addr = w.config.Addr
		inheritAs(t, n.cmd, fd, name)
	})
	if err := <-answered; err != nil {
		t.Errorf("a connection made meanwhile: %v", err)
	}
	if a := next.ask(); a.generation != 0 {
		t.Errorf("%+v", a)
	}
}

// inheritAs has cmd start with a descriptor 3 that LISTEN_FDS announces: a shell knows
// the number of the process that it becomes.
func inheritAs(t *testing.T, cmd *exec.Cmd, fd int, name string) {
	t.Helper()
	dup, err := duplicate(fd, 3)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "socket")
	t.Cleanup(func() { _ = f.Close() })
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" supervisor`, cmd.Path}
}

// TestSocketUnit: a socket that the manager opened goes to the first worker, and through
// crashes.
func TestSocketUnit(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fd, err := descriptorOf(ln.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, func(w *world, _ *setup) {
		w.config.Addr = ln.Addr().String()
		inheritAs(t, w.cmd, fd, "unit.socket")
	})
	_ = ln.Close()
	a := w.ask()
	if a.generation != 0 {
		t.Errorf("%+v", a)
	}
	w.snapshot()
	_ = syscall.Kill(a.pid, syscall.SIGKILL)
	if b := w.ask(); b.pid == a.pid || b.generation != 1 {
		t.Errorf("%+v, before %+v", b, a)
	}
}

func TestStoredNames(t *testing.T) {
	t.Parallel()
	for _, s := range []wire.Socket{
		{Name: "tcp|:80", Requested: "tcp|:80"}, {Name: "web", Requested: "tcp|127.0.0.1:0"}, {Name: "100% ö:|", Requested: "unix|/a b"}, {Name: "x", Requested: ""},
	} {
		name, ok := storeName(s)
		if !ok || strings.ContainsAny(name, ": ") {
			t.Errorf("storeName(%+v) = %q, %v", s, name, ok)
		}
		if got, ok := storedSocket(name); !ok || got.Name != s.Name || got.Requested != s.Requested {
			t.Errorf("storedSocket(%q) = %+v, %v, want %+v", name, got, ok, s)
		}
	}
	if _, ok := storeName(wire.Socket{Name: strings.Repeat("x", 256)}); ok {
		t.Error("a name that is too long")
	}
	for _, name := range []string{"", "web", "theseus", "theseus|%", "theseus|a|%zz"} {
		if got, ok := storedSocket(name); ok {
			t.Errorf("storedSocket(%q) = %+v", name, got)
		}
	}
}
