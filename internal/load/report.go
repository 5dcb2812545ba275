package load

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Report is what became of the load.
type Report struct {
	Elapsed  time.Duration `json:"elapsed_ns"`
	Requests int64         `json:"requests"` // sent, with those that failed
	Failed   int64         `json:"failed"`   // sum of the seven below

	Refused   int64 `json:"refused"`
	Reset     int64 `json:"reset"`
	EOF       int64 `json:"eof"`
	Timeout   int64 `json:"timeout"`
	Status5xx int64 `json:"status_5xx"`
	Wrong     int64 `json:"wrong"`
	Mixed     int64 `json:"mixed"`

	Status4xx  int64         `json:"status_4xx"` // that the profile expects, such as 409 for out of stock
	Unfinished int64         `json:"unfinished"` // cut off when the load ended; not in Requests
	Skipped    int64         `json:"skipped"`    // never sent, because the server was too far behind
	Behind     time.Duration `json:"behind_ns"`  // the longest a request was sent after its time

	// ByGeneration counts responses by the header Theseus-Generation; 0 is
	// without one, -1 what came from generations long gone.
	ByGeneration map[int]int64 `json:"by_generation"`
	Latency      Latency       `json:"latency"`

	StreamsOpen    int64 `json:"streams_open"`    // now; after the end: when it ended
	StreamsBroken  int64 `json:"streams_broken"`  // ended by the server, or silent for too long
	StreamsRefused int64 `json:"streams_refused"` // attempts to open one that failed
	StreamEvents   int64 `json:"stream_events"`
	StreamLost     int64 `json:"stream_lost"`    // gaps in the numbers of messages, by their size
	StreamDoubled  int64 `json:"stream_doubled"` // numbers that came again
	Reconnects     int64 `json:"reconnects"`

	FirstErrors []string `json:"first_errors,omitempty"` // at most 10
}

// Clean reports whether nothing at all was lost.
func (r *Report) Clean() bool {
	return r.Failed == 0 && r.StreamsBroken == 0 && r.StreamsRefused == 0 && r.StreamLost == 0 && r.StreamDoubled == 0
}

// Rate returns the requests per second over the whole time.
func (r *Report) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

// A Result is what became of one request.
type Result struct {
	Method, Path string
	Response     *Response // nil when none came
	Latency      time.Duration
	Class        Class // "" when it went well
	Err          error // nil when it went well
}

const (
	maxErrors      = 10
	maxGenerations = 4096 // in ByGeneration
	maxMarked      = 256  // generations whose marks are remembered
)

// tally counts. The zero value is ready.
type tally struct {
	mu     sync.Mutex
	begun  time.Time
	ended  time.Time // zero while the load runs
	r      Report
	hist   histogram
	marked map[int]map[string]string // generation → mark → value
}

func (t *tally) begin(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = at
}

func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = time.Now()
}

// change counts under the lock.
func (t *tally) change(f func(*Report)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.r)
}

func (t *tally) unfinished() { t.change(func(r *Report) { r.Unfinished++ }) }

func (t *tally) late(by time.Duration) { t.change(func(r *Report) { r.Behind = max(r.Behind, by) }) }

func (t *tally) skipped(by time.Duration) {
	t.change(func(r *Report) { r.Skipped++; r.Behind = max(r.Behind, by) })
}

// request counts one request.
func (t *tally) request(res *Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.Requests++
	if res.Response != nil {
		t.hist.add(res.Latency)
		t.countGeneration(res.Response.Generation)
	}
	if res.Class == "" {
		if res.Response.Status >= 400 {
			t.r.Status4xx++
		}
		return
	}
	t.r.Failed++
	*t.r.count(res.Class)++
	t.sample(fmt.Sprintf("%s %s: %s: %v", res.Method, res.Path, res.Class, res.Err))
}

// count returns the counter of a class.
func (r *Report) count(c Class) *int64 {
	switch c {
	case Refused:
		return &r.Refused
	case Reset:
		return &r.Reset
	case EOF:
		return &r.EOF
	case Timeout:
		return &r.Timeout
	case Status5xx:
		return &r.Status5xx
	case Mixed:
		return &r.Mixed
	}
	return &r.Wrong
}

// sample keeps the first errors. The lock is held.
func (t *tally) sample(text string) {
	if len(t.r.FirstErrors) < maxErrors {
		at := time.Since(t.begun).Round(time.Millisecond)
		t.r.FirstErrors = append(t.r.FirstErrors, fmt.Sprintf("after %v: %s", at, text))
	}
}

// countGeneration counts a response; the lock is held.
func (t *tally) countGeneration(n int) {
	if t.r.ByGeneration == nil {
		t.r.ByGeneration = map[int]int64{}
	}
	t.r.ByGeneration[n]++
	if len(t.r.ByGeneration) <= maxGenerations {
		return
	}
	oldest := n
	for g := range t.r.ByGeneration {
		if g > 0 {
			oldest = min(oldest, g)
		}
	}
	t.r.ByGeneration[-1] += t.r.ByGeneration[oldest]
	delete(t.r.ByGeneration, oldest)
}

// agree checks the marks of a response against those that its generation has
// shown before.
func (t *tally) agree(resp *Response) error {
	if resp.Generation == 0 || len(resp.marks) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.marked[resp.Generation]
	if seen == nil {
		if t.marked == nil {
			t.marked = map[int]map[string]string{}
		}
		if len(t.marked) >= maxMarked {
			delete(t.marked, slices.Min(slices.Collect(maps.Keys(t.marked))))
		}
		seen = map[string]string{}
		t.marked[resp.Generation] = seen
	}
	for _, m := range resp.marks {
		before, ok := seen[m.name]
		switch {
		case !ok:
			seen[m.name] = m.value
		case before != m.value:
			return fmt.Errorf("%w: generation %d answers %s = %s, and before %s", ErrMixed, resp.Generation, m.name, m.value, before)
		}
	}
	return nil
}

// report returns a copy of the counts.
func (t *tally) report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.r
	r.ByGeneration = maps.Clone(t.r.ByGeneration)
	r.FirstErrors = slices.Clone(t.r.FirstErrors)
	r.Latency = t.hist.latency()
	switch {
	case t.begun.IsZero():
	case t.ended.IsZero():
		r.Elapsed = time.Since(t.begun)
	default:
		r.Elapsed = t.ended.Sub(t.begun)
	}
	return r
}
