package main

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// maxFailures bounds the failures that are kept one by one; more are counted.
const maxFailures = 200_000

// A span is a part of the recording, from one moment to another.
type span struct{ from, to time.Duration }

func (s span) overlaps(o span) bool { return s.from < o.to && o.from < s.to }

// A sample is a request that was answered well.
type sample struct {
	span
	timed bool // its duration says something about the server
}

// A Recorder takes down what happens to the clients. Its methods are safe for
// concurrent use.
type Recorder struct {
	start time.Time

	mu       sync.Mutex // guards what is below
	samples  []sample
	failures []Failure // of requests
	breaks   []Failure // of streams
	requests int       // answered or failed
	streams  map[string]*StreamCount
	closes   Closes
	skipped  int
}

// StreamCount counts the streams of one kind.
type StreamCount struct {
	Opened int          `json:"opened"`
	Broken int          `json:"broken"`
	Kinds  map[Kind]int `json:"kinds,omitempty"` // of Broken
}

// Closes counts ends of kept connections that were no failure.
type Closes struct {
	Idle int `json:"idle"` // closed without a word, seen before the next request
	Told int `json:"told"` // announced with Connection: close
}

func newRecorder() *Recorder {
	return &Recorder{start: time.Now(), streams: map[string]*StreamCount{}}
}

// now is the present moment of the recording.
func (r *Recorder) now() time.Duration { return time.Since(r.start) }

// answered takes down a request that began then and has been answered well now.
func (r *Recorder) answered(begin time.Time, timed bool) {
	s := sample{span{begin.Sub(r.start), r.now()}, timed}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.samples = append(r.samples, s)
}

// failed takes down a request of a kind of client that failed now.
func (r *Recorder) failed(client string, f *Failure) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.failures = keep(r.failures, f, client, at)
}

// keep adds a failure to a list that is not too long.
func keep(list []Failure, f *Failure, client string, at time.Duration) []Failure {
	if len(list) >= maxFailures {
		return list
	}
	one := *f
	one.At, one.Client = at, client
	return append(list, one)
}

// opened takes down that a stream has begun.
func (r *Recorder) opened(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stream(kind).Opened++
}

// broke takes down that a stream has broken.
func (r *Recorder) broke(kind string, f *Failure) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaks = keep(r.breaks, f, kind, at)
	s := r.stream(kind)
	s.Broken++
	s.Kinds[f.Kind]++
}

// stream returns the counters of a kind; the lock is held.
func (r *Recorder) stream(kind string) *StreamCount {
	s := r.streams[kind]
	if s == nil {
		s = &StreamCount{Kinds: map[Kind]int{}}
		r.streams[kind] = s
	}
	return s
}

func (r *Recorder) closedIdle() { r.mu.Lock(); r.closes.Idle++; r.mu.Unlock() }
func (r *Recorder) closedTold() { r.mu.Lock(); r.closes.Told++; r.mu.Unlock() }
func (r *Recorder) skip(n int)  { r.mu.Lock(); r.skipped += n; r.mu.Unlock() }

// A Record is what has been taken down so far.
type Record struct {
	Samples  []sample
	Failures []Failure // of requests
	Breaks   []Failure // of streams; Client is their kind
	Requests int
	Streams  map[string]StreamCount
	Closes   Closes
	Skipped  int // requests that were never sent, because their client was held up too long
}

// record returns a copy of all there is.
func (r *Recorder) record() *Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Record{Samples: slices.Clone(r.samples), Failures: slices.Clone(r.failures), Breaks: slices.Clone(r.breaks), Requests: r.requests,
		Streams: map[string]StreamCount{}, Closes: r.closes, Skipped: r.skipped}
	for kind, s := range r.streams {
		one := *s
		one.Kinds = maps.Clone(s.Kinds)
		c.Streams[kind] = one
	}
	return c
}

// within returns the failures of a span.
func within(s span, list []Failure) []Failure {
	var in []Failure
	for _, f := range list {
		if f.At >= s.from && f.At < s.to {
			in = append(in, f)
		}
	}
	return in
}

// kinds counts failures by kind.
func kinds(list []Failure) map[Kind]int {
	m := map[Kind]int{}
	for _, f := range list {
		m[f.Kind]++
	}
	return m
}

// clients counts failures by the client that had them.
func clients(list []Failure) map[string]int {
	m := map[string]int{}
	for _, f := range list {
		m[f.Client]++
	}
	return m
}

// split returns the durations of the timed samples in milliseconds: those that
// touch a window, and those that touch neither a window nor what is left out.
func (r *Record) split(windows, leftOut []span) (inside, steady []float64) {
	touches := func(list []span, s span) bool { return slices.ContainsFunc(list, s.overlaps) }
	for _, s := range r.Samples {
		switch {
		case !s.timed:
		case touches(windows, s.span):
			inside = append(inside, ms(s.to-s.from))
		case !touches(leftOut, s.span):
			steady = append(steady, ms(s.to-s.from))
		}
	}
	return inside, steady
}

// gap returns the longest time within s in which no request was answered well.
func (r *Record) gap(s span) time.Duration {
	ends := []time.Duration{s.from, s.to}
	for _, a := range r.Samples {
		if a.to > s.from && a.to < s.to {
			ends = append(ends, a.to)
		}
	}
	slices.Sort(ends)
	longest := time.Duration(0)
	for i := 1; i < len(ends); i++ {
		longest = max(longest, ends[i]-ends[i-1])
	}
	return longest
}

// A Latency is a distribution of durations in milliseconds; zero of none.
type Latency struct {
	Requests int     `json:"requests"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
}

func latencyOf(values []float64) Latency {
	return Latency{Requests: len(values), P50: quantile(values, .5), P99: quantile(values, .99),
		P999: quantile(values, .999), Max: quantile(values, 1)}
}

// quantile returns the q-quantile of values, 0 of none. It sorts them.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
