package main

import (
	"context"
	"time"
)

// maxBehind is how far a client may fall behind its schedule before it gives up
// requests: it bounds the burst after the server stood still.
const maxBehind = 2 * time.Second

// A pace is the schedule of one client. It is fixed at the start, so that it
// neither drifts nor slows down with the server.
type pace struct {
	every time.Duration
	due   time.Time
	skip  func(n int) // told how many requests were given up
}

// newPace is the schedule of client i of n, which send rate requests per second
// together.
func newPace(start time.Time, i, n int, rate float64, skip func(int)) *pace {
	every := max(time.Microsecond, time.Duration(float64(n)/rate*float64(time.Second)))
	return &pace{every: every, due: start.Add(every * time.Duration(i) / time.Duration(n)), skip: skip}
}

// next waits until the next request is due and returns when it began. For a
// client that its last request held up, that is when it should have been sent: the
// waiting is the server's fault. For one that woke up late it is now: that was
// this program's own. It returns false once ctx has ended.
func (p *pace) next(ctx context.Context) (begin time.Time, ok bool) {
	if ctx.Err() != nil {
		return time.Time{}, false
	}
	behind := time.Since(p.due)
	if behind > maxBehind {
		n := int(behind / p.every)
		p.skip(n)
		p.due = p.due.Add(time.Duration(n) * p.every)
		behind = time.Since(p.due)
	}
	begin = p.due
	p.due = p.due.Add(p.every)
	if behind >= 0 {
		return begin, true
	}
	if !sleep(ctx, -behind) {
		return time.Time{}, false
	}
	return time.Now(), true
}

// sleep waits and reports whether it could do so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
