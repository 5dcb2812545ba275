package app

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencyBuckets is four buckets per power of two of microseconds, up to 2³² µs.
const latencyBuckets = 33 * 4

// latencies is a histogram of durations. Quantiles are exact to 25 %. The zero
// value is ready; add is safe for concurrent use.
type latencies struct {
	counts [latencyBuckets]atomic.Int64
	failed atomic.Int64
}

// add counts one duration.
func (l *latencies) add(d time.Duration) {
	us := uint64(max(d.Microseconds(), 0))
	l.counts[bucketOf(us)].Add(1)
}

func bucketOf(us uint64) int {
	if us < 4 {
		return int(us)
	}
	exp := bits.Len64(us) - 1 // 2^exp ≤ us
	return min(exp*4+int(us>>(exp-2))&3, latencyBuckets-1)
}

// upper returns the largest number of microseconds that falls in bucket b.
func upper(b int) float64 {
	if b < 4 {
		return float64(b)
	}
	exp, part := b/4, b%4
	return float64((uint64(1)<<exp)+uint64(part+1)<<(exp-2)) - 1
}

// take returns the counts since the last take, adds them to sum, and starts again
// from zero.
func (l *latencies) take(sum *[latencyBuckets]int64) (s GenStats) {
	var counts [latencyBuckets]int64
	for i := range l.counts {
		counts[i] = l.counts[i].Swap(0)
		sum[i] += counts[i]
		s.Requests += counts[i]
	}
	s.Failed = l.failed.Swap(0)
	s.P50, s.P95, s.P99 = quantile(&counts, s.Requests, .5), quantile(&counts, s.Requests, .95), quantile(&counts, s.Requests, .99)
	return s
}

// quantile returns the q-quantile in milliseconds, 0 for no data.
func quantile(counts *[latencyBuckets]int64, total int64, q float64) float64 {
	rank := int64(q*float64(total) + .5)
	var seen int64
	for i, n := range counts {
		if seen += n; seen >= rank && n > 0 {
			return upper(i) / 1000
		}
	}
	return 0
}
