//go:build linux

package upgrade

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testTLS makes a configuration with a certificate of its own.
func testTLS() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}}
}

// A rawClient speaks HTTP/1 by hand on one connection.
type rawClient struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (in *instance) dial() *rawClient {
	in.t.Helper()
	c, err := net.Dial(in.config.Network, in.addr)
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { c.Close() })
	return &rawClient{in.t, c, bufio.NewReader(c)}
}

func (c *rawClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one, and returns its body and who gave it.
func (c *rawClient) answer() (body, pid string, closing bool) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("half an answer: %v", err)
	}
	resp.Body.Close()
	return string(text), resp.Header.Get("X-Pid"), resp.Close
}

const getRoot = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// swap upgrades and waits until the old process is gone.
func (in *instance) swap() (old, young string) {
	in.t.Helper()
	was := in.pid()
	r, err := in.upgrade("force=1")
	if err != nil {
		in.t.Fatal(err)
	}
	waitFor(in.t, "the old process to end", func() bool { return !alive(was) })
	if pid := in.pid(); pid != r.PID {
		in.t.Errorf("the old process has ended and the PID file names %d, want %d", pid, r.PID)
	}
	return strconv.Itoa(was), strconv.Itoa(r.PID)
}

// A thousand idle connections, fresh ones and such that have served, move.
func TestIdleConnectionsMove(t *testing.T) {
	t.Parallel()
	n := 1000
	if testing.Short() {
		n = 100
	}
	in := startService(t, config{})
	conns := make([]*rawClient, n)
	for i := range conns {
		conns[i] = in.dial()
		if i%4 != 0 { // a fourth never sent a thing
			conns[i].send(getRoot)
			conns[i].answer()
		}
	}
	_, young := in.swap()
	for i, c := range conns {
		c.send(getRoot)
		if _, pid, closing := c.answer(); pid != young || closing {
			t.Fatalf("connection %d: answered by %s, closing %v; want %s", i, pid, closing, young)
		}
	}
}

// Bytes of the next request that the server has read already keep a connection
// where it is until that is answered.
func TestHalfRequestsStay(t *testing.T) {
	t.Parallel()
	in := startService(t, config{})
	for cut := 1; cut < len(getRoot); cut += 3 {
		_ = cut
	}
	var conns []*rawClient
	var rests []string
	for cut := 1; cut < len(getRoot); cut += 2 {
		c := in.dial()
		c.send(getRoot + getRoot[:cut]) // in one piece: read together
		c.answer()
		conns, rests = append(conns, c), append(rests, getRoot[cut:])
	}
	old := strconv.Itoa(in.pid())
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	young := strconv.Itoa(r.PID)
	for i, c := range conns {
		c.send(rests[i])
		_, pid, closing := c.answer()
		if pid != old && pid != young {
			t.Errorf("answered by %s", pid)
		}
		if pid == young {
			t.Errorf("request %d was cut in two", i)
		}
		if closing {
			t.Error("told to go on a connection that can move")
		}
		c.moves(young)
	}
}

// A request that runs when the process drains is answered, and its connection
// moves then.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	in := startService(t, config{})
	old := strconv.Itoa(in.pid())
	c := in.dial()
	c.send("GET /slow?for=1s HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the request to run", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"inflight":2`) })
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := in.get("/status"); !strings.Contains(text, `"draining":[{"pid":`+old) {
		waitFor(t, "the drain in the status", func() bool {
			text, _ := in.get("/status")
			return strings.Contains(text, `"draining":[{"pid":`+old) && strings.Contains(text, `"inflight":1`) || !alive(atoi(old))
		})
	}
	if text, pid, closing := c.answer(); text != "done\n" || pid != old || closing {
		t.Errorf("%q by %s, closing %v", text, pid, closing)
	}
	c.moves(strconv.Itoa(r.PID))
}

// moves sends requests until process pid answers. One that is sent at once may
// still be answered by the old process: net/http has read its first byte when it
// ends the request before.
func (c *rawClient) moves(pid string) {
	c.t.Helper()
	waitFor(c.t, "the connection to move", func() bool {
		c.send(getRoot)
		_, by, closing := c.answer()
		if closing {
			c.t.Fatalf("process %s said goodbye on a connection that can move", by)
		}
		return by == pid
	})
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// What outlives the deadline of the drain sees its context end, with the cause.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Drain: 300 * time.Millisecond})
	c := in.dial()
	c.send("GET /slow?for=1h HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the request to run", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"inflight":2`) })
	in.swap()
	if text, _, _ := c.answer(); text != "drain time-out\n" {
		t.Errorf("%q", text)
	}
}

// Clients on TLS are told to go, and closed only then or after the grace.
func TestTLS(t *testing.T) {
	t.Parallel()
	in := startService(t, config{TLS: true, Idle: time.Second})
	dial := func(proto string) *rawClient {
		c, err := tls.Dial("tcp", in.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return &rawClient{t, c, bufio.NewReader(c)}
	}
	busy, quiet, late := dial("http/1.1"), dial("http/1.1"), dial("http/1.1")
	for _, c := range []*rawClient{busy, quiet, late} {
		c.send(getRoot)
		if _, _, closing := c.answer(); closing {
			t.Error("told to go before the upgrade")
		}
	}
	two := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer two.CloseIdleConnections()
	http2 := func() string {
		resp, err := two.Post("https://"+in.addr+"/", "", io.NopCloser(strings.NewReader("x")))
		if err != nil {
			t.Errorf("HTTP/2: %v", err)
			return ""
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("protocol %s", resp.Proto)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Header.Get("X-Pid")
	}
	old := in.pid()
	http2()
	syscall.Kill(old, syscall.SIGUSR2)
	var wg sync.WaitGroup
	wg.Go(func() {
		for in.pid() == old || alive(old) {
			http2()
		}
		if pid := http2(); pid != strconv.Itoa(in.pid()) {
			t.Errorf("HTTP/2 ends at %s", pid)
		}
	})
	waitFor(t, "the upgrade", func() bool { return in.pid() != old })
	for told := false; !told; { // the old process may not have begun to drain
		busy.send(getRoot)
		var pid string
		if _, pid, told = busy.answer(); pid != strconv.Itoa(old) {
			t.Fatalf("answered by %s, want %d to say goodbye", pid, old)
		}
	}
	if _, err := busy.r.ReadByte(); err != io.EOF {
		t.Errorf("after the goodbye: %v, want EOF", err)
	}
	if _, err := quiet.r.ReadByte(); err != io.EOF {
		t.Errorf("after the grace: %v, want EOF", err)
	}
	wg.Wait()
}

// A connection that a handler took over moves between any two bytes, and none is
// lost or doubled.
func TestHijackedMove(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: 20 * time.Millisecond})
	c := in.dial()
	c.send("GET /lines HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nfirst\n")
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	stop := make(chan struct{})
	go func() {
		for n := 2; ; n++ {
			text := fmt.Sprintf("line %d\n", n)
			select {
			case <-stop:
				text = "last\n"
			default:
			}
			io.WriteString(c, text[:n%len(text)])
			io.WriteString(c, text[n%len(text):])
			if text == "last\n" {
				return
			}
		}
	}()
	pids := map[string]bool{}
	read := func(n int) (last bool) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		text, err := c.r.ReadString('\n')
		if err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		f := strings.Fields(text)
		want := fmt.Sprintf("line %d", n)
		if n == 1 {
			want = "first"
		}
		got := strings.Join(f[min(2, len(f)):], " ")
		if len(f) < 3 || f[0] != strconv.Itoa(n) || got != want && got != "last" {
			t.Fatalf("line %d: %q", n, text)
		}
		pids[f[1]] = true
		return got == "last"
	}
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for range 5 {
			if _, err := in.upgrade(""); err != nil {
				t.Error(err)
				return
			}
			waitFor(t, "one process", func() bool { return len(descendants(t, in)) == 1 })
		}
	}()
	n := 1
	for ; !read(n); n++ {
		select {
		case <-swapped:
			swapped = nil
			close(stop)
		default:
		}
	}
	if len(pids) != 6 {
		t.Errorf("%d processes served the connection, want 6", len(pids))
	}
	t.Logf("%d lines by %d processes", n, len(pids))
}

// Unix sockets, and their files, outlive the processes and end with the service.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	in := startService(t, config{Network: "unix", Addr: path})
	in.addr = path
	c := in.dial()
	c.send(getRoot)
	c.answer()
	_, young := in.swap()
	c.send(getRoot)
	if _, pid, _ := c.answer(); pid != young {
		t.Errorf("answered by %s, want %s", pid, young)
	}
	c.Close()
	syscall.Kill(in.pid(), syscall.SIGTERM)
	waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket file: %v", err)
	}
	if _, err := os.Stat(in.config.PIDFile); !os.IsNotExist(err) {
		t.Errorf("the PID file: %v", err)
	}
}

// A version may listen elsewhere, or call its socket something else.
func TestListenersChange(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := free.Addr().String()
	free.Close()

	in := startService(t, config{Name: "web"})
	kept := in.addr
	idle := in.dial()
	idle.send(getRoot)
	idle.answer()

	in.set(func(c *config) { c.Name, c.Addr = "http", kept }) // renamed, and the address spelled out
	_, young := in.swap()
	idle.send(getRoot)
	if _, pid, _ := idle.answer(); pid != young {
		t.Errorf("renamed: answered by %s, want %s", pid, young)
	}

	in.set(func(c *config) { c.Name, c.Addr = "http", other })
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	in.addr = other
	if _, h := in.get("/"); h.Get("X-Pid") != strconv.Itoa(r.PID) {
		t.Errorf("the new address is served by %s, want %d", h.Get("X-Pid"), r.PID)
	}
	waitFor(t, "the old address to close", func() bool {
		c, err := net.Dial("tcp", kept)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// The state and the singleton go from process to process.
func TestStateAndSingleton(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: 50 * time.Millisecond})
	big := strings.Repeat("0123456789abcdef", 1<<16) // a MiB: several pieces
	resp, err := in.client().Post("http://service/notes", "", strings.NewReader(big))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	for n := 2; n < 5; n++ {
		in.swap()
		if text, _ := in.get("/notes"); text != big {
			t.Errorf("the notes have %d bytes, want %d", len(text), len(big))
		}
		if text, _ := in.get("/counter"); text != fmt.Sprintf("%d 1\n", n) {
			t.Errorf("counter %q, want %d 1", text, n)
		}
	}
}

// Nothing but the standard descriptors and what is handed over reaches a
// successor, and none is left behind.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: 30 * time.Millisecond})
	count := func() int {
		n := 0
		waitFor(t, "the connections to close", func() bool {
			text, _ := in.get("/status")
			return strings.Contains(text, `"connections":{"active":1}`)
		})
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", in.pid()))
		if err != nil {
			t.Fatal(err)
		}
		n = len(entries)
		return n
	}
	in.swap()
	first := count()
	for range 5 {
		in.swap()
	}
	waitFor(t, "as few descriptors as before", func() bool { return count() <= first })
	names := map[string]int{}
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", in.pid()))
	for _, e := range entries {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", in.pid(), e.Name()))
		kind, _, _ := strings.Cut(to, ":")
		names[kind]++
	}
	if names["socket"] > 2 { // the listener, and perhaps a connection of this test
		t.Errorf("descriptors: %v", names)
	}
}

// A paused listener leaves the shared socket non-blocking, and connections wait
// in its queue.
func TestListenerPause(t *testing.T) {
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := u.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	dial()
	<-accepted
	for range 50 {
		if err := l.pause(context.Background(), context.Background()); err != nil {
			t.Fatal(err)
		}
		dial()
		select {
		case <-accepted:
			t.Fatal("accepted while paused")
		case <-time.After(time.Millisecond):
		}
		l.resume()
		<-accepted
	}
	raw, _ := l.SyscallConn()
	if err := raw.Control(func(fd uintptr) {
		flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if flags&syscall.O_NONBLOCK == 0 {
			t.Error("the socket blocks")
		}
	}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l.Close()
	if _, open := <-accepted; open {
		t.Error("accepted after Close")
	}
}
