package main

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const msec = time.Millisecond

func at(from, to int) span { return span{time.Duration(from) * msec, time.Duration(to) * msec} }

func TestSplit(t *testing.T) {
	r := &Record{Samples: []sample{
		{at(0, 5), true},     // before all: left out
		{at(100, 101), true}, // steady
		{at(195, 205), true}, // touches the window
		{at(210, 213), true}, // inside
		{at(299, 300), true}, // inside, to its end
		{at(300, 302), true}, // steady again
		{at(250, 550), false},
	}}
	inside, steady := r.split([]span{at(200, 300)}, []span{at(0, 50)})
	if want := []float64{10, 3, 1}; !slices.Equal(inside, want) {
		t.Errorf("inside = %v, want %v", inside, want)
	}
	if want := []float64{1, 2}; !slices.Equal(steady, want) {
		t.Errorf("steady = %v, want %v", steady, want)
	}
}

func TestGap(t *testing.T) {
	r := &Record{Samples: []sample{{at(0, 10), true}, {at(0, 300), false}, {at(20, 40), true}, {at(300, 320), true}}}
	for name, c := range map[string]struct {
		s    span
		want time.Duration
	}{
		"between":          {at(0, 330), 260 * msec},
		"up to the end":    {at(0, 900), 580 * msec},
		"from the start":   {at(50, 310), 250 * msec},
		"no answer at all": {at(400, 500), 100 * msec},
		"empty":            {at(400, 400), 0},
	} {
		if got := r.gap(c.s); got != c.want {
			t.Errorf("%s: gap = %v, want %v", name, got, c.want)
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
		{[]float64{7}, .999, 7},
		{[]float64{4, 1, 3, 2}, .5, 3},
		{[]float64{4, 1, 3, 2}, 1, 4},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
}

func TestRecorder(t *testing.T) {
	r := newRecorder()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				r.answered(time.Now(), true)
				r.failed("keep", failed(EOFKept, "gone"))
				r.opened(endless)
				r.broke(endless, failed(Lost, "gone"))
				r.closedIdle()
				r.closedTold()
				r.skip(2)
			}
		})
	}
	wg.Wait()
	got := r.record()
	if got.Requests != 800 || len(got.Samples) != 400 || len(got.Failures) != 400 || got.Skipped != 800 ||
		got.Closes != (Closes{400, 400}) || got.Streams[endless].Opened != 400 || got.Streams[endless].Kinds[Lost] != 400 {
		t.Errorf("record = %d requests, %d samples, %d failures, %+v, %+v, %d skipped",
			got.Requests, len(got.Samples), len(got.Failures), got.Closes, got.Streams, got.Skipped)
	}
	if k := kinds(got.Failures); k[EOFKept] != 400 || clients(got.Failures)["keep"] != 400 {
		t.Errorf("kinds = %v", k)
	}
	if n := len(within(span{0, r.now()}, got.Failures)); n != 400 {
		t.Errorf("%d failures in the whole time, want 400", n)
	}
}

// What the broken process answered or cut is told from other failures.
func TestBrokenJudge(t *testing.T) {
	before := &Record{Requests: 10}
	after := &Record{Requests: 30, Breaks: []Failure{
		{At: 1 * msec, Client: finite, LastID: 7}, // before the trigger
		{At: 20 * msec, Client: finite, LastID: 8},
		{At: 21 * msec, Client: socket, LastID: 7},
		{At: 22 * msec, Client: socket, LastID: 8},
	}, Failures: []Failure{
		{At: 1 * msec, Kind: EOF},                         // before the trigger
		{At: 20 * msec, Kind: Status5xx, PID: 8},          // the broken code's own
		{At: 21 * msec, Kind: Wrong, PID: 8, LastID: 7},   // likewise
		{At: 22 * msec, Kind: ResetKept, LastID: 8},       // cut by it
		{At: 23 * msec, Kind: EOFKept, LastID: 7},         // cut by the old one
		{At: 24 * msec, Kind: Status5xx, PID: 7},          // answered by the old one
		{At: 25 * msec, Kind: Refused},                    // nobody's
		{At: 99 * msec, Kind: Refused, PID: 8, LastID: 8}, // after the time
	}}
	var row BrokenRow
	row.judge(before, after, at(10, 50), 7)
	if row.Requests != 20 || row.Failed != 6 || row.Answered != 2 || row.Cut != 1 ||
		row.Streams != 3 || row.StreamsCut != 2 || row.Broke[socket] != 2 {
		t.Errorf("row = %+v, want 20 requests, 6 failed, 2 answered, 1 cut, 3 streams of which 2 cut", row)
	}
}

// The schedule neither drifts nor depends on the server; what its client was held
// up for counts, and what is too late is given up.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skipped := 0
		start := time.Now()
		p := newPace(start, 1, 4, 40, func(n int) { skipped += n }) // every 100 ms from 25 ms on
		next := func(want time.Duration) {
			t.Helper()
			begin, ok := p.next(t.Context())
			if got := begin.Sub(start); !ok || got != want {
				t.Errorf("next = %v, %v, want %v", got, ok, want)
			}
		}
		next(25 * msec)
		next(125 * msec)
		time.Sleep(300 * msec) // to 425: held up
		next(225 * msec)
		next(325 * msec)
		next(425 * msec)
		time.Sleep(5 * time.Second)
		next(5425 * msec)
		if skipped != 49 {
			t.Errorf("%d skipped, want 49", skipped)
		}
		next(5525 * msec)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := p.next(ctx); ok {
			t.Error("next goes on after the end")
		}
	})
}
