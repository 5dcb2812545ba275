package stream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// exchange sends raw bytes and returns all that comes back up to the end.
func exchange(t *testing.T, url, req string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, req); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestEventsOnTheWire(t *testing.T) {
	t.Parallel()
	failure := errors.New("failure")
	var fail atomic.Bool
	a, _, h := twoHosts(t, EventOptions{KeepAlive: time.Millisecond}, func(e *Events, s *ticks) error {
		if err := e.Send(Event{ID: "a\nb"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("Send = %v, want ErrInvalid", err)
		}
		if err := e.SendData("x"); err != nil {
			return err
		}
		if fail.Load() {
			return failure
		}
		return nil
	})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("X-Pid", "1\r\nEvil: 2")
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Length", "5")
		w.Header().Set("Trailer", "X")
		h(w, r)
	})
	head := "Cache-Control: no-cache\r\nConnection: close\r\nContent-Type: text/event-stream\r\n"
	chunked := "HTTP/1.1 200 OK\r\n" + head + "Transfer-Encoding: chunked\r\nX-Pid: 1  Evil: 2\r\n\r\n9\r\ndata: x\n\n\r\n"
	// The body and the request after it are never looked at.
	post := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n"
	if got := exchange(t, srv.URL, post); got != chunked+"0\r\n\r\n" {
		t.Errorf("HTTP/1.1: %q", got)
	}
	plain := "HTTP/1.0 200 OK\r\n" + head + "X-Pid: 1  Evil: 2\r\n\r\ndata: x\n\n"
	if got := exchange(t, srv.URL, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"); got != plain {
		t.Errorf("HTTP/1.0: %q", got)
	}
	if got := exchange(t, srv.URL, "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "text/event-stream") || strings.Contains(got, "data") {
		t.Errorf("HEAD: %q", got)
	}
	fail.Store(true)
	if got := exchange(t, srv.URL, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); got != chunked {
		t.Errorf("run that fails: %q", got)
	}
	a.ended.wait(3)
}

// A stream over HTTP/1.0 has no chunks after the move either.
func TestEventsHTTP10Moves(t *testing.T) {
	t.Parallel()
	started := make(chan bool, 1)
	a, b, h := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		if s.Next == 0 {
			if err := e.SendData("before"); err != nil {
				return err
			}
			s.Next = 1
			started <- true
			return e.Wait(-1)
		}
		return e.SendData("after")
	})
	srv := serve(t, h)
	go func() {
		<-started
		a.drain(b)
	}()
	if got := exchange(t, srv.URL, "GET / HTTP/1.0\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\ndata: before\n\ndata: after\n\n") {
		t.Errorf("got %q", got)
	}
}

func TestEventsKeepAlive(t *testing.T) {
	t.Parallel()
	a, b, h := twoHosts(t, EventOptions{KeepAlive: time.Millisecond}, func(e *Events, s *ticks) error { return e.Wait(-1) })
	res, err := http.Get(serve(t, h).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	for range 3 {
		for range 2 {
			if line, err := r.ReadString('\n'); err != nil || (line != ":\n" && line != "\n") {
				t.Errorf("line %q, %v", line, err)
			}
		}
		a.hop(b, 1)
		a, b = b, a
	}
}

func TestEventsAfterTheEnd(t *testing.T) {
	t.Parallel()
	kept := make(chan *Events, 1)
	_, _, h := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		kept <- e
		return nil
	})
	exchange(t, serve(t, h).URL, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	e := await(t, kept, "events")
	await(t, e.Context().Done(), "end of the context")
	for _, err := range []error{e.SendData("x"), e.Wait(0), e.Wait(-1)} {
		if !errors.Is(err, ErrEnded) {
			t.Errorf("err = %v, want ErrEnded", err)
		}
	}
	if e.Moving() != nil {
		t.Error("Moving after the end")
	}
}

// Without a Host everything works but moving.
func TestNoHost(t *testing.T) {
	t.Parallel()
	events := NewEvents(nil, "e", func(e *Events, s *ticks) error {
		if err := e.Wait(time.Microsecond); err != nil {
			return err
		}
		return e.SendData("x")
	})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { events.Serve(w, r, ticks{}) })
	if got := exchange(t, srv.URL, "GET / HTTP/1.1\r\nHost: h\r\n\r\nmore"); !strings.HasSuffix(got, "\r\n\r\n9\r\ndata: x\n\n\r\n0\r\n\r\n") {
		t.Errorf("got %q", got)
	}
	socket := NewSocket(nil, "s", echo)
	srv = serve(t, func(w http.ResponseWriter, r *http.Request) { socket.Serve(w, r, echoes{}) })
	c := dialRaw(t, srv.URL, clientFrame(true, opText, "early"))
	c.want(opText, "1:early")
	c.say(clientFrame(true, opClose, ""))
	c.want(opClose, "")
	if err := (&localConn{}).Move(nil, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Move = %v", err)
	}
}

// deaf can neither be hijacked nor flushed.
type deaf struct{ http.ResponseWriter }

func TestWriters(t *testing.T) {
	t.Parallel()
	h := NewEventsWith(nil, "e", EventOptions{Log: quiet}, func(e *Events, s *ticks) error { return e.SendData("x") })
	req := httptest.NewRequest("GET", "/", nil)
	rec := httptest.NewRecorder() // flushes only
	if h.Serve(rec, req, ticks{}); rec.Body.String() != "data: x\n\n" || !rec.Flushed {
		t.Errorf("recorder got %q", rec.Body)
	}
	rec = httptest.NewRecorder()
	if h.Serve(deaf{rec}, req, ticks{}); rec.Code != 500 {
		t.Errorf("status %d without a way to flush, want 500", rec.Code)
	}
	s := NewSocketWith(nil, "s", SocketOptions{Log: quiet}, echo)
	req.Header = http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	rec = httptest.NewRecorder()
	if s.Serve(rec, req, echoes{}); rec.Code != 501 {
		t.Errorf("status %d without a way to hijack, want 501", rec.Code)
	}
}

// ownHost returns its own type of connection, like package upgrade.
type ownHost struct{ *fakeHost }

func (h ownHost) Hijack(w http.ResponseWriter, kind string) (*fakeConn, error) {
	c, err := h.fakeHost.Hijack(w, kind)
	own, _ := c.(*fakeConn)
	return own, err
}

func (h ownHost) Resume(kind string, f func(*fakeConn, []byte)) {
	h.fakeHost.Resume(kind, func(c Conn, state []byte) { f(c.(*fakeConn), state) })
}

func TestAdapt(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	h := NewSocket(Adapt(ownHost{a}), "k", echo)
	NewSocket(Adapt(ownHost{b}), "k", echo)
	c := dialRaw(t, serve(t, func(w http.ResponseWriter, r *http.Request) { h.Serve(w, r, echoes{}) }).URL)
	a.hop(b, 1)
	c.say(clientFrame(true, opText, "x"))
	c.want(opText, "1:x")
	c.Close()
	if conn, err := Adapt(ownHost{a}).Hijack(httptest.NewRecorder(), "k"); conn != nil || err == nil {
		t.Errorf("Hijack = %v, %v; want nil and an error", conn, err)
	}
}
