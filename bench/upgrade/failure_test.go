package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A hostile server does what a script says to each connection.
type hostile struct {
	l     net.Listener
	wg    sync.WaitGroup
	conns atomic.Int64
}

// newHostile lets serve have the connections, whose number counts from 0. The
// connection is closed when serve returns.
func newHostile(t *testing.T, serve func(n int, c *net.TCPConn, in *bufio.Reader)) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{l: l}
	h.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(h.conns.Add(1)) - 1
			h.wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				serve(n, c.(*net.TCPConn), bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); h.wg.Wait() })
	return h
}

func (h *hostile) addr() string { return h.l.Addr().String() }

// take reads a request and answers it with its body, as process 7.
func take(c net.Conn, in *bufio.Reader) bool {
	body, ok := read(in)
	if ok {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Pid: 7\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	return ok
}

func read(in *bufio.Reader) (string, bool) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return "", false
	}
	body, err := io.ReadAll(r.Body)
	return string(body), err == nil
}

func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

// Each way to fail is told apart, and nothing is sent twice.
func TestFailuresOfRequests(t *testing.T) {
	tests := []struct {
		name  string
		kept  int // requests that go well before, on the same connection
		want  Kind
		pid   int
		serve func(c *net.TCPConn, in *bufio.Reader)
	}{
		{"closed at once", 0, EOF, 0, func(c *net.TCPConn, in *bufio.Reader) { read(in) }},
		{"closed on a kept connection", 2, EOFKept, 0, func(c *net.TCPConn, in *bufio.Reader) { read(in) }},
		{"reset", 0, Reset, 0, func(c *net.TCPConn, in *bufio.Reader) { read(in); reset(c) }},
		{"reset on a kept connection", 1, ResetKept, 0, func(c *net.TCPConn, in *bufio.Reader) { read(in); reset(c) }},
		{"cut in the head", 1, Short, 0, func(c *net.TCPConn, in *bufio.Reader) { read(in); io.WriteString(c, "HTTP/1.1 200 OK\r\nX-P") }},
		{"cut in the body", 0, Short, 0, func(c *net.TCPConn, in *bufio.Reader) {
			read(in)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Pid: 7\r\nContent-Length: 256\r\n\r\nreq")
		}},
		{"reset in the body", 0, Short, 0, func(c *net.TCPConn, in *bufio.Reader) {
			body, _ := read(in)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Pid: 7\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n%s\r\n", body)
			reset(c)
		}},
		{"status 500", 1, Status5xx, 9, func(c *net.TCPConn, in *bufio.Reader) {
			read(in)
			io.WriteString(c, "HTTP/1.1 500 Oh\r\nX-Pid: 9\r\nContent-Length: 2\r\n\r\nno")
		}},
		{"status 404", 0, Wrong, 9, func(c *net.TCPConn, in *bufio.Reader) {
			read(in)
			io.WriteString(c, "HTTP/1.1 404 Oh\r\nX-Pid: 9\r\nContent-Length: 2\r\n\r\nno")
		}},
		{"another body", 1, Wrong, 9, func(c *net.TCPConn, in *bufio.Reader) {
			read(in)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Pid: 9\r\nContent-Length: 2\r\n\r\nno")
		}},
		{"no X-Pid", 0, Wrong, 0, func(c *net.TCPConn, in *bufio.Reader) {
			body, _ := read(in)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}},
		{"not HTTP", 0, Wrong, 0, func(c *net.TCPConn, in *bufio.Reader) {
			read(in)
			io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
				for range tt.kept {
					if !take(c, in) {
						t.Error("a request that should go well did not come")
						return
					}
				}
				tt.serve(c, in)
			})
			tr := &Traffic{addr: h.addr(), rec: newRecorder()}
			c := newClient(h.addr())
			defer c.close()
			for n := range tt.kept {
				if f := tr.post(c, n); f != nil {
					t.Fatalf("request %d: %v", n, f)
				}
			}
			f := tr.post(c, tt.kept)
			if f == nil || f.Kind != tt.want || f.PID != tt.pid {
				t.Fatalf("failure = %v (process %d), want kind %s of process %d", f, pidIn(f), tt.want, tt.pid)
			}
			if wantLast := min(tt.kept, 1) * 7; f.LastID != wantLast {
				t.Errorf("last process %d, want %d", f.LastID, wantLast)
			}
			if c.conn != nil {
				t.Error("the connection is kept after a failure")
			}
			if h.conns.Load() != 1 {
				t.Errorf("%d connections for one client: something was sent again", h.conns.Load())
			}
		})
	}
}

func pidIn(f *Failure) int {
	if f == nil {
		return 0
	}
	return f.PID
}

func TestRefused(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	if _, f := newClient(addr).do(t.Context(), "/", nil); f == nil || f.Kind != Refused {
		t.Errorf("HTTP/1: failure = %v, want %s", f, Refused)
	}
	if f := newHTTP2(addr).call(0); f == nil || f.Kind != Refused {
		t.Errorf("HTTP/2: failure = %v, want %s", f, Refused)
	}
	if _, _, f := dialSocket(t.Context(), addr, &http.Transport{}); f == nil || f.Kind != Refused {
		t.Errorf("WebSocket: failure = %v, want %s", f, Refused)
	}
}

func TestTimeoutKind(t *testing.T) {
	h := newHostile(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		read(in)
		_, _ = c.Read(make([]byte, 1)) // until the client gives up
	})
	c := newClient(h.addr())
	defer c.close()
	if f := c.connect(t.Context(), time.Now().Add(requestLimit)); f != nil {
		t.Fatal(f)
	}
	_ = c.conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, _, f := c.exchange("/", payload(0)); f == nil || f.Kind != Timeout {
		t.Errorf("failure = %v, want %s", f, Timeout)
	}
}

// A client that looks sees a close; bytes that wait are none.
func TestClosedByPeer(t *testing.T) {
	for name, want := range map[string]bool{"closed": true, "reset": true, "open": false, "bytes": false} {
		did, done := make(chan struct{}), make(chan struct{})
		h := newHostile(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
			take(c, in)
			switch name {
			case "closed":
				c.Close()
			case "reset":
				reset(c)
				c.Close()
			case "bytes":
				io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n")
			}
			close(did)
			<-done
		})
		c := newClient(h.addr())
		if _, f := c.do(t.Context(), "/", payload(0)); f != nil {
			t.Fatal(f)
		}
		<-did
		deadline := time.Now().Add(10 * time.Second)
		got := closedByPeer(c.conn)
		for got != want && time.Now().Before(deadline) { // the kernel delivers it in its own time
			time.Sleep(time.Millisecond)
			got = closedByPeer(c.conn)
		}
		if got != want {
			t.Errorf("%s: closedByPeer = %v, want %v", name, got, want)
		}
		close(done)
		c.close()
	}
}

func TestFailuresOfEventStreams(t *testing.T) {
	chunks := func(finish bool, events ...string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Pid: 7\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, e := range events {
				fmt.Fprintf(c, "%x\r\n%s\r\n", len(e), e)
			}
			if finish {
				io.WriteString(c, "0\r\n\r\n")
			}
		}
	}
	tests := []struct {
		name  string
		n     int
		want  Kind // "" for none
		serve func(net.Conn)
	}{
		{"whole", 2, "", chunks(true, "data: 7 0\n\n", "data: 8 1\n\n")},
		{"in pieces, with a comment", 2, "", chunks(true, "da", "ta: 7 0\n", "\n: alive\n\ndata: 8 1\n\n")},
		{"ended early", 3, Ended, chunks(true, "data: 7 0\n\n", "data: 8 1\n\n")},
		{"ended although endless", 0, Ended, chunks(true, "data: 7 0\n\n")},
		{"too long", 1, Ended, chunks(true, "data: 7 0\n\n", "data: 7 1\n\n")},
		{"cut", 2, EOF, chunks(false, "data: 7 0\n\n")},
		{"cut within an event", 2, EOF, chunks(false, "data: 7 0\n\n", "data: 7")},
		{"lost", 3, Lost, chunks(true, "data: 7 0\n\n", "data: 7 2\n\n")},
		{"doubled", 3, Doubled, chunks(true, "data: 7 0\n\n", "data: 8 0\n\n")},
		{"no event", 3, Wrong, chunks(true, "hello\n\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
				read(in)
				tt.serve(c)
			})
			s, f := openEvents(t.Context(), h.addr(), tt.n)
			if f != nil {
				t.Fatal(f)
			}
			defer s.close()
			if f := s.follow(tt.n); tt.want == "" && f != nil || tt.want != "" && (f == nil || f.Kind != tt.want) {
				t.Errorf("failure = %v, want kind %q", f, tt.want)
			}
		})
	}
}

func TestStreamRefused(t *testing.T) {
	h := newHostile(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		read(in)
		io.WriteString(c, "HTTP/1.1 500 Oh\r\nX-Pid: 9\r\nContent-Length: 0\r\n\r\n")
	})
	if _, f := openEvents(t.Context(), h.addr(), 0); f == nil || f.Kind != Status5xx || f.PID != 9 {
		t.Errorf("events: failure = %v, want %s of process 9", f, Status5xx)
	}
	if _, _, f := dialSocket(t.Context(), h.addr(), &http.Transport{}); f == nil || f.Kind != Status5xx || f.PID != 9 {
		t.Errorf("WebSocket: failure = %v, want %s of process 9", f, Status5xx)
	}
}

func TestFailuresOfSockets(t *testing.T) {
	tests := []struct {
		name string
		want Kind
		end  func(ctx context.Context, c *websocket.Conn, conn net.Conn)
	}{
		{"closed in good form", Ended, func(_ context.Context, c *websocket.Conn, _ net.Conn) { c.Close(websocket.StatusGoingAway, "") }},
		{"cut", EOF, func(_ context.Context, _ *websocket.Conn, conn net.Conn) { conn.Close() }},
		{"reset", Reset, func(_ context.Context, _ *websocket.Conn, conn net.Conn) { reset(conn.(*net.TCPConn)); conn.Close() }},
		{"another answer", Wrong, func(ctx context.Context, c *websocket.Conn, _ net.Conn) {
			c.Write(ctx, websocket.MessageText, []byte("message 0"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := websocket.Accept(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.CloseNow()
				for range 3 {
					kind, m, err := c.Read(r.Context())
					if err != nil || c.Write(r.Context(), kind, m) != nil {
						t.Error("an echo failed")
						return
					}
				}
				if _, _, err := c.Read(r.Context()); err != nil {
					t.Error(err)
					return
				}
				tt.end(r.Context(), c, r.Context().Value(connKey{}).(net.Conn))
			}))
			s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, c)
			}
			s.Start()
			defer s.Close()
			tr := &http.Transport{DisableKeepAlives: true}
			c, _, f := dialSocket(t.Context(), s.Listener.Addr().String(), tr)
			if f != nil {
				t.Fatal(f)
			}
			defer c.CloseNow()
			if f := echoes(t.Context(), c); f == nil || f.Kind != tt.want {
				t.Errorf("failure = %v, want kind %s", f, tt.want)
			}
		})
	}
}

type connKey struct{}

// HTTP/2 without TLS, its graceful end, and gRPC on top of it.
func TestHTTP2(t *testing.T) {
	var calls atomic.Int64
	addr, shutdown := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", "7")
		body, _ := io.ReadAll(r.Body)
		calls.Add(1)
		if r.Header.Get("Content-Type") == grpcContentType {
			serveGRPC(w, r.URL.Path, body)
			return
		}
		if r.ProtoMajor == 2 {
			_, _ = w.Write(body)
		}
	})
	if err := speaksHTTP2(addr); err != nil {
		t.Fatal(err)
	}
	h := newHTTP2(addr)
	defer h.close()
	g, bad := newGRPC(addr, "/good"), newGRPC(addr, "/bad")
	defer g.close()
	defer bad.close()
	for n := range 3 {
		if f := h.call(n); f != nil {
			t.Error(f)
		}
		if pid, f := g.unary(n); f != nil || pid != 7 {
			t.Errorf("gRPC call: process %d, %v", pid, f)
		}
		if f := bad.call(n); f == nil || f.Kind != Status5xx {
			t.Errorf("gRPC call = %v, want %s", f, Status5xx)
		}
		if began, f := g.ticks(t.Context(), n); !began || f != nil {
			t.Errorf("gRPC stream: began %v, %v", began, f)
		}
		if began, f := bad.ticks(t.Context(), n); !began || f == nil || f.Kind != Status5xx {
			t.Errorf("gRPC stream: began %v, %v, want %s", began, f, Status5xx)
		}
	}
	for service, want := range map[string]Kind{"/short": Ended, "/wrong": Lost, "/garbage": Wrong} {
		s := newGRPC(addr, service)
		if began, f := s.ticks(t.Context(), 3); !began || f == nil || f.Kind != want {
			t.Errorf("gRPC stream of %s: began %v, %v, want %s", service, began, f, want)
		}
		s.close()
	}
	if calls.Load() != 19 {
		t.Errorf("%d calls arrived, want 19", calls.Load())
	}
	shutdown()
	if f := h.call(3); f == nil || f.Kind != Refused {
		t.Errorf("after the end: %v, want %s", f, Refused)
	}
}

// serveGRPC answers as the service that grpcClient knows, or not quite.
func serveGRPC(w http.ResponseWriter, path string, body []byte) {
	service, method, _ := strings.Cut(path[1:], "/")
	if service == "bad" {
		w.Header().Set("Grpc-Status", "14")
		return
	}
	w.Header().Set("Trailer", "Grpc-Status")
	w.Header().Set("Grpc-Status", "0")
	if method == "Say" {
		_, n := binary.Uvarint(body[6:])
		_, _ = w.Write(grpcText(append([]byte("7 "), body[6+n:]...)))
		return
	}
	n, _ := binary.Uvarint(body[6:])
	switch service {
	case "short":
		n--
	case "garbage":
		_, _ = w.Write(grpcText([]byte("x")))
	}
	for i := range int(n) {
		if service == "wrong" {
			i++
		}
		_, _ = w.Write(grpcText(fmt.Appendf(nil, "7 %d", i)))
	}
}

func serveHTTP2(t *testing.T, h http.HandlerFunc) (addr string, shutdown func()) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() {
		if err := s.Config.Shutdown(t.Context()); err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

func TestHTTP1OnlyServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if err := speaksHTTP2(s.Listener.Addr().String()); err == nil {
		t.Error("a server of HTTP/1 is said to speak HTTP/2")
	}
}

// A connection that ends without an answer to a request of HTTP/2 is told.
func TestHTTP2Cut(t *testing.T) {
	h := newHostile(t, func(_ int, c *net.TCPConn, in *bufio.Reader) { _, _ = in.Peek(24) })
	c := newHTTP2(h.addr())
	defer c.close()
	if f := c.call(0); f == nil || f.Kind != EOF && f.Kind != Reset {
		t.Errorf("failure = %v, want %s or %s", f, EOF, Reset)
	}
	if h.conns.Load() != 1 {
		t.Errorf("%d connections: the request was sent again", h.conns.Load())
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, line := range []string{"data: 7 0\n", "\r\n", ": comment\n", "data: 7\n", "data: -1 2", "data: 1 99999999999999999999"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		pid, n, ok, err := parseEvent(line)
		if ok && (err != nil || pid <= 0 || n < 0) || !ok && (pid != 0 || n != 0) {
			t.Fatalf("parseEvent(%q) = %d, %d, %v, %v", line, pid, n, ok, err)
		}
		if again := fmt.Sprintf("data: %d %d\n", pid, n); ok {
			if p, m, ok, err := parseEvent(again); p != pid || m != n || !ok || err != nil {
				t.Fatalf("parseEvent(%q) = %d, %d, %v, %v", again, p, m, ok, err)
			}
		}
	})
}
