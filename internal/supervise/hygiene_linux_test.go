package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNothingElseIsInherited counts what a program finds open before it opens
// anything: a shell keeps descriptors as they are. They are 0, 1, 2 and the
// three sockets.
func TestNothingElseIsInherited(t *testing.T) {
	t.Parallel()
	stray, err := syscall.Dup(0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(stray)
	for _, pinned := range []bool{false, true} {
		w := start(t, func(o *Options) {
			o.Command = []string{"/bin/sh", "-c", "while :; do sleep 1; done"}
			o.Ready = Ready{Kind: ReadyDelay}
			o.Listen = append(o.Listen, Listen{Network: "udp", Address: "127.0.0.1:0"}, Listen{Network: "unix", Address: "@theseus-test-" + fmt.Sprint(os.Getpid(), pinned)})
		})
		pid := w.Status().Children[0].PID
		if pinned {
			p, err := lookup(w.opt.Command, w.workDir)
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			c, err := w.launch(t.Context(), p, true)
			if err != nil {
				t.Fatal(err)
			}
			pid = c.pid
			defer w.discard(c)
		}
		var open []string
		until(t, "the loader to close the libraries, and six descriptors", func() bool {
			open = descriptors(t, pid)
			return len(open) == 6
		})
		for _, want := range []string{"3 socket:", "4 socket:", "5 socket:"} {
			if !slices.ContainsFunc(open, func(s string) bool { return strings.HasPrefix(s, want) }) {
				t.Errorf("pinned %v: %q is missing in %q", pinned, want, open)
			}
		}
	}
}

// TestLimitsAreInherited: the Go runtime raises the limit of open files for
// itself; a program must find what its supervisor was started with.
func TestLimitsAreInherited(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "limit")
	script := `ulimit -n > "$0".new; mv "$0".new "$0"; exec sleep 1000`
	r := remoteWith(t, func(s *setup, cmd *exec.Cmd) {
		s.Command, s.Ready = []string{"/bin/sh", "-c", script, out}, Ready{Kind: ReadyDelay}
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `ulimit -Sn 123; exec "$0" supervisor`, cmd.Path}
	})
	r.await(Serving, 1)
	until(t, "the limit", func() bool { _, err := os.Stat(out); return err == nil })
	if got, _ := os.ReadFile(out); strings.TrimSpace(string(got)) != "123" {
		t.Errorf("limit %s, want 123", got)
	}
}

// TestOrphansAreReaped: processes that lost their parent become the
// supervisor's, and do not stay as zombies.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	r := remoteWith(t, func(*setup, *exec.Cmd) {})
	r.await(Serving, 1)
	deploy(t, r.release, "v2 orphan")
	r.signal(syscall.SIGHUP)
	r.await(Serving, 2)
	r.await(Ended, 1)
	until(t, "nothing but guard and child below the supervisor", func() bool {
		return len(childrenOf(r.cmd.Process.Pid)) == 2
	})
}

// childrenOf lists children, zombies included.
func childrenOf(pid int) (all []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		if parent, _, ok := parseStat(string(stat)); ok && parent == pid {
			all = append(all, string(stat))
		}
	}
	return all
}

// TestDescriptorsAreFlat: replacements and crashes leave nothing open in the
// supervisor. It looks at a process of its own, for tests run in parallel.
func TestDescriptorsAreFlat(t *testing.T) {
	t.Parallel()
	r := remoteWith(t, func(*setup, *exec.Cmd) {})
	r.await(Serving, 1)
	replace := func(n int) {
		r.signal(syscall.SIGHUP)
		r.await(Serving, n)
		r.await(Ended, n-1)
	}
	settled := func() (n int) {
		until(t, "one child", func() bool { return len(childrenOf(r.cmd.Process.Pid)) == 2 })
		return len(descriptors(t, r.cmd.Process.Pid))
	}
	replace(2)
	before := settled()
	for n := range 5 {
		replace(3 + n)
	}
	kill(t, r.of(Serving)[6].PID)
	r.await(Serving, 8)
	r.await(Ended, 7)
	until(t, fmt.Sprintf("%d descriptors", before), func() bool { return settled() <= before })
}

// TestForeignNotify: only the child is believed, and what comes with a
// message is closed.
func TestForeignNotify(t *testing.T) {
	t.Parallel()
	n, err := listenNotify(filepath.Join(t.TempDir(), "n"))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	ready, stranger := make(chan struct{}), make(chan int, 1)
	n.read(1, func() { close(ready) }, func(pid int) { stranger <- pid })
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := sendDatagram(c, []byte("BARRIER=1\nREADY=1"), unix.UnixRights(int(pipe.Fd()))); err != nil {
		t.Fatal(err)
	}
	_ = pipe.Close()
	if pid := <-stranger; pid != os.Getpid() {
		t.Errorf("stranger %d, want %d", pid, os.Getpid())
	}
	_ = r.SetReadDeadline(time.Now().Add(patience))
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a descriptor that came with the message stays open")
	}
	select {
	case <-ready:
		t.Error("a stranger was believed")
	default:
	}
	runtime.KeepAlive(pipe)
}
