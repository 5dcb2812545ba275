//go:build linux

package upgrade

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A visit is a process that somebody else than the service has started, with the
// same rendezvous.
type visit struct {
	in   *instance
	cmd  *exec.Cmd
	out  syncBuffer
	done chan struct{} // closed when it has ended
	err  error         // how; valid once done is closed
}

// A syncBuffer is a buffer that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// visit starts another process of the service's program.
func (in *instance) visit(attr *syscall.SysProcAttr) *visit {
	in.t.Helper()
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setpgid = true
	v := &visit{in: in, cmd: exec.Command(in.program()), done: make(chan struct{})}
	v.cmd.Env = append(append(os.Environ(), configVariable+"="+in.configFile()), in.env...)
	v.cmd.SysProcAttr, v.cmd.Stdout, v.cmd.Stderr = attr, io.Discard, &v.out
	if err := v.cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	go func() {
		v.err = v.cmd.Wait()
		close(v.done)
	}()
	in.t.Cleanup(func() {
		syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL)
		<-v.done
		if strings.Contains(v.out.String(), "DATA RACE") {
			in.t.Errorf("a race in process %d", v.pid())
		}
		if in.t.Failed() {
			text := v.out.String()
			in.t.Logf("log of process %d:\n%s", v.pid(), text[max(0, len(text)-10_000):])
		}
	})
	return v
}

func (v *visit) pid() int { return v.cmd.Process.Pid }

// end waits until the process has ended, and returns what it said.
func (v *visit) end() string {
	v.in.t.Helper()
	select {
	case <-v.done:
	case <-time.After(2 * time.Minute):
		v.in.t.Fatalf("process %d has not ended", v.pid())
	}
	return v.out.String()
}

// refused wants the process to end with an error that says want.
func (v *visit) refused(want string) {
	v.in.t.Helper()
	text := v.end()
	at := strings.LastIndex(text, "service:")
	if v.err == nil || at < 0 || !strings.Contains(text[at:], want) {
		v.in.t.Errorf("the process ended with %v and said %q, want %q", v.err, text, want)
		return
	}
	v.in.t.Log(strings.TrimSpace(text[at:]))
}

// takesOver waits until the process is the service.
func (v *visit) takesOver() {
	v.in.t.Helper()
	waitFor(v.in.t, "the process to take over", func() bool {
		select {
		case <-v.done:
			v.in.t.Fatalf("process %d ended: %v: %s", v.pid(), v.err, v.out.String())
		default:
		}
		return v.in.pid() == v.pid()
	})
}

// skipHead reads to the end of an answer's header.
func (c *rawClient) skipHead() {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if line == "\r\n" {
			return
		}
	}
}

// startRendezvous starts a service with a rendezvous in a directory of its own.
func startRendezvous(t *testing.T, c config) *instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "rv") // short enough for a socket's address
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.Lab.Rendezvous = filepath.Join(dir, "s")
	return startService(t, withAddress(t, c))
}

// withAddress gives c an address that a process which is the first again has too.
func withAddress(t *testing.T, c config) config {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	c.Addr = free.Addr().String()
	return c
}

// Processes that nobody's upgrade has started take over one from another, and no
// client notices.
func TestRendezvous(t *testing.T) {
	t.Parallel()
	in := startRendezvous(t, config{Probation: 100 * time.Millisecond})
	path := in.config.Lab.Rendezvous
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("the socket: %v %v", info.Mode(), err)
	}
	l := in.startLoad(16)
	quiet := in.dial()
	quiet.send(getRoot)
	quiet.answer()
	lines := in.dial()
	lines.send("GET /lines HTTP/1.1\r\nHost: x\r\n\r\n")
	lines.skipHead()
	for n := range upgradesFor(5) {
		old := in.pid()
		v := in.visit(nil)
		v.takesOver()
		waitFor(t, "the old process to end", func() bool { return !alive(old) })
		if text, _ := in.get("/status"); !strings.Contains(text, fmt.Sprintf(`"generation":%d`, n+1)) {
			t.Errorf("status: %s", text)
		}
		if text, _ := in.get("/counter"); text != fmt.Sprintf("%d 1\n", n+2) {
			t.Errorf("the singleton: %q", text)
		}
		quiet.send(getRoot)
		if _, pid, closing := quiet.answer(); pid != fmt.Sprint(v.pid()) || closing {
			t.Errorf("an idle connection is served by %s, closing %v, want %d", pid, closing, v.pid())
		}
		lines.send("hello\n")
		if text, err := lines.r.ReadString('\n'); err != nil || text != fmt.Sprintf("%d %d hello\n", n+1, v.pid()) {
			t.Errorf("a connection that was taken over: %q %v", text, err)
		}
	}
	lines.Close()
	if failed := l.end(); len(failed) > 0 || l.served.Load() == 0 {
		t.Errorf("%d requests served, failed: %v", l.served.Load(), failed)
	}
	t.Logf("%d requests served", l.served.Load())
	in.works(in.pid()) // an upgrade in place
	last := in.visit(nil)
	waitFor(t, "one process", func() bool { return len(descendants(t, in)) == 1 && in.pid() == last.pid() })
	syscall.Kill(last.pid(), syscall.SIGTERM)
	if text := last.end(); last.err != nil {
		t.Errorf("the last process ended with %v: %s", last.err, text)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// A process that came by itself and fails is sent back like any other: the old one
// serves, the intruder is dead, and its program is refused until it is forced.
func TestRendezvousRolledBack(t *testing.T) {
	t.Parallel()
	cases := []struct {
		broken, want string
		heartbeat    time.Duration // three of them are what it takes
	}{
		{"crash", "", time.Second},
		{"unhealthy", "took the service back: unhealthy: the test wants it so", 500 * time.Millisecond},
		{"stop", "", 200 * time.Millisecond},
		{"errors", "answers were errors", 2 * time.Second},
	}
	if testing.Short() {
		cases = cases[1:3]
	}
	for _, c := range cases {
		t.Run(c.broken, func(t *testing.T) {
			t.Parallel()
			in := startRendezvous(t, config{Probation: time.Minute})
			old := in.pid()
			l := in.startLoad(4)
			in.set(func(x *config) { x.Broken, x.Heartbeat = c.broken, c.heartbeat })
			v := in.visit(nil)
			v.end()
			if c.want != "" {
				v.refused(c.want)
			}
			waitFor(t, "the old process", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"state":"serving"`) })
			failed := l.end()
			delete(failed, "status 500")
			if len(failed) > 0 && (c.broken == "unhealthy" || c.broken == "errors") {
				t.Errorf("failed: %v", failed)
			}
			if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(old) {
				t.Errorf("process %s answers, want %d", h.Get("X-Pid"), old)
			}
			in.set(func(*config) {})
			in.visit(nil).refused("refuses: the program (sha256")
			in.set(func(x *config) { x.Lab.Force, x.Probation = true, 50*time.Millisecond })
			forced := in.visit(nil)
			waitFor(t, "the forced process", func() bool { _, h := in.get("/"); return h.Get("X-Pid") == fmt.Sprint(forced.pid()) })
		})
	}
}

// Whoever knocks while an upgrade is under way is told so, and changes nothing.
func TestRendezvousBusy(t *testing.T) {
	t.Parallel()
	in := startRendezvous(t, config{Probation: time.Minute, Ready: time.Minute})
	in.set(func(c *config) { c.Broken = "never" })
	first := in.visit(nil)
	waitFor(t, "the upgrade", func() bool { text, _ := in.get("/status"); return strings.Contains(text, string(Upgrading)) })
	in.set(func(*config) {})
	in.visit(nil).refused("refuses: " + ErrInProgress.Error())
	kill9(t, first.pid())
	waitFor(t, "the old process", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"state":"serving"`) })

	old := in.pid()
	second := in.visit(nil)
	if pid := in.onProbation(old); pid != second.pid() {
		t.Fatalf("process %d is on probation, want %d", pid, second.pid())
	}
	in.visit(nil).refused("refuses: " + ErrProbation.Error())
	syscall.Kill(second.pid(), syscall.SIGTERM)
	second.end()
	waitFor(t, "the old process", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"state":"serving"`) })
	in.set(func(c *config) { c.Probation = 50 * time.Millisecond })
	if r, err := in.upgrade("probation=50ms"); err != nil {
		t.Error(err)
	} else {
		waitFor(t, "the commit", func() bool { return in.pid() == r.PID })
	}
}

// Strangers at the rendezvous are turned away, and the service does not notice.
func TestRendezvousStrangers(t *testing.T) {
	t.Parallel()
	in := startRendezvous(t, config{Probation: 100 * time.Millisecond, Lab: lab{KnockLimit: time.Second}})
	l := in.startLoad(4)
	dial := func() *net.UnixConn {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: in.config.Lab.Rendezvous, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for name, c := range map[string]struct {
		say  func(c *net.UnixConn, l *wire.Link) error
		want string
	}{
		"garbage":    {fakes["garbage"], "frame too large"},
		"oversized":  {fakes["oversized"], "frame too large"},
		"cut off":    {fakes["cut off"], "unexpected EOF"},
		"not hello":  {fakes["ready first"], "ready came before hello"},
		"files":      {func(_ *net.UnixConn, l *wire.Link) error { return l.Send(wire.Connection{}, 0) }, "connection came before hello"},
		"newer":      {fakes["newer"], "newer peer versions 7 to 9"},
		"no version": {fakes["older"], "malformed"},
		"mute":       {func(*net.UnixConn, *wire.Link) error { return nil }, "no hello"},
	} {
		conn := dial()
		link := wire.New(conn)
		if err := c.say(conn, link); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var reason string
		for {
			m, files, err := link.Receive()
			if err != nil {
				break
			}
			closeAll(files)
			if a, ok := m.(wire.Abort); ok {
				reason = a.Reason
			}
		}
		if !strings.Contains(reason, c.want) && name != "mute" {
			t.Errorf("%s: told %q, want %q", name, reason, c.want)
		}
	}
	var mute []*net.UnixConn
	for range 3 * knockLimit {
		mute = append(mute, dial())
	}
	for _, c := range mute { // most are turned away at once, the others in time
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
			t.Errorf("mute: %v", err)
		}
	}
	if failed := l.end(); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	in.visit(nil).takesOver()
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

// A process of another user is not let in, nor is its service taken over.
func TestRendezvousForeignUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can start a process of another user")
		}
		t.Skip("only root can start a process of another user")
	}
	const nobody = 65534
	other := func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	in := startRendezvous(t, config{})
	path := in.config.Lab.Rendezvous
	open := func() {
		for _, name := range []string{filepath.Dir(path), in.dir, filepath.Dir(in.dir), in.configFile()} {
			if err := os.Chmod(name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	open()
	old := in.pid()
	in.visit(other()).refused("permission denied")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	in.visit(other()).refused("belongs to user 65534: only user 0 and root may")
	if text, err := os.ReadFile(in.log.Name()); err != nil || !strings.Contains(string(text), "belongs to user 65534") {
		t.Errorf("the service has not logged it: %v", err)
	}
	if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(old) {
		t.Errorf("process %s answers, want %d", h.Get("X-Pid"), old)
	}

	// The other way around: a service of another user could be a trap.
	kill9(t, old)
	os.Remove(path)
	os.Remove(path + ".lock")
	if err := os.Chown(filepath.Dir(path), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(in.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	in.set(func(c *config) { c.PIDFile = filepath.Join(in.dir, "theirs") })
	open()
	theirs := in.visit(other())
	waitFor(t, "their service", func() bool { _, err := os.Stat(filepath.Join(in.dir, "theirs")); return err == nil })
	in.visit(nil).refused("belongs to user 65534")
	if !alive(theirs.pid()) {
		t.Error("their service has ended")
	}
}

// A process in another PID namespace could not be ended: it is refused.
func TestRendezvousNamespace(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can make a PID namespace")
		}
		t.Skip("only root can make a PID namespace")
	}
	in := startRendezvous(t, config{})
	old := in.pid()
	in.visit(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}).refused("PID namespace")
	in.works(old)
}

// The file of a process that was killed is replaced; what is no socket is not.
func TestRendezvousStale(t *testing.T) {
	t.Parallel()
	in := startRendezvous(t, config{})
	path := in.config.Lab.Rendezvous
	kill9(t, in.pid())
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	in.start()
	in.works(in.pid())
	waitFor(t, "the service", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"state":"serving"`) })
	kill9(t, in.pid())
	os.Remove(path)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	in.visit(nil).refused("not a socket")
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file: %q %v", text, err)
	}
	in.set(func(c *config) { c.Lab.Rendezvous = filepath.Join(path, "no", "directory") })
	in.visit(nil).refused("rendezvous ")
	in.set(func(c *config) { c.Lab.Rendezvous = "/" + strings.Repeat("a", maxSocketPath) })
	in.visit(nil).refused("choose a shorter one")
}

// Of several first processes exactly one is the first: each other one becomes its
// successor or is told why not.
func TestRendezvousRace(t *testing.T) {
	t.Parallel()
	for _, stale := range []bool{false, true} {
		t.Run(fmt.Sprint("stale=", stale), func(t *testing.T) {
			t.Parallel()
			in := startRendezvous(t, config{Probation: 30 * time.Millisecond})
			if stale {
				kill9(t, in.pid())
			} else {
				syscall.Kill(in.pid(), syscall.SIGTERM)
				waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
			}
			os.Remove(in.config.PIDFile)
			var all []*visit
			for range 6 {
				all = append(all, in.visit(nil))
			}
			waitFor(t, "one service", func() bool {
				left := descendants(t, in)
				text, err := os.ReadFile(in.config.PIDFile)
				return len(left) == 1 && err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(left[0])
			})
			first := 0
			for _, v := range all {
				text := v.out.String()
				if strings.Contains(text, "the first process") {
					first++
				}
				select {
				case <-v.done:
					if v.err != nil && !strings.Contains(text, ErrRefused.Error()) && !strings.Contains(text, "the old process has gone") {
						t.Errorf("process %d: %v: %s", v.pid(), v.err, text)
					}
				default:
				}
			}
			if first != 1 {
				t.Errorf("%d first processes", first)
			}
		})
	}
}

// Either side is killed, or stalls, at each point of the handshake with a process
// that came by itself: afterwards one process serves, and it can be taken over.
func TestRendezvousCrashes(t *testing.T) {
	t.Parallel()
	old := []string{"before check", "after check", "before hello", "after hello", "after prepare", "after ready",
		"after release", "after serve", "before probation", "after probation", "before commit", "after commit"}
	young := []string{"warmed", "ready", "ordered", "acquired", "serving", "beat"}
	if testing.Short() {
		old, young = []string{"after prepare", "after commit"}, []string{"ready", "serving"}
	}
	for _, point := range old {
		t.Run("old/"+point, func(t *testing.T) {
			t.Parallel()
			in := startRendezvous(t, config{Point: point, Action: "kill", Ready: time.Minute})
			pid := in.pid()
			in.set(func(c *config) { c.Point = "" })
			v := in.visit(nil)
			waitFor(t, "the old process to die", func() bool { return !alive(pid) })
			served := func() bool {
				select {
				case <-v.done:
					return true
				default:
					return in.pid() == v.pid()
				}
			}
			waitFor(t, "the new process to serve or to end", served)
			if in.pid() != v.pid() { // it had not got everything
				if strings.HasPrefix(point, "after") && point != "after check" && point != "after hello" {
					t.Errorf("the process ended: %s", v.out.String())
				}
				v = in.visit(nil)
				waitFor(t, "the next process", served)
			}
			in.taken(v)
		})
	}
	for _, point := range young {
		for _, action := range []string{"kill", "stop"} {
			t.Run("new/"+point+"/"+action, func(t *testing.T) {
				t.Parallel()
				in := startRendezvous(t, config{Heartbeat: 50 * time.Millisecond, Ready: readyFor(action), Probation: time.Minute})
				pid := in.pid()
				in.set(func(c *config) { c.Point, c.Action = point, action })
				v := in.visit(nil)
				v.end()
				waitFor(t, "the old process", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"state":"serving"`) })
				if in.pid() != pid {
					t.Errorf("the PID file names %d, want %d", in.pid(), pid)
				}
				in.works(pid)
			})
		}
	}
}

// taken checks that process v is the service alone, and can be taken over.
func (in *instance) taken(v *visit) {
	t := in.t
	t.Helper()
	waitFor(t, "one process", func() bool { left := descendants(t, in); return len(left) == 1 && left[0] == v.pid() })
	if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(v.pid()) {
		t.Errorf("process %s answers, want %d", h.Get("X-Pid"), v.pid())
	}
	in.set(func(c *config) { c.Lab.Force, c.Probation, c.Heartbeat, c.Point = true, 50*time.Millisecond, 0, "" })
	in.visit(nil).takesOver()
}

// Neither descriptors nor goroutines are left of those that came and went.
func TestRendezvousLeaks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	in := startRendezvous(t, config{Probation: 30 * time.Millisecond, Lab: lab{Leaks: name(0)}})
	var first int
	for n := 1; n < 6; n++ {
		in.set(func(c *config) { c.Point, c.Action = "serving", "exit" })
		if v := in.visit(nil); n == 1 { // the release is refused from then on
			v.end()
			waitFor(t, "the roll back", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"state":"serving"`) })
		} else {
			v.refused(ErrRefused.Error())
		}
		in.set(func(c *config) { c.Lab.Leaks, c.Lab.Force = name(n), true })
		old := in.pid()
		in.visit(nil).takesOver()
		waitFor(t, "the old process to end", func() bool { return !alive(old) })
		waitFor(t, "the connections to close", func() bool {
			text, _ := in.get("/status")
			return strings.Contains(text, `"connections":{"active":1}`)
		})
		if n == 1 {
			first = descriptors(t, in.pid())
		}
		waitFor(t, "as few descriptors as before", func() bool { return descriptors(t, in.pid()) <= first })
	}
	syscall.Kill(in.pid(), syscall.SIGTERM)
	waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
	for n := range 6 {
		text, err := os.ReadFile(name(n))
		if err != nil || string(text) != "none" {
			t.Errorf("process %d: %v\n%s", n, err, text)
		}
	}
}

// descriptors returns how many are open in a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
