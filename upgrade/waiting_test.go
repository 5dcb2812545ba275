package upgrade

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// waiting makes a server that serves nothing yet, and its listener.
func waiting(t *testing.T, srv *http.Server) (*Upgrader, *Listener, *httpServer) {
	t.Helper()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := u.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	s := newHTTPServer(u, srv)
	l.server, u.servers = s, append(u.servers, s)
	t.Cleanup(func() { _ = u.Shutdown(context.Background()) })
	return u, l, s
}

// connected returns the two ends of a connection that came in elsewhere.
func connected(t *testing.T) (client net.Conn, inner *net.TCPConn) {
	t.Helper()
	elsewhere, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	client, err = net.Dial("tcp", elsewhere.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_ = client.SetDeadline(time.Now().Add(2 * time.Minute))
	if inner, err = elsewhere.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	return client, inner
}

// answered asks by the connection, which must bring an answer.
func answered(t *testing.T, client net.Conn) {
	t.Helper()
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); string(body) != "hello" || err != nil {
		t.Fatalf("%q, %v", body, err)
	}
}

// What the server has not taken yet when the sockets close, such as a connection that
// a predecessor handed over in this moment, it still gets.
func TestClosingLeavesWhatWaits(t *testing.T) {
	u, l, s := waiting(t, &http.Server{})
	client, inner := connected(t)
	if !l.deliver(inner) {
		t.Fatal("not delivered")
	}
	u.closeSockets(false)
	go func() { u.fail(s.serve(l, nil)) }()
	answered(t, client)
}

// Of a server that has ended nothing is left.
func TestCloseEndsWhatWaits(t *testing.T) {
	_, l, _ := waiting(t, &http.Server{})
	client, inner := connected(t)
	l.deliver(inner)
	_ = l.shut()
	_ = l.Close()
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v, want EOF", err)
	}
}

// slowListener returns a connection from Accept long after it was told to stop.
type slowListener struct {
	socketListener
	inner net.Conn
	told  chan struct{}
	once  sync.Once
}

func (l *slowListener) Accept() (net.Conn, error) {
	if l.inner == nil {
		return nil, os.ErrDeadlineExceeded
	}
	<-l.told
	time.Sleep(50 * time.Millisecond) // a busy machine
	c := l.inner
	l.inner = nil
	return c, nil
}

func (l *slowListener) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		l.once.Do(func() { close(l.told) })
	}
	return nil
}

func (l *slowListener) SyscallConn() (syscall.RawConn, error) { return rawConn(l.socketListener) }

// A pause waits for the loop that accepts however long it takes: what that holds
// would be lost with the socket.
func TestPauseWaitsForWhoAccepts(t *testing.T) {
	u, l, s := waiting(t, &http.Server{})
	client, inner := connected(t)
	l.inner = &slowListener{socketListener: l.inner, inner: inner, told: make(chan struct{})}
	l.start()
	for accepting := false; !accepting; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		accepting = l.accepting
		l.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.pause(context.Background(), ctx)
	u.closeSockets(false)
	go func() { u.fail(s.serve(l, nil)) }()
	answered(t, client)
}

// A connection whose sender died before the answer is this process's, also when the
// end of the link was seen first.
func TestTakeFromTheDead(t *testing.T) {
	u, l, s := waiting(t, &http.Server{})
	if err := u.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { u.fail(s.serve(l, nil)) }()
	client, inner := connected(t)
	file, err := inner.File()
	if err != nil {
		t.Fatal(err)
	}
	inner.Close()
	link, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	link.Close()
	asked := false
	u.take(link, wire.Connection{ID: 1, Listener: l.Name()}, file, func() { asked = true })
	if !asked {
		t.Error("taken without the death of the other process")
	}
	answered(t, client)
}

// What comes in here and says nothing gets no more time than the header of a request.
func TestSilentConnection(t *testing.T) {
	u, l, s := waiting(t, &http.Server{ReadHeaderTimeout: 50 * time.Millisecond, IdleTimeout: time.Hour})
	if err := u.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { u.fail(s.serve(l, nil)) }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v, want EOF", err)
	}
}
