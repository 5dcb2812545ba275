package app

import (
	"testing"
	"time"
)

func TestRecent(t *testing.T) {
	t.Parallel()
	var r recent
	var l latencies
	second := func(n int, took time.Duration) {
		for range n {
			l.add(took)
		}
		var sum [latencyBuckets]int64
		l.take(&sum)
		r.push(&sum)
	}
	second(trialSample-1, time.Second)
	if d := r.p99(); d != 0 {
		t.Errorf("a verdict on %d answers: %v", trialSample-1, d)
	}
	second(1, time.Second)
	if d := r.p99(); d < time.Second || d > 1250*time.Millisecond {
		t.Error(d)
	}
	second(10000, time.Millisecond)
	if d := r.p99(); d < time.Millisecond || d > 1250*time.Microsecond {
		t.Error(d)
	}
	for range recentSeconds {
		second(0, 0)
	}
	if d := r.p99(); d != 0 {
		t.Errorf("it does not forget: %v", d)
	}
}

// BenchmarkLatency is what a request pays: nothing beyond the count of the current
// second, which is there without guards.
func BenchmarkLatency(b *testing.B) {
	var l latencies
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.add(3 * time.Millisecond)
		}
	})
}

// BenchmarkRecent is what a second pays, and a look at a guard.
func BenchmarkRecent(b *testing.B) {
	var r recent
	var l latencies
	for b.Loop() {
		l.add(time.Millisecond)
		var sum [latencyBuckets]int64
		l.take(&sum)
		r.push(&sum)
		_ = r.p99()
	}
}
