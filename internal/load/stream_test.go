package load

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// watch runs load with two streams until reached says so, then ends it and
// returns the final report.
func watch(t *testing.T, stream http.HandlerFunc, reached func(Report) bool) Report {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /live", stream)
	p := always(post)
	p.StreamPath = "/live"
	g, err := New(Options{Base: serve(t, mux), Profile: p, Streams: 2, Shoppers: 1, Rate: 10})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for !reached(g.Snapshot()) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Errorf("never reached; report = %+v", g.Snapshot())
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return g.Snapshot()
}

// events sends numbered messages.
func events(w http.ResponseWriter, ids ...int) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, id := range ids {
		fmt.Fprintf(w, ": a comment\n\nid: %d\nevent: tick\ndata: {}\n\n", id)
	}
	http.NewResponseController(w).Flush()
}

func TestStreamsStayOpen(t *testing.T) {
	r := watch(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("Accept = %q", r.Header.Get("Accept"))
		}
		events(w, 4, 5, 6)
		<-r.Context().Done()
	}, func(r Report) bool { return r.StreamEvents == 6 })
	if r.StreamsOpen != 2 || !r.Clean() || r.StreamEvents != 6 || r.Reconnects != 0 {
		t.Errorf("report = %+v, want 2 streams open with 6 events and nothing lost", r)
	}
}

func TestCutStreamIsBroken(t *testing.T) {
	ways := map[string]func(http.ResponseWriter){
		"ended": func(http.ResponseWriter) {},
		"reset": func(w http.ResponseWriter) { c := hijack(w); c.SetLinger(0); c.Close() },
		"cut":   func(w http.ResponseWriter) { hijack(w).Close() },
	}
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			var opened atomic.Int64
			r := watch(t, func(w http.ResponseWriter, r *http.Request) {
				events(w, 1, 2)
				if opened.Add(1) <= 2 {
					end(w)
					return
				}
				<-r.Context().Done()
			}, func(r Report) bool { return r.Reconnects == 2 })
			if r.StreamsBroken != 2 || r.StreamsOpen != 2 || r.Reconnects != 2 || r.StreamsRefused != 0 || r.Clean() {
				t.Errorf("report = %+v, want 2 broken, 2 reconnects, 2 open", r)
			}
			if r.StreamLost != 0 || r.StreamDoubled != 0 {
				t.Errorf("report = %+v: the numbers begin anew on each stream", r)
			}
		})
	}
}

func TestLostAndDoubledMessages(t *testing.T) {
	r := watch(t, func(w http.ResponseWriter, r *http.Request) {
		events(w, 1, 2, 5, 5, 3, 6)
		<-r.Context().Done()
	}, func(r Report) bool { return r.StreamEvents == 12 })
	if r.StreamLost != 4 || r.StreamDoubled != 4 || r.Clean() || len(r.FirstErrors) != 6 {
		t.Errorf("report = %+v, want 2 lost and 2 doubled on each of 2 streams", r)
	}
}

func TestSilentStreamIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		p := always(post)
		p.StreamPath, p.Silence = "/live", 5*time.Second
		r := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/live" {
				return
			}
			talks := opened.Add(1) > 2
			for n := 1; r.Context().Err() == nil; n++ {
				events(w, n)
				if !talks {
					break
				}
				time.Sleep(4 * time.Second)
			}
			<-r.Context().Done()
		}, Options{Profile: p, Streams: 2, Duration: time.Minute})
		if r.StreamsBroken != 2 || r.Reconnects != 2 || r.StreamsOpen != 2 || r.StreamEvents != 2+2*14 || r.StreamLost != 0 {
			t.Errorf("report = %+v, want 2 broken by silence and 2 that go on", *r)
		}
		if len(r.FirstErrors) != 2 || !strings.Contains(r.FirstErrors[0], "silent for 5s") {
			t.Errorf("first errors %q, want the silence", r.FirstErrors)
		}
	})
}

func TestRefusedStreams(t *testing.T) {
	var opened atomic.Int64
	r := watch(t, func(w http.ResponseWriter, r *http.Request) {
		switch opened.Add(1) {
		case 1:
			w.WriteHeader(503)
		case 2:
			w.Header().Set("Content-Type", "text/html")
		default:
			events(w)
			<-r.Context().Done()
		}
	}, func(r Report) bool { return r.StreamsOpen == 2 })
	if r.StreamsRefused != 2 || r.StreamsBroken != 0 || r.Reconnects != 0 || r.Clean() {
		t.Errorf("report = %+v, want 2 refused and then 2 open", r)
	}
}

func TestLongMessages(t *testing.T) {
	var opened atomic.Int64
	r := watch(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		size := 300_000
		if opened.Add(1) == 1 {
			size = maxEvent + 1
		}
		fmt.Fprintf(w, "id: 1\ndata: %s\n\nid: 2\ndata: x\n\n", strings.Repeat("x", size))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(r Report) bool { return r.StreamEvents == 4 })
	if r.StreamsBroken != 1 || r.StreamEvents != 4 || r.StreamLost != 0 {
		t.Errorf("report = %+v, want one stream broken by a message above the bound", r)
	}
}

func FuzzReadEvent(f *testing.F) {
	f.Add("id: 7\ndata: x\n\n")
	f.Add(": ping\n\ndata:\r\n\r\n")
	f.Add("id:" + strings.Repeat("9", 5000) + "\ndata: " + strings.Repeat("x", 9000) + "\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := bufio.NewReader(strings.NewReader(text))
		for n := 0; ; n++ {
			id, _, err := readEvent(r)
			if err != nil {
				return
			}
			if len(id) > 4096 || n > len(text) {
				t.Fatalf("event %d with an id of %d bytes", n, len(id))
			}
		}
	})
}
