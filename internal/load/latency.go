package load

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations in buckets whose width is at most 1/16 of their
// value, from a microsecond to the largest duration. The zero value is empty.
type histogram struct {
	counts [60 * sub]int64
	total  int64
	max    time.Duration
}

const sub = 16 // buckets per power of two

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

// bucket returns the index of d. Below 16 µs each microsecond has its own.
func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < sub {
		return int(us)
	}
	exp := bits.Len64(us) - 5 // us>>exp is in [16, 32)
	return exp*sub + int(us>>exp)
}

// upper returns the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < sub {
		return time.Duration(i+1)*time.Microsecond - 1
	}
	exp := i/sub - 1
	us := uint64(i%sub+sub+1) << exp
	if us > math.MaxInt64/uint64(time.Microsecond) {
		return math.MaxInt64
	}
	return time.Duration(us)*time.Microsecond - 1
}

// quantile returns a bound that the share q, in (0, 1], of the durations does
// not exceed; 0 when there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(1, int64(q*float64(h.total)+0.999999))
	for i, n := range h.counts {
		if rank -= n; rank <= 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// Latency is the distribution of the time from sending a request to the end of
// its response. Quantiles are exact to 1/16.
type Latency struct {
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

func (h *histogram) latency() Latency {
	return Latency{P50: h.quantile(0.50), P95: h.quantile(0.95), P99: h.quantile(0.99), Max: h.max}
}
