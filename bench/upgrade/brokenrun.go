package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// watched is how long after the trigger of a broken release the clients are
// watched.
const watched = 4 * time.Second

// How a service can come out of a broken release.
const (
	oldServes    = "old serves"
	brokenServes = "broken serves" // with good answers
	brokenFails  = "broken answers 5xx"
	down         = "down"
)

// A BrokenRow is what one broken release did to one peer.
type BrokenRow struct {
	Peer    string `json:"peer"`
	Mode    string `json:"mode"`
	Means   string `json:"means"`
	Outcome string `json:"outcome"` // after 4 s

	Requests int          `json:"requests"` // of the 4 s after the trigger
	Failed   int          `json:"failed"`
	Answered int          `json:"answered_by_broken"` // of Failed: the broken process answered them itself
	Cut      int          `json:"cut_by_broken"`      // of Failed: no answer on a connection that the broken process had served
	Kinds    map[Kind]int `json:"failed_by_kind,omitempty"`
	Gap      float64      `json:"longest_gap_ms"`

	Streams    int            `json:"streams_broken"`
	StreamsCut int            `json:"streams_cut_by_broken"` // of Streams: the broken process had them
	Broke      map[string]int `json:"streams_broken_by_kind,omitempty"`

	Next    bool    `json:"next_upgrade_works"`
	NextIn  float64 `json:"next_upgrade_ms,omitempty"`
	NextErr string  `json:"next_upgrade_error,omitempty"`
	PeakRSS float64 `json:"peak_rss_mib"`
}

// broken lets a service under load upgrade to a release that is broken in one
// way, and then to one that works.
func (b *bench) broken(ctx context.Context, p *Peer, mode, means string) (row *BrokenRow, err error) {
	good, err := b.goodPrograms(ctx, p)
	if err != nil {
		return nil, err
	}
	bad, err := b.builder.build(ctx, p, "v9", mode)
	if err != nil {
		return nil, err
	}
	svc, _, err := start(ctx, p, good[0], b.newDir())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	mix := p.mix(b.mix)
	if mix.HTTP2 > 0 && speaksHTTP2(svc.addr) != nil {
		mix.HTTP2 = 0
	}
	rec := newRecorder()
	traffic := startTraffic(ctx, svc.addr, mix, p.service, rec)
	defer traffic.stop()
	sleep(ctx, b.warm)

	row = &BrokenRow{Peer: p.Name, Mode: mode, Means: means}
	if err := svc.replace(bad); err != nil {
		return nil, err
	}
	before := rec.record()
	old, at, err := svc.trigger()
	if err != nil {
		return nil, err
	}
	row.PeakRSS = watch(ctx, svc.group, at.Add(watched))
	row.judge(before, rec.record(), span{at.Sub(rec.start), rec.now()}, old)
	var who int
	row.Outcome, who = outcome(ctx, svc, old)
	row.next(ctx, svc, good[1], slices.DeleteFunc([]int{old, who}, func(pid int) bool { return pid == 0 }))
	return row, ctx.Err()
}

// watch waits until then and returns the most memory that the service had, in MiB.
func watch(ctx context.Context, g *group, until time.Time) float64 {
	peak := 0.0
	for time.Now().Before(until) && ctx.Err() == nil {
		peak = max(peak, g.read().RSS)
		sleep(ctx, min(50*time.Millisecond, time.Until(until)))
	}
	return peak
}

// judge says what the clients saw in s, and how much of it the new process
// answered for itself.
func (row *BrokenRow) judge(before, after *Record, s span, old int) {
	list, streams := within(s, after.Failures), within(s, after.Breaks)
	row.Requests, row.Failed = after.Requests-before.Requests, len(list)
	row.Kinds, row.Gap = kinds(list), ms(after.gap(s))
	for _, f := range list {
		switch {
		case f.PID != 0 && f.PID != old:
			row.Answered++
		case f.PID == 0 && f.LastID != 0 && f.LastID != old:
			row.Cut++
		}
	}
	row.Streams, row.Broke = len(streams), clients(streams)
	for _, f := range streams {
		if f.LastID != 0 && f.LastID != old {
			row.StreamsCut++
		}
	}
}

// outcome asks some times and says who serves.
func outcome(ctx context.Context, svc *Service, old int) (string, int) {
	verdict, who := down, 0
	for range 5 {
		pid, f := svc.ask(ctx)
		switch {
		case f != nil && f.Kind == Status5xx:
			return brokenFails, pid
		case f == nil && pid != old:
			return brokenServes, pid
		case f == nil:
			verdict, who = oldServes, pid
		}
	}
	return verdict, who
}

// nextLimit is how long the next upgrade may take in all. A server may be busy
// with the broken release until its own limit for that.
const nextLimit = 45 * time.Second

// next upgrades to a release that works.
func (row *BrokenRow) next(ctx context.Context, svc *Service, program string, not []int) {
	begin := time.Now()
	u, err := svc.upgrade(ctx, program, nextLimit, not...)
	if err != nil {
		row.NextErr = fmt.Sprintf("%.200v", err)
		return
	}
	row.Next, row.NextIn = true, ms(u.served.Sub(begin))
}
