//go:build linux

package upgrade

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/upgrade/internal/systemd"
)

// restartFromStore starts the service again as systemd does, with what it keeps.
func (in *instance) restartFromStore(m *manager, env []string) {
	in.t.Helper()
	m.mu.Lock()
	var names []string
	in.files = nil
	for name, f := range m.store {
		raw, err := f.SyscallConn()
		if err != nil {
			in.t.Fatal(err)
		}
		own, err := duplicate(raw, name)
		if err != nil {
			in.t.Fatal(err)
		}
		names, in.files = append(names, name), append(in.files, own)
	}
	m.mu.Unlock()
	in.env = append(slices.Clone(env), fmt.Sprint("LISTEN_FDS=", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	in.start()
	closeAll(in.files)
}

// What systemd keeps survives the service: a request that came when nobody was there
// is answered by the next process. The store holds the sockets in use and no others.
func TestStore(t *testing.T) {
	t.Parallel()
	notify := filepath.Join(t.TempDir(), "n")
	m := listenNotify(t, notify)
	env := []string{"NOTIFY_SOCKET=" + notify, "FDSTORE=16"}
	c := withAddress(t, config{Lab: lab{Named: []string{"b|tcp|127.0.0.1:0"}, Packets: []string{"udp|127.0.0.1:0"}}})
	in := startInstance(t, &instance{config: c, env: env})
	main, _ := systemd.StoredName("tcp|"+c.Addr, "tcp|"+c.Addr)
	named, _ := systemd.StoredName("b", "tcp|127.0.0.1:0")
	packet, _ := systemd.StoredName("udp|127.0.0.1:0", "udp|127.0.0.1:0")
	holds := func(what string, want ...string) {
		t.Helper()
		slices.Sort(want)
		waitOr(func() bool { return slices.Equal(m.stored(), want) })
		if got := m.stored(); !slices.Equal(got, want) {
			t.Fatalf("%s: the store holds %q, want %q", what, got, want)
		}
	}
	holds("at first", main, named, packet)

	kill9(t, in.pid())
	waiting := in.dial()
	waiting.send(getRoot)
	in.set(func(c *config) { c.Lab.Named = nil })
	in.restartFromStore(m, env)
	if text, pid, _ := waiting.answer(); pid != fmt.Sprint(in.pid()) {
		t.Errorf("%q by %s", text, pid)
	}
	holds("restarted without b", main, packet)

	r, err := in.upgrade("") // the successor cares for the store from here on
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the commit", func() bool { return in.pid() == r.PID })
	late, _ := systemd.StoredName("late", "tcp|127.0.0.1:0")
	in.get("/listen?name=late")
	holds("a late one", main, packet, late)
	in.get("/close?name=late")
	holds("closed", main, packet)

	syscall.Kill(in.pid(), syscall.SIGTERM)
	waitFor(t, "the end", func() bool { return len(descendants(t, in)) == 0 })
	holds("stopped", main, packet)
	in.restartFromStore(m, env)
	in.works(in.pid())
}

// A stored Unix socket is adopted after a crash, with its file, and forgotten when
// the service ends and the file with it. When a process elsewhere takes over, the
// store is emptied: nobody would accept from it.
func TestStoreUnix(t *testing.T) {
	t.Parallel()
	notify := filepath.Join(t.TempDir(), "n")
	m := listenNotify(t, notify)
	env := []string{"NOTIFY_SOCKET=" + notify, "FDSTORE=16"}
	path := filepath.Join(t.TempDir(), "u")
	stored, _ := systemd.StoredName("unix|"+path, "unix|"+path)
	in := startInstance(t, &instance{config: config{Network: "unix", Addr: path}, env: env})
	waitFor(t, "the store", func() bool { return slices.Equal(m.stored(), []string{stored}) })
	kill9(t, in.pid())
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	in.restartFromStore(m, env)
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket was opened anew: %v", err)
	}
	syscall.Kill(in.pid(), syscall.SIGTERM)
	waitFor(t, "the end", func() bool { return len(descendants(t, in)) == 0 })
	waitFor(t, "an empty store", func() bool { return len(m.stored()) == 0 }) // the last datagram may not have been read yet
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file: %v", err)
	}
}

// A service that was taken over by a process of another unit leaves nothing in its
// own store, and tells its manager nothing of the other process.
func TestStoreRendezvous(t *testing.T) {
	t.Parallel()
	notify := filepath.Join(t.TempDir(), "n")
	m := listenNotify(t, notify)
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := withAddress(t, config{Lab: lab{Rendezvous: filepath.Join(dir, "s")}})
	in := startInstance(t, &instance{config: c, env: []string{"NOTIFY_SOCKET=" + notify, "FDSTORE=16"}})
	waitFor(t, "the store", func() bool { return len(m.stored()) == 1 })
	old := in.pid()
	m.expect(t, "start", fmt.Sprint(old, " READY=1"))
	other := filepath.Join(t.TempDir(), "n")
	n := listenNotify(t, other)
	in.env = []string{"NOTIFY_SOCKET=" + other, "FDSTORE=16"}
	v := in.visit(nil)
	v.takesOver()
	waitFor(t, "the other store", func() bool { return len(n.stored()) == 1 })
	n.expect(t, "the new unit", fmt.Sprint(v.pid(), " READY=1"))
	waitFor(t, "the old process to end", func() bool { return !alive(old) })
	waitFor(t, "an empty store", func() bool { return len(m.stored()) == 0 }) // the last datagram may not have been read yet
	m.expect(t, "the old unit")
	if _, err := net.Dial("tcp", in.addr); err != nil {
		t.Error(err)
	}
}
