package supervise

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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

// heard reports whether a message begins with text, from number after on.
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

func (m *manager) environ(more ...string) []string {
	return append(append(environ(), "NOTIFY_SOCKET="+m.conn.LocalAddr().String()), more...)
}

func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	r := remoteWith(t, func(s *setup, cmd *exec.Cmd) { cmd.Env = m.environ("WATCHDOG_USEC=20000", "FDSTORE=8") })
	n := m.await(t, "FDSTORE=1\nFDNAME=web", 0)
	n = m.await(t, "READY=1", n)
	m.await(t, "STATUS=serving, process ", 0)
	n = m.await(t, "WATCHDOG=1", n)
	n = m.await(t, "WATCHDOG=1", n)
	deploy(t, r.release, "v2")
	r.signal(syscall.SIGHUP)
	n = m.await(t, "RELOADING=1\nMONOTONIC_USEC=", n)
	m.await(t, "STATUS=replacing, process ", n)
	n = m.await(t, "READY=1", n)
	deploy(t, r.release, "v3 exit 1") // a reload that is refused ends too
	r.signal(syscall.SIGHUP)
	n = m.await(t, "RELOADING=1", n)
	n = m.await(t, "READY=1", n)
	r.signal(syscall.SIGHUP)
	n = m.await(t, "RELOADING=1", n)
	n = m.await(t, "READY=1", n)
	r.signal(syscall.SIGTERM)
	m.await(t, "STOPPING=1", n)
	if got := r.awaitEnd(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.said, func(s string) bool { return strings.HasPrefix(s, "READY=1") }); len(m.said) > 0 && i >= 0 {
		if slices.ContainsFunc(m.said[:i], func(s string) bool { return strings.HasPrefix(s, "RELOADING") }) {
			t.Errorf("RELOADING before READY: %q", m.said)
		}
	}
}

// TestStoreOutlivesTheSupervisor: what systemd keeps is what the next
// supervisor serves on; what connects in between waits.
func TestStoreOutlivesTheSupervisor(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	r := remoteWith(t, func(s *setup, cmd *exec.Cmd) { cmd.Env = m.environ("FDSTORE=1") })
	m.await(t, "FDSTORE=1\nFDNAME=web", 0)
	r.await(Serving, 1)
	r.signal(syscall.SIGKILL)
	r.awaitEnd()
	r.gone()
	answer := make(chan error, 1)
	go func() { _, err := get1(r.address, "/"); answer <- err }()

	next := remoteWith(t, func(s *setup, cmd *exec.Cmd) {
		s.Listen[0].Address = r.address
		inheritAs(t, cmd, m.fds["web"], "web")
	})
	next.await(Serving, 1)
	if err := <-answer; err != nil {
		t.Errorf("a connection made meanwhile: %v", err)
	}
}

// inheritAs has cmd start with a descriptor 3 that LISTEN_FDS announces.
func inheritAs(t *testing.T, cmd *exec.Cmd, fd int, name string) {
	t.Helper()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	f, null := os.NewFile(uintptr(dup), "socket"), os.Stderr
	t.Cleanup(func() { _ = f.Close() })
	cmd.ExtraFiles = []*os.File{f, null} // the shim reports errors on descriptor 4
	cmd.Args = append([]string{cmd.Path, "exec-child", "start", "1", cmd.Path}, cmd.Args...)
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
}

// TestSocketUnit: a socket that the manager opened is passed on.
func TestSocketUnit(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fd, err := duplicate(ln.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	r := remoteWith(t, func(s *setup, cmd *exec.Cmd) {
		s.Listen = nil
		inheritAs(t, cmd, fd, "unit.socket")
	})
	r.await(Serving, 1)
	_ = ln.Close()
	body, err := get1(ln.Addr().String(), "/")
	if err != nil || !strings.HasPrefix(body, "v1 ") {
		t.Errorf("answer %q, %v", body, err)
	}
}

// TestPID1: in a process namespace of its own the supervisor is process 1: it
// reaps what is left to it, and everything ends with it.
func TestPID1(t *testing.T) {
	t.Parallel()
	r := remoteWith(t, func(s *setup, cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		}
		if probe := exec.Command("/bin/true"); true {
			probe.SysProcAttr = cmd.SysProcAttr
			if err := probe.Run(); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("no process namespaces here: %v", err)
				}
				t.Skipf("no process namespaces here: %v", err)
			}
		}
	})
	r.inside = true
	r.await(Serving, 1)
	deploy(t, r.release, "v2 orphan")
	r.signal(syscall.SIGHUP)
	r.await(Serving, 2)
	r.await(Ended, 1)
	until(t, "nothing but the child below process 1", func() bool { return len(childrenOf(r.cmd.Process.Pid)) == 1 })
	r.signal(syscall.SIGTERM)
	if got := r.awaitEnd(); got != 0 {
		t.Errorf("exit status %d", got)
	}
}
