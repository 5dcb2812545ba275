package stream

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestHandshakeRefused(t *testing.T) {
	t.Parallel()
	_, _, h := twoSocketHosts(t, SocketOptions{Origins: []string{"*.example.com", "https://secure.test", "[", "*:8443"}}, echo)
	srv := serve(t, h)
	good := map[string]string{"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, c := range []struct {
		name, method, header, value string
		body                        string
		want                        int
	}{
		{name: "good", want: 101},
		{name: "method", method: "POST", want: 405},
		{name: "no upgrade", header: "Upgrade", want: 426},
		{name: "other upgrade", header: "Upgrade", value: "h2c", want: 426},
		{name: "no connection", header: "Connection", want: 426},
		{name: "version", header: "Sec-WebSocket-Version", value: "8", want: 426},
		{name: "no key", header: "Sec-WebSocket-Key", want: 400},
		{name: "short key", header: "Sec-WebSocket-Key", value: "dGhlIHM=", want: 400},
		{name: "garbage key", header: "Sec-WebSocket-Key", value: "!", want: 400},
		{name: "body", body: "\x81\x80\x00\x00\x00\x00", want: 400},
		{name: "same origin", header: "Origin", value: srv.URL, want: 101},
		{name: "same host, other scheme", header: "Origin", value: strings.Replace(srv.URL, "http", "https", 1), want: 101},
		{name: "other origin", header: "Origin", value: "https://evil.test", want: 403},
		{name: "other port", header: "Origin", value: "http://127.0.0.1:1", want: 403},
		{name: "origin null", header: "Origin", value: "null", want: 403},
		{name: "origin garbage", header: "Origin", value: "http://%zz", want: 403},
		{name: "allowed origin", header: "Origin", value: "http://WWW.example.com", want: 101},
		{name: "suffix of an allowed origin", header: "Origin", value: "http://example.com.evil.test", want: 403},
		{name: "allowed scheme", header: "Origin", value: "https://secure.test", want: 101},
		{name: "other scheme", header: "Origin", value: "http://secure.test", want: 403},
		{name: "allowed port", header: "Origin", value: "http://anything:8443", want: 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			req, err := http.NewRequest(c.method, srv.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range good {
				req.Header.Set(k, v)
			}
			if req.Header.Del(c.header); c.value != "" {
				req.Header.Set(c.header, c.value)
			}
			res, err := (&http.Transport{DisableKeepAlives: c.name == ""}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != c.want {
				t.Errorf("status %d, want %d", res.StatusCode, c.want)
			}
			if v := res.Header.Get("Sec-WebSocket-Version"); (v == "13") != (c.want == 426) {
				t.Errorf("Sec-WebSocket-Version = %q", v)
			}
		})
	}
}

func TestHandshakeHeaders(t *testing.T) {
	t.Parallel()
	protocol := make(chan string, 2)
	a, b, h := twoSocketHosts(t, SocketOptions{Protocols: []string{"v2", "v1"}}, func(c *Socket, s *echoes) error {
		protocol <- c.Protocol()
		return echo(c, s)
	})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", "17")
		w.Header().Set("Content-Length", "3")
		w.Header().Set("X-Evil", "a\r\nb: c")
		h(w, r)
	})
	c, res, err := websocket.Dial(t.Context(), srv.URL, &websocket.DialOptions{Subprotocols: []string{"v0", "v1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if res.Header.Get("X-Pid") != "17" || res.Header.Get("Content-Length") != "" || res.Header.Get("B") != "" || res.Header.Get("Date") == "" {
		t.Errorf("header = %v", res.Header)
	}
	a.hop(b, 1)
	for range 2 {
		if p := await(t, protocol, "run"); p != "v1" {
			t.Errorf("protocol = %q, want v1", p)
		}
	}
}

func TestOriginAny(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/", nil)
	for _, origin := range []string{"null", "https://evil.test", "http://%zz"} {
		r.Header.Set("Origin", origin)
		if got := checkOrigin(r, []string{"*"}); got != nil {
			t.Errorf("origin %q: %v", origin, got)
		}
	}
}

// secureServer speaks HTTP/2.
func secureServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	_, _, events := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		if e.Moving() != nil {
			t.Error("a stream over HTTP/2 can move")
		}
		if err := e.SendData("one"); err != nil {
			return err
		}
		<-e.Context().Done()
		ended <- context.Cause(e.Context())
		return e.SendData("two")
	})
	_, _, socket := twoSocketHosts(t, SocketOptions{}, echo)
	srv := secureServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", "17")
		if r.URL.Path == "/socket" {
			socket(w, r)
			return
		}
		events(w, r)
	})
	res, err := srv.Client().Get(srv.URL + "/socket")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 501 || res.ProtoMajor != 2 {
		t.Errorf("WebSocket over %s: %d", res.Proto, res.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
	if res, err = srv.Client().Do(req); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, len("data: one\n\n"))
	if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "data: one\n\n" {
		t.Errorf("read %q, %v", buf, err)
	}
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Pid") != "17" {
		t.Errorf("header = %v", res.Header)
	}
	cancel()
	await(t, ended, "end of the context")
}
