//go:build unix

package supervise

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func nonblocking(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.O_NONBLOCK != 0
}

func TestModeOfSockets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opt  Options
		want bool
	}{{Options{}, false}, {Options{Nonblocking: true}, true}, {Options{FDs: StyleNginx}, true}} {
		for _, l := range []Listen{{Network: "tcp", Address: "127.0.0.1:0"}, {Network: "udp", Address: "127.0.0.1:0"}, {Network: "unix", Address: filepath.Join(t.TempDir(), "s")}} {
			c.opt.Listen = []Listen{l}
			all, err := collect(c.opt, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := nonblocking(t, all[0].fd); got != c.want || all[0].network != l.Network {
				t.Errorf("%s, %+v: non-blocking %v, network %q", l, c.opt, got, all[0].network)
			}
			flags, _ := unix.FcntlInt(uintptr(all[0].fd), unix.F_GETFD, 0)
			if flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s would leak", l)
			}
			closeAll(all)
			if _, err := os.Lstat(l.Address); l.Network == "unix" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file of %s is left behind", l)
			}
		}
	}
}

func TestUnixSocketFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale, live, file := filepath.Join(dir, "stale"), filepath.Join(dir, "live"), filepath.Join(dir, "file")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	if ln, err = net.ListenUnix("unix", &net.UnixAddr{Name: live, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	deploy(t, file, "precious")
	all, err := collect(Options{Listen: []Listen{{Network: "unix", Address: stale}}}, nil)
	if err != nil {
		t.Errorf("a socket that was left behind is not replaced: %v", err)
	}
	closeAll(all)
	for _, path := range []string{live, file} {
		if _, err := collect(Options{Listen: []Listen{{Network: "unix", Address: path}}}, nil); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listen on %s: %v, want that it is in use", path, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s was removed: %v", path, err)
		}
	}
}

// TestCloseLeavesOthersSocket: a path that another process has taken over is
// not removed.
func TestCloseLeavesOthersSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	all, err := collect(Options{Listen: []Listen{{Network: "unix", Address: path}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil { // keeps its number in use
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	closeAll(all)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it was removed: %v", err)
	}
}

// TestInheritedTakesItsPlace: a socket with the name and address of an entry is
// that entry; others come first.
func TestInheritedTakesItsPlace(t *testing.T) {
	t.Parallel()
	first, err := collect(Options{Listen: []Listen{{"web", "tcp", "127.0.0.1:0"}, {"other", "tcp", "127.0.0.1:0"}, {"moved", "tcp", "127.0.0.1:0"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	moved := freePort(t)
	all, err := collect(Options{Listen: []Listen{{"web", "tcp", first[0].address}, {"moved", "tcp", moved}}}, first)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(all)
	var names []string
	for _, s := range all {
		names = append(names, s.name)
	}
	if got := strings.Join(names, " "); got != "other moved web moved" || all[2].fd != first[0].fd || all[3].address != moved {
		t.Errorf("sockets %s", got)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	used := start(t, nil).address()
	exe := executable(t)
	for _, c := range []struct {
		name string
		opt  Options
		want string
	}{
		{"no command", Options{}, "no command"},
		{"unknown command", Options{Command: []string{"theseus-no-such-program"}}, "not found"},
		{"missing file", Options{Command: []string{"./no-such-file"}}, "no such file"},
		{"directory", Options{Command: []string{"/"}}, "is a directory"},
		{"style", Options{Command: []string{exe}, FDs: "x"}, "style"},
		{"socket", Options{Command: []string{exe}, Listen: []Listen{{Network: "tcp", Address: "x"}}}, "HOST:PORT"},
		{"port in use", Options{Command: []string{exe}, Listen: []Listen{{Network: "tcp", Address: used}}}, "address already in use"},
		{"probe without socket", Options{Command: []string{exe}, Ready: Ready{Kind: ReadyTCP}}, "needs a tcp or unix socket"},
		{"delay too long", Options{Command: []string{exe}, Ready: Ready{Kind: ReadyDelay, Delay: patience}}, "not below the deadline"},
		{"status file", Options{Command: []string{exe}, StatusFile: "/nonexistent/status"}, "status file"},
		{"negative", Options{Command: []string{exe}, Drain: -1}, "negative"},
	} {
		s, err := New(c.opt)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: New = %v, want %q", c.name, err, c.want)
		}
	}
}

func TestCloseWithoutRun(t *testing.T) {
	t.Parallel()
	s, err := New(testOptions(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := net.Dial("tcp", s.sockets[0].address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Close: %v", err)
	}
	if _, err := s.Run(t.Context(), nil); err == nil {
		t.Error("Run after Close works")
	}
}

func TestFirstStartFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	if err := replaceFile(path, "no program"); err != nil {
		t.Fatal(err)
	}
	opt := testOptions(t, "x")
	opt.Command = []string{path}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	var startErr *StartError
	if _, err := s.Run(t.Context(), nil); !errors.As(err, &startErr) || !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("Run = %v, want a StartError with ENOEXEC", err)
	}
}

func TestStatusFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "status.json")
	w := start(t, func(o *Options) { o.StatusFile = file })
	var st Status
	read := func() {
		t.Helper()
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &st)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read()
	if st.State != StateServing || len(st.Children) != 1 || st.Sockets[0].Address != w.address() || st.Sockets[0].FD != 3 {
		t.Errorf("status %+v", st)
	}
	w.deploy("v2 exit 3")
	if err := w.Replace(t.Context(), false); err == nil {
		t.Fatal("it was let in")
	}
	if read(); st.Last == nil || st.Last.OK || len(st.Refused) != 1 || !strings.Contains(st.Last.Reason, "exit status 3") {
		t.Errorf("status %+v, last %+v", st, st.Last)
	}
	w.stopRun()
	<-w.done
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 0 {
		t.Errorf("%v is left behind", left)
	}
}
