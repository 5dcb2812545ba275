//go:build linux

package upgrade

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A manager hears what processes tell systemd, and which process it was.
type manager struct {
	mu    sync.Mutex
	said  []string            // "PID message", but for what is about the store
	store map[string]*os.File // what it keeps, by name
}

func listenNotify(t *testing.T, path string) *manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1) }); err != nil {
		t.Fatal(err)
	}
	m := &manager{store: map[string]*os.File{}}
	go func() {
		buf, control := make([]byte, 4096), make([]byte, 1024)
		for {
			n, oob, _, _, err := c.ReadMsgUnix(buf, control)
			if err != nil {
				return
			}
			m.note(string(buf[:n]), control[:oob])
		}
	}()
	return m
}

func (m *manager) note(text string, control []byte) {
	pid := 0
	var files []*os.File
	if all, err := syscall.ParseSocketControlMessage(control); err == nil {
		for _, c := range all {
			if cred, err := syscall.ParseUnixCredentials(&c); err == nil {
				pid = int(cred.Pid)
			}
			if fds, err := syscall.ParseUnixRights(&c); err == nil {
				for _, fd := range fds {
					files = append(files, os.NewFile(uintptr(fd), "stored"))
				}
			}
		}
	}
	text, _, _ = strings.Cut(text, "\nMONOTONIC_USEC=")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keep(text, files) {
		return
	}
	if !strings.HasPrefix(text, "WATCHDOG") {
		m.said = append(m.said, fmt.Sprint(pid, " ", text))
	}
}

// keep does what a message about the store asks for. M is locked.
func (m *manager) keep(text string, files []*os.File) bool {
	if name, ok := strings.CutPrefix(text, "FDSTOREREMOVE=1\nFDNAME="); ok {
		m.store[name].Close()
		delete(m.store, name)
		return true
	}
	name, ok := strings.CutPrefix(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=")
	if ok && len(files) == 1 && m.store[name] == nil {
		m.store[name] = files[0]
		return true
	}
	closeAll(files)
	return ok
}

// stored returns the names of what is kept, sorted.
func (m *manager) stored() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.store))
}

// expect waits until exactly that was said, and forgets it.
func (m *manager) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	got := func() []string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return append([]string(nil), m.said...)
	}
	waitOr(func() bool { return len(got()) >= len(want) })
	if g := got(); strings.Join(g, ", ") != strings.Join(want, ", ") {
		t.Errorf("%s: the manager heard\n\t%s\nwant\n\t%s", what, strings.Join(g, ", "), strings.Join(want, ", "))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = nil
}

// waitOr waits until ok, for half a minute.
func waitOr(ok func() bool) bool {
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// Systemd listens to the main process alone: each message must come from the one
// that is it by then.
func TestNotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n")
	m := listenNotify(t, path)
	in := startInstance(t, &instance{env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=100000"}})
	a := in.pid()
	say := func(pid int, text string) string { return fmt.Sprint(pid, " ", text) }
	m.expect(t, "start", say(a, "READY=1"))

	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	b := r.PID
	m.expect(t, "a good upgrade", say(a, "RELOADING=1"), say(a, fmt.Sprint("MAINPID=", b)), say(b, fmt.Sprint("MAINPID=", b)), say(b, "READY=1"))
	waitFor(t, "the PID file", func() bool { return in.pid() == b })

	in.set(func(c *config) { c.Broken, c.Heartbeat = "unhealthy", 50*time.Millisecond })
	if _, err := in.upgrade("force=1&probation=1m"); err == nil {
		t.Error("an unhealthy process succeeded")
	}
	m.expect(t, "a rolled-back upgrade", say(b, "RELOADING=1"), say(b, "READY=1"))

	in.set(func(c *config) { c.Probation = time.Minute })
	if r, err = in.upgrade("force=1&probation=100ms"); err != nil {
		t.Fatal(err)
	}
	c := r.PID
	m.expect(t, "another", say(b, "RELOADING=1"), say(b, fmt.Sprint("MAINPID=", c)), say(c, fmt.Sprint("MAINPID=", c)), say(c, "READY=1"))

	waitFor(t, "the PID file", func() bool { return in.pid() == c })
	go in.upgrade("force=1")
	young := in.onProbation(c)
	syscall.Kill(young, syscall.SIGTERM) // not the main process: it must not say that the service stops
	waitFor(t, "the end of the process on probation", func() bool { return !alive(young) })
	m.expect(t, "SIGTERM on probation", say(c, "RELOADING=1"), say(c, "READY=1"))

	syscall.Kill(c, syscall.SIGTERM)
	waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
	m.expect(t, "stop", say(c, "STOPPING=1"))
}

// onProbation waits until another process than old answers, and returns its pid.
func (in *instance) onProbation(old int) (pid int) {
	in.t.Helper()
	waitFor(in.t, "the probation", func() bool {
		c := in.client()
		defer c.CloseIdleConnections()
		resp, err := c.Get("http://service/")
		if err != nil {
			in.t.Fatal(err)
		}
		resp.Body.Close()
		pid = atoi(resp.Header.Get("X-Pid"))
		return pid != old
	})
	return pid
}

// A process that cannot write its PID file is refused while nothing has been given
// away; the file stays as it was.
func TestPIDFileUnwritable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	in := startService(t, config{PIDFile: filepath.Join(dir, "pid")})
	pid := in.pid()
	l := in.startLoad(2)
	in.set(func(c *config) { c.PIDFile = filepath.Join(dir, "none", "pid") })
	if _, err := in.upgrade(""); err == nil || !strings.Contains(err.Error(), "PID file") {
		t.Errorf("a missing directory: %v", err)
	}
	// A disk that is full: no file may grow.
	in.set(func(c *config) { c.Lab.Full = true })
	if _, err := in.upgrade("force=1"); err == nil || !strings.Contains(err.Error(), "file too large") {
		t.Errorf("a full disk: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || in.pid() != pid {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
	if failed := l.end(); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	in.works(pid)
}
