package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	window    = time.Second     // after each trigger, in which latencies count as those of an upgrade
	period    = 2 * time.Second // from one trigger to the next, at least
	warmUp    = 2 * time.Second
	goneLimit = 2 * time.Second // how long an upgrade, once final, waits for the old process to end
	maxMissed = 3               // upgrades in a row that do not take, after which the rest is left out
)

// A LoadRow is what the comparison under load found of one peer.
type LoadRow struct {
	Peer     string `json:"peer"`
	Mix      Mix    `json:"mix"`
	Upgrades int    `json:"upgrades"`    // asked for
	Taken    int    `json:"taken"`       // those after which a new process served
	Again    int    `json:"asked_again"` // requests to upgrade that had to be made once more

	Requests int                    `json:"requests"`
	Failed   int                    `json:"failed"`
	Kinds    map[Kind]int           `json:"failed_by_kind,omitempty"`
	Clients  map[string]int         `json:"failed_by_client,omitempty"`
	Skipped  int                    `json:"skipped"` // never sent, their client being held up for more than 2 s
	Streams  map[string]StreamCount `json:"streams"`
	Closes   Closes                 `json:"kept_connections_closed"`

	Steady     Latency `json:"steady"`
	Window     Latency `json:"in_windows"`
	LongestGap float64 `json:"longest_gap_ms"`

	Serving    Durations `json:"trigger_to_serving"`
	Bare       Durations `json:"bare_start"`
	Final      Durations `json:"trigger_to_final"` // until the pid file names the new process
	Gone       Durations `json:"trigger_to_old_gone"`
	Unfinished int       `json:"old_not_gone"` // old processes that were still there 2 s after the upgrade was final

	Start   Reading  `json:"at_start"`
	Peak    Reading  `json:"peak"`
	End     Reading  `json:"at_end"`
	LoadAvg string   `json:"load_average,omitempty"` // of the machine over one minute, at start and end
	Notes   []string `json:"notes,omitempty"`
	// Examples are the first failures of each kind.
	Examples []string `json:"examples,omitempty"`
}

// Durations are some measured times in milliseconds.
type Durations struct {
	N      int     `json:"n"`
	Median float64 `json:"median_ms"`
	Max    float64 `json:"max_ms"`
}

func durationsOf(list []time.Duration) Durations {
	values := make([]float64, len(list))
	for i, d := range list {
		values[i] = ms(d)
	}
	return Durations{len(values), quantile(values, .5), quantile(values, 1)}
}

// loadRun is the comparison under load of one peer, under way.
type loadRun struct {
	b    *bench
	row  LoadRow
	svc  *Service
	rec  *Recorder
	good [2]string // the programs that replace each other

	windows, leftOut           []span
	serving, bare, final, gone []time.Duration
}

// load upgrades a peer again and again under the full load.
func (b *bench) load(ctx context.Context, p *Peer, upgrades int) (row *LoadRow, err error) {
	r := &loadRun{b: b, rec: newRecorder(), row: LoadRow{Peer: p.Name, Upgrades: upgrades}}
	if r.good, err = b.goodPrograms(ctx, p); err != nil {
		return nil, err
	}
	if r.svc, _, err = start(ctx, p, r.good[0], b.newDir()); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.svc.stop()) }()
	r.row.Mix = r.mix(p)
	r.row.LoadAvg = loadAverage()
	r.rec = newRecorder()
	traffic := startTraffic(ctx, r.svc.addr, r.row.Mix, p.service, r.rec)
	defer traffic.stop()

	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.upgrades(ctx); err != nil {
		return nil, err
	}
	sleep(ctx, b.warm)
	r.row.End = r.svc.group.read()
	r.row.LoadAvg += " / " + loadAverage()
	end := r.rec.now()
	traffic.stop()
	r.finish(end)
	return &r.row, ctx.Err()
}

// mix leaves out what the server does not speak.
func (r *loadRun) mix(p *Peer) Mix {
	m := p.mix(r.b.mix)
	if m.HTTP2 > 0 {
		if err := speaksHTTP2(r.svc.addr); err != nil {
			r.note("HTTP/2 clients left out: the server does not speak it without TLS (%.120v)", err)
			m.HTTP2 = 0
		}
	}
	if m.GRPC == 0 {
		r.note("gRPC clients left out: this server has none")
	}
	return m
}

func (r *loadRun) note(format string, args ...any) {
	r.row.Notes = append(r.row.Notes, fmt.Sprintf(format, args...))
}

// prepare lets the load warm up and records a time without upgrades.
func (r *loadRun) prepare(ctx context.Context) error {
	sleep(ctx, r.b.warm)
	r.leftOut = append(r.leftOut, span{0, r.rec.now()})
	sleep(ctx, r.b.calm)
	r.row.Start = r.svc.group.read()
	r.row.Peak = r.row.Start
	r.svc.rec = r.rec
	return ctx.Err()
}

// bareStart starts a program alone, beside the load, to compare with an upgrade
// at about the same time. What the clients see meanwhile is left out of both
// latencies.
func (r *loadRun) bareStart(ctx context.Context, program string) error {
	begin, dir := r.rec.now(), r.b.newDir()
	s, took, err := start(ctx, r.svc.peer, program, dir)
	if err != nil {
		return fmt.Errorf("bare start: %w", err)
	}
	r.bare = append(r.bare, took)
	err = errors.Join(s.stop(), os.RemoveAll(dir))
	r.leftOut = append(r.leftOut, span{begin, r.rec.now()})
	return err
}

// upgrades is the series. It ends early when the peer no longer upgrades.
func (r *loadRun) upgrades(ctx context.Context) error {
	missed := 0
	for i := range r.row.Upgrades {
		r.b.progress("%s: upgrade %d of %d", r.row.Peer, i+1, r.row.Upgrades)
		program := r.good[(i+1)%2]
		if err := r.bareStart(ctx, program); err != nil {
			return err
		}
		err := r.upgrade(ctx, program)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			r.row.Taken++
			missed = 0
			continue
		}
		if missed++; missed <= maxMissed {
			r.note("upgrade %d: %v", i+1, err)
		}
		if missed == maxMissed {
			r.note("gave up after upgrade %d of %d", i+1, r.row.Upgrades)
			return nil
		}
	}
	return nil
}

// upgrade is one of the series.
func (r *loadRun) upgrade(ctx context.Context, program string) error {
	u, err := r.svc.upgrade(ctx, program, servingLimit)
	for _, at := range u.asked {
		begin := at.Sub(r.rec.start)
		r.windows = append(r.windows, span{begin, begin + window})
	}
	if err != nil {
		sleep(ctx, period)
		return err
	}
	at := u.at()
	r.row.Again += len(u.asked) - 1
	r.serving = append(r.serving, u.served.Sub(at))
	r.row.Peak = r.row.Peak.top(r.svc.group.read())
	if err := r.svc.awaitNamed(ctx, u.now); err != nil {
		return err
	}
	r.final = append(r.final, time.Since(at))
	if awaitEnd(ctx, u.old, time.Now().Add(goneLimit)) {
		r.gone = append(r.gone, time.Since(at))
	} else {
		r.row.Unfinished++
	}
	sleep(ctx, time.Until(at.Add(period)))
	return nil
}

// finish turns what was recorded into the row.
func (r *loadRun) finish(end time.Duration) {
	record, row := r.rec.record(), &r.row
	row.Requests, row.Failed = record.Requests, len(record.Failures)
	row.Kinds, row.Clients = kinds(record.Failures), clients(record.Failures)
	row.Streams, row.Closes, row.Skipped = record.Streams, record.Closes, record.Skipped
	inside, steady := record.split(r.windows, r.leftOut)
	row.Steady, row.Window = latencyOf(steady), latencyOf(inside)
	row.LongestGap = ms(record.gap(span{r.leftOut[0].to, end}))
	row.Serving, row.Bare = durationsOf(r.serving), durationsOf(r.bare)
	row.Final, row.Gone = durationsOf(r.final), durationsOf(r.gone)
	if row.Skipped > 0 {
		r.note("%d requests were never sent, their clients being held up for more than %v", row.Skipped, maxBehind)
	}
	row.Examples = append(examples(record.Failures), examples(record.Breaks)...)
}

// examples describes the first failure of each kind that each kind of client had.
func examples(list []Failure) []string {
	seen, texts := map[string]bool{}, []string(nil)
	for _, f := range list {
		if key := f.Client + " " + string(f.Kind); !seen[key] {
			seen[key] = true
			texts = append(texts, fmt.Sprintf("after %v: %v", f.At.Round(time.Millisecond), &f))
		}
	}
	return texts
}
