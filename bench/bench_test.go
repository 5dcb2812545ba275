package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func serve(b *testing.B, use, target string) {
	dir, remove, err := tempApp(memFS(speedApp(use)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(remove)
	var in *instance.Instance
	if in, err = startInstance(b.Context(), dir, app.Options{NoSync: true}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := closeInstance(in); err != nil {
			b.Error(err)
		}
	})
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("User-Agent", "bench")
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		in.App.ServeHTTP(w, r)
	}
}

// The cost of a request without net/http's own.

func BenchmarkServeNoop(b *testing.B)       { serve(b, "", "/noop") }
func BenchmarkServeRead(b *testing.B)       { serve(b, "", "/read/apple?qty=10") }
func BenchmarkServeMiddleware(b *testing.B) { serve(b, "use: [middleware/pass.js]\n", "/noop") }

// BenchmarkSwap is one edit of three files and the update that applies it, without
// load.
func BenchmarkSwap(b *testing.B) {
	dir, remove, err := tempApp(memFS(trioRest, trio(1)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(remove)
	in, err := startInstance(b.Context(), dir, app.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := closeInstance(in); err != nil {
			b.Error(err)
		}
	})
	s := &soak{in: in, dir: dir, version: 1}
	for b.Loop() {
		if err := s.swap(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, .5, 0},
		{[]float64{7}, .95, 7},
		{[]float64{4, 1, 3, 2}, .5, 3},
		{[]float64{4, 1, 3, 2}, 1, 4},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
}

func TestAmount(t *testing.T) {
	for want, got := range map[string]string{
		"0": amount(0, ""), "1000 /s": amount(1000, "/s"), "0.120 µs": amount(.12, "µs"), "34.8 MB": amount(34.81, "MB"), "-5.76 %": amount(-5.757, "%"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBars(t *testing.T) {
	r := Report{Sections: []Section{{Figures: []Figure{fig("a", 1, ""), atMost("b", 5, "µs", 5), atLeast("c", 60, "%", 60), exactly("d", 0, 0)}}}}
	if !r.met() {
		t.Error("figures on their bars count as missed")
	}
	for _, bad := range []Figure{atMost("b", 5.1, "µs", 5), atLeast("c", 59.9, "%", 60), exactly("d", 1, 0)} {
		if r := (Report{Sections: []Section{{Figures: []Figure{bad}}}}); r.met() {
			t.Errorf("%s %v counts as met", bad.Name, bad.Value)
		}
	}
}

// The app that is measured has as many files as docs/benchmarks.md says.
func TestLiveApp(t *testing.T) {
	if n := len(liveApp()); n != liveFiles || liveFiles != 50 {
		t.Errorf("the app has %d files, want 50", n)
	}
}
