package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// always is a profile of one step.
func always(step Step) Profile {
	return Profile{Session: func(int) Session { return sessionFunc(func() Step { return step }) }}
}

type sessionFunc func() Step

func (f sessionFunc) Next(*rand.Rand) Step { return f() }

// serve starts a server for the test and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// hijack takes the connection over.
func hijack(w http.ResponseWriter) *net.TCPConn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	return conn.(*net.TCPConn)
}

var post = Step{Method: "POST", Path: "/cart", Body: []byte(`{"sku":"rope"}`)}

func TestCleanLoad(t *testing.T) {
	var arrived, opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		if c, err := r.Cookie("sid"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: r.RemoteAddr})
		} else if c.Value != r.RemoteAddr {
			http.Error(w, "another shopper's cookie", 500)
		}
		if b, _ := io.ReadAll(r.Body); string(b) != string(post.Body) {
			http.Error(w, "another body", 500)
		}
		w.Header().Set("Theseus-Generation", "3")
		io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	var results atomic.Int64
	r, err := Run(t.Context(), Options{Base: s.URL, Profile: always(post), Rate: -1, Shoppers: 4, Requests: 500,
		OnResponse: func(Result) { results.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 500 || r.Failed != 0 || !r.Clean() || r.ByGeneration[3] != 500 {
		t.Errorf("report = %+v, want 500 requests of generation 3, none failed", *r)
	}
	if arrived.Load() != 500 || results.Load() != 500 {
		t.Errorf("%d arrived, %d results, want 500", arrived.Load(), results.Load())
	}
	if opened.Load() > 4 {
		t.Errorf("%d connections for 4 shoppers: they were not kept", opened.Load())
	}
	if r.Latency.P50 <= 0 || r.Latency.P99 > r.Latency.Max || r.Elapsed <= 0 || r.Rate() <= 0 {
		t.Errorf("latency %+v in %v", r.Latency, r.Elapsed)
	}
}

// Each way to fail, at every fifth request, is counted as often as it happened,
// in its class, and nothing is sent twice. TestTimeouts has the slow ones.
func TestEachFailureIsCounted(t *testing.T) {
	const every, failures = 5, 4
	answer := func(w http.ResponseWriter, version string) {
		w.Header().Set("Theseus-Generation", "7")
		fmt.Fprintf(w, "version %s", version)
	}
	tests := []struct {
		name string
		want Class
		bad  func(http.ResponseWriter, *http.Request)
	}{
		{"reset", Reset, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			c := hijack(w)
			c.SetLinger(0)
			c.Close()
		}},
		{"closed without an answer", EOF, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			hijack(w).Close()
		}},
		{"closed within the header", EOF, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			c := hijack(w)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
			c.Close()
		}},
		{"closed within the body", EOF, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			c := hijack(w)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nvers")
			c.Close()
		}},
		{"closed within a chunk", EOF, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			c := hijack(w)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nvers")
			c.Close()
		}},
		{"unavailable", Status5xx, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }},
		{"bad gateway", Status5xx, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "later", http.StatusBadGateway) }},
		{"not HTTP", Wrong, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			c := hijack(w)
			io.WriteString(c, "220 mail.example.com\r\n\r\n")
			c.Close()
		}},
		{"wrong body", Wrong, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "something else") }},
		{"unexpected status", Wrong, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "version 1", http.StatusForbidden) }},
		{"endless body", Wrong, func(w http.ResponseWriter, r *http.Request) {
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}},
		{"mixed in itself", Mixed, func(w http.ResponseWriter, r *http.Request) { answer(w, "1 and 2") }},
		{"mixed generation", Mixed, func(w http.ResponseWriter, r *http.Request) { answer(w, "2") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var arrived atomic.Int64
			base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if arrived.Add(1)%every == 0 {
					tt.bad(w, r)
					return
				}
				answer(w, "1")
			}))
			step := post
			lost := 0
			step.Lost = func() { lost++ }
			step.Check = func(r *Response) error {
				version, ok := strings.CutPrefix(string(r.Body), "version ")
				switch {
				case !ok:
					return errors.New("no version")
				case version == "1 and 2":
					return fmt.Errorf("%w: %s", ErrMixed, version)
				}
				r.Mark("version", version)
				return wantStatus(r, 200)
			}
			r, err := Run(t.Context(), Options{Base: base, Profile: always(step), Rate: -1, Shoppers: 1,
				Requests: every * failures})
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests != every*failures || arrived.Load() != every*failures {
				t.Errorf("%d requests counted, %d arrived, want %d", r.Requests, arrived.Load(), every*failures)
			}
			if got := *r.count(tt.want); r.Failed != failures || got != failures {
				t.Errorf("failed %d, %s %d, want %d; first: %v", r.Failed, tt.want, got, failures, r.FirstErrors)
			}
			if len(r.FirstErrors) != failures {
				t.Errorf("%d sample errors, want %d", len(r.FirstErrors), failures)
			}
			unknown := tt.want != Wrong && tt.want != Mixed || tt.name == "not HTTP" || tt.name == "endless body"
			if want := map[bool]int{true: failures}[unknown]; lost != want {
				t.Errorf("Lost was called %d times, want %d", lost, want)
			}
			if r.Clean() {
				t.Error("the report calls this clean")
			}
		})
	}
}

// A server that closes an idle kept-alive connection fails the next request on
// it. net/http's client would hide that.
func TestClosedKeepAliveConnectionFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.Copy(io.Discard, req.Body)
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			}
			c.Close()
		}
	}()
	r, err := Run(t.Context(), Options{Base: "http://" + ln.Addr().String(), Profile: always(post), Rate: -1, Shoppers: 1, Requests: 10})
	ln.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 10 || r.Failed != 5 || r.EOF+r.Reset != 5 {
		t.Errorf("report = %+v, want 5 of 10 failed by eof or reset", *r)
	}
	if len(r.FirstErrors) == 0 || !strings.Contains(r.FirstErrors[0], "kept alive for 1 requests") {
		t.Errorf("first errors %q do not tell that the connection was kept", r.FirstErrors)
	}
}

// A server that says it will close may close.
func TestAnnouncedCloseIsNoFailure(t *testing.T) {
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(409)
	}))
	r, err := Run(t.Context(), Options{Base: base, Profile: always(post), Rate: -1, Shoppers: 2, Requests: 20})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 20 || r.Failed != 0 || r.Status4xx != 20 {
		t.Errorf("report = %+v, want 20 requests with 409 and none failed", *r)
	}
}

func TestRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + ln.Addr().String()
	ln.Close()
	r, err := Run(t.Context(), Options{Base: base, Profile: always(post), Rate: -1, Shoppers: 2, Requests: 30})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 30 || r.Refused != 30 || r.Failed != 30 || len(r.FirstErrors) != maxErrors {
		t.Errorf("report = %+v, want 30 refused and %d samples", *r, maxErrors)
	}
}

func TestBadOptions(t *testing.T) {
	ok := Options{Base: "http://127.0.0.1:1", Profile: always(post)}
	for name, change := range map[string]func(*Options){
		"no base":        func(o *Options) { o.Base = "" },
		"https":          func(o *Options) { o.Base = "https://127.0.0.1:1" },
		"a path":         func(o *Options) { o.Base = "http://127.0.0.1:1/shop" },
		"not a URL":      func(o *Options) { o.Base = "http://[" },
		"no profile":     func(o *Options) { o.Profile = Profile{} },
		"no stream path": func(o *Options) { o.Streams = 1 },
		"negative":       func(o *Options) { o.Shoppers = -1 },
	} {
		opt := ok
		change(&opt)
		if _, err := New(opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	opt := ok
	opt.Requests, opt.Rate = 1, -1
	g, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err == nil {
		t.Error("a generator ran twice")
	}
}

func TestReportStaysBounded(t *testing.T) {
	var y tally
	y.begin(time.Now())
	const n = maxGenerations + 100
	for i := 1; i <= n; i++ {
		resp := &Response{Status: 200, Generation: i}
		resp.Mark("revision", fmt.Sprint(i))
		if err := y.agree(resp); err != nil {
			t.Fatal(err)
		}
		y.request(&Result{Response: resp, Class: Wrong, Err: errors.New("x")})
	}
	r := y.report()
	var sum int64
	for _, c := range r.ByGeneration {
		sum += c
	}
	if len(r.ByGeneration) > maxGenerations+1 || sum != n || r.ByGeneration[n] != 1 {
		t.Errorf("%d generations with %d responses, want at most %d with %d", len(r.ByGeneration), sum, maxGenerations+1, n)
	}
	if len(y.marked) > maxMarked {
		t.Errorf("marks of %d generations are kept, want at most %d", len(y.marked), maxMarked)
	}
}

func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(random.Int64N(1 << random.IntN(40)))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.95, 0.99, 1} {
		want := all[max(0, int(q*float64(len(all))+0.999999)-1)]
		got := h.quantile(q)
		if got < want || got > want+want/16+time.Microsecond {
			t.Errorf("quantile(%v) = %v, want %v to a sixteenth above", q, got, want)
		}
	}
	h.add(1<<63 - 1)
	h.add(-1)
	if h.quantile(1) != 1<<63-1 {
		t.Errorf("quantile(1) = %v, want the longest duration", h.quantile(1))
	}
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

func TestAutoProfile(t *testing.T) {
	routes := []string{"GET /products", "GET /products/{id}", "POST /orders", "/any", "GET /{$}", "GET example.com/x",
		"GET /files/{path...}", "GET /a b", "GET /{id}/{other}", "DELETE /x", "GET /{id"}
	p, err := AutoProfile(routes, map[string]string{"id": "{x}/7"})
	if err != nil {
		t.Fatal(err)
	}
	got := p.Session(0).(*autoSession).paths
	want := []string{"/products", "/products/%7Bx%7D%2F7", "/any", "/", "/a%20b"}
	if !slices.Equal(got, want) {
		t.Errorf("paths = %q, want %q", got, want)
	}
	if _, err := AutoProfile([]string{"POST /orders"}, nil); err == nil {
		t.Error("a profile without a request was made")
	}
	var hits atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	p, _ = AutoProfile(routes[:1], nil)
	r, err := Run(context.Background(), Options{Base: serve(t, mux), Profile: p, Rate: -1, Requests: 20})
	if err != nil || r.Failed != 0 || hits.Load() != 20 {
		t.Errorf("report %+v, %d hits, error %v", r, hits.Load(), err)
	}
}
