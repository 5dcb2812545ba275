package load

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections stay in memory, where synctest can
// stop the clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return mine, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// inMemory runs load of 100 requests/s, unless opt has another rate, against h
// with the clock of the bubble.
func inMemory(t *testing.T, h http.HandlerFunc, opt Options) *Report {
	t.Helper()
	p := newPipes()
	s := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- s.Serve(p) }()
	opt.Base, opt.Rate, opt.dial = "http://in.memory", cmp.Or(opt.Rate, 100), p.dial
	if opt.Profile.Session == nil {
		opt.Profile = always(post)
	}
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil { // waits for the handlers
		t.Error(err)
	}
	<-served
	return r
}

func TestPaceNeitherDriftsNorDepends(t *testing.T) {
	for _, shoppers := range []int{1, 16} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, func(http.ResponseWriter, *http.Request) {}, Options{Duration: time.Minute - 5*time.Millisecond, Shoppers: shoppers})
			if r.Requests+r.Unfinished != 6000 || r.Failed != 0 || r.Behind != 0 {
				t.Errorf("%d shoppers: report = %+v, want 6000 requests in a minute", shoppers, *r)
			}
		})
	}
}

// After the server stood still, the requests that were due follow at once.
func TestPaceCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := inMemory(t, func(http.ResponseWriter, *http.Request) {
			if n.Add(1) == 50 {
				time.Sleep(time.Second)
			}
		}, Options{Duration: 10*time.Second - 5*time.Millisecond, Shoppers: 1})
		if r.Requests+r.Unfinished != 1000 || r.Skipped != 0 || r.Failed != 0 {
			t.Errorf("report = %+v, want 1000 requests", *r)
		}
		if r.Behind < 900*time.Millisecond || r.Latency.Max < time.Second {
			t.Errorf("behind %v, slowest %v, want about a second", r.Behind, r.Latency.Max)
		}
	})
}

// What is older than maxBehind is given up, and said so.
func TestPaceGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := inMemory(t, func(http.ResponseWriter, *http.Request) {
			if n.Add(1) == 50 {
				time.Sleep(5 * time.Second)
			}
		}, Options{Duration: 10*time.Second - 5*time.Millisecond, Shoppers: 1})
		if r.Requests+r.Skipped+r.Unfinished != 1000 || r.Skipped < 290 || r.Skipped > 310 {
			t.Errorf("report = %+v, want 1000 due of which 300 skipped", *r)
		}
	})
}

// The end of the load waits for requests under way, but not for long.
func TestEndCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := inMemory(t, func(_ http.ResponseWriter, r *http.Request) { time.Sleep(5500 * time.Millisecond) },
			Options{Duration: 5 * time.Second, Shoppers: 3})
		if r.Requests != 3 || r.Failed != 0 || r.Unfinished != 0 {
			t.Errorf("report = %+v, want 3 requests that ended within the grace", *r)
		}
		if took := time.Since(begun); took > 6*time.Second {
			t.Errorf("ended after %v, want the grace of 1s at most", took)
		}
		r = inMemory(t, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // the server sees the client leave only after that
			<-r.Context().Done()
		}, Options{Duration: 5 * time.Second, Shoppers: 3})
		if r.Requests != 0 || r.Failed != 0 || r.Unfinished != 3 || r.Elapsed != 6*time.Second {
			t.Errorf("report = %+v, want 3 cut off after 6s", *r)
		}
	})
}

// A connection that never comes about does not hold up the end.
func TestEndCutsConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		r, err := Run(t.Context(), Options{Base: "http://in.memory", Profile: always(post), Streams: 2, StreamPath: "/live",
			Duration: time.Second, Shoppers: 2, Timeout: time.Minute, dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		if r.Elapsed != time.Second || r.Unfinished != 2 || !r.Clean() {
			t.Errorf("report = %+v, want an end after 1s with 2 unfinished", *r)
		}
	})
}

// A request without a complete response in time fails, once.
func TestTimeouts(t *testing.T) {
	stuck := map[string]http.HandlerFunc{
		"before the answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"within the body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "vers")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"within the header": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
			conn.Read(make([]byte, 1)) // until the client leaves
		},
	}
	for name, hang := range stuck {
		synctest.Test(t, func(t *testing.T) {
			var arrived atomic.Int64
			r := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if arrived.Add(1)%5 == 0 {
					hang(w, r)
				}
			}, Options{Rate: -1, Shoppers: 1, Requests: 20, Timeout: 3 * time.Second})
			if r.Requests != 20 || arrived.Load() != 20 || r.Timeout != 4 || r.Failed != 4 || r.Elapsed != 12*time.Second {
				t.Errorf("stuck %s: %d arrived, report = %+v, want 4 of 20 timed out after 3s", name, arrived.Load(), *r)
			}
		})
	}
}
