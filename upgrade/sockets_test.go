//go:build linux

package upgrade

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSameAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		network, address, bound string
		want                    bool
	}{
		{"tcp", "127.0.0.1:80", "127.0.0.1:80", true},
		{"tcp", "127.0.0.1:http", "127.0.0.1:80", true},
		{"tcp", "localhost:80", "127.0.0.1:80", true},
		{"tcp", "localhost:80", "[::1]:80", true},
		{"tcp", "localhost:80", "0.0.0.0:80", false},
		{"tcp", ":80", "[::]:80", true},
		{"tcp", ":80", "0.0.0.0:80", true},
		{"tcp4", ":80", "[::]:80", false},
		{"tcp6", ":80", "0.0.0.0:80", false},
		{"tcp", ":80", "127.0.0.1:80", false},
		{"tcp", ":80", "[::]:81", false},
		{"tcp", "[::ffff:10.0.0.1]:80", "10.0.0.1:80", true},
		{"tcp", "example.com:80", "10.0.0.1:80", false},
		{"tcp", "80", "10.0.0.1:80", false},
		{"tcp", ":80", "", false},
		{"unix", "/run/a", "/run/a", true},
		{"unix", "/run/a", "/run/b", false},
	} {
		if got := sameAddress(c.network, c.address, c.bound); got != c.want {
			t.Errorf("sameAddress(%q, %q, %q) = %v", c.network, c.address, c.bound, got)
		}
	}
}

// A socket of the service manager is taken over, by the name or the address that
// it was given; the variables that tell of it are gone then, and in successors.
func TestActivation(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, c := range []struct{ name, listener, ask string }{
		{"by address", "", strings.Replace(addr, "127.0.0.1", "localhost", 1)},
		{"by name", "web", "127.0.0.1:1"},
	} {
		in := &instance{config: config{Name: c.listener, Addr: c.ask}, files: []*os.File{f}, env: []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=web"}}
		startInstance(t, in)
		if in.addr != addr {
			t.Fatalf("%s: it listens on %s, want %s", c.name, in.addr, addr)
		}
		for range 3 {
			if text, _ := in.get("/env"); text != "" {
				t.Errorf("%s: left in the environment: %q", c.name, text)
			}
			in.swap()
		}
		syscall.Kill(in.pid(), syscall.SIGTERM)
		waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
	}
	f.Close()
}

// A descriptor of any kind goes from process to process.
func TestFile(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: 20 * time.Millisecond, Lab: lab{File: true}})
	want := fmt.Sprint("written by process ", in.pid())
	for range 3 {
		if text, _ := in.get("/file"); text != want {
			t.Errorf("%q, want %q", text, want)
		}
		in.swap()
	}
}

// Listeners may be opened at any time: after Ready, and on probation. The next
// version finds them by their names.
func TestLateListeners(t *testing.T) {
	t.Parallel()
	in := startService(t, config{})
	late, _ := in.get("/listen?name=late")
	answers := func(addr, pid string) {
		t.Helper()
		c := *in
		c.addr = addr
		if _, h := c.get("/"); h.Get("X-Pid") != pid {
			t.Errorf("%s answers at %s, want %s", h.Get("X-Pid"), addr, pid)
		}
	}
	answers(late, strconv.Itoa(in.pid()))
	if text, _ := in.get("/listen?name=late"); !strings.Contains(text, "is taken") {
		t.Errorf("a second time: %q", text)
	}
	in.set(func(c *config) { c.Probation, c.Lab.Named = time.Minute, []string{"late|tcp|127.0.0.1:0"} })
	_, young := in.swap()
	answers(late, young)

	// The next upgrade has a probation in which a listener opens; then it goes back.
	old := in.pid()
	in.set(func(c *config) { c.Heartbeat = 0 })
	failed := make(chan error)
	go func() {
		_, err := in.upgrade("")
		failed <- err
	}()
	var pid int
	waitFor(t, "the probation", func() bool {
		_, h := in.get("/")
		pid = atoi(h.Get("X-Pid"))
		return pid != old
	})
	probation, _ := in.get("/listen?name=probation")
	answers(probation, strconv.Itoa(pid))
	syscall.Kill(pid, syscall.SIGKILL)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("upgrade: %v", err)
	}
	if _, err := net.Dial("tcp", probation); err == nil {
		t.Error("the listener of the dead process lives")
	}
	answers(in.addr, strconv.Itoa(old))
}

// A listener that the next version does not have is served to the end: who has
// connected before is answered by the old process, and told to go.
func TestDroppedListener(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second := free.Addr().String()
	free.Close()
	in := startService(t, config{Lab: lab{Named: []string{"second|tcp|" + second}}})
	old := strconv.Itoa(in.pid())
	var conns []*rawClient
	for range 40 {
		c := *in
		c.addr = second
		conns = append(conns, c.dial())
	}
	in.set(func(c *config) { c.Lab.Named = nil })
	if _, err := in.upgrade(""); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		for told := false; !told; { // at first the old process may not have begun to drain
			c.send(getRoot)
			var pid string
			if _, pid, told = c.answer(); pid != old {
				t.Fatalf("answered by %s, want a goodbye of %s", pid, old)
			}
		}
	}
	waitFor(t, "the old process to end", func() bool { return !alive(atoi(old)) })
	if c, err := net.Dial("tcp", second); err == nil {
		c.Close()
		t.Error("the address is still served")
	}
}

// What waits in the queue of a listener that nobody else serves is accepted, and
// taken, before it closes, however slow who accepts is.
func TestListenerQueue(t *testing.T) {
	t.Parallel()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := u.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.pause(t.Context(), t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 30
	var conns []net.Conn
	for range n {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	go http.Serve(slowAccept{l}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	l.finish(context.Background())
	l.Close()
	for i, c := range conns {
		io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if text, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(text), "HTTP/1.0 200") {
			t.Errorf("connection %d: %q %v", i, text, err)
		}
	}
}

type slowAccept struct{ net.Listener }

func (l slowAccept) Accept() (net.Conn, error) {
	time.Sleep(2 * time.Millisecond)
	return l.Listener.Accept()
}
