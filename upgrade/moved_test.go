package upgrade

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A connection that was idle in another process may be idle here for as long as any
// other; once its next request has begun, the rest of the header is due in time.
func TestMovedConnectionMayBeIdle(t *testing.T) {
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := u.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const header = 100 * time.Millisecond
	u.Serve(&http.Server{ReadHeaderTimeout: header, IdleTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}, l)
	if err := u.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Shutdown(context.Background()) })
	elsewhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	client, err := net.Dial("tcp", elsewhere.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	inner, err := elsewhere.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !l.deliver(inner) {
		t.Fatal("not delivered")
	}
	_ = client.SetDeadline(time.Now().Add(2 * time.Minute))
	from := bufio.NewReader(client)
	time.Sleep(5 * header) // that this passes is what is tested
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); string(body) != "hello" || err != nil {
		t.Fatalf("%q, %v", body, err)
	}

	second, err := net.Dial("tcp", elsewhere.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if inner, err = elsewhere.Accept(); err != nil {
		t.Fatal(err)
	}
	l.deliver(inner)
	_ = second.SetDeadline(time.Now().Add(2 * time.Minute))
	io.WriteString(second, "GET / HT")
	if _, err := io.ReadAll(second); err != nil {
		t.Errorf("half a header was waited for: %v", err)
	}
}
