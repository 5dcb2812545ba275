package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A SoakRow is a long series of upgrades under light load.
type SoakRow struct {
	Peer     string       `json:"peer"`
	Upgrades int          `json:"upgrades"`
	Taken    int          `json:"taken"`
	Again    int          `json:"asked_again"` // requests to upgrade that had to be made once more
	Requests int          `json:"requests"`
	Failed   int          `json:"failed"`
	Kinds    map[Kind]int `json:"failed_by_kind,omitempty"`
	Seconds  float64      `json:"seconds"`
	Serving  Durations    `json:"trigger_to_serving"`
	Readings []Reading    `json:"readings"` // each when the old process had ended, at equal distances
	Notes    []string     `json:"notes,omitempty"`
}

// readings is how many a soak takes.
const readings = 20

// first is the reading after a twentieth of the upgrades, and last the one at the
// end.
func (r *SoakRow) first() Reading { return r.at(0) }
func (r *SoakRow) last() Reading  { return r.at(len(r.Readings) - 1) }

func (r *SoakRow) at(i int) Reading {
	if i < 0 || i >= len(r.Readings) {
		return Reading{}
	}
	return r.Readings[i]
}

// patience are the flags with which a server lets its old process stand by for a
// short time only: a thousand upgrades are to take minutes.
func (p *Peer) patience() []string {
	if !p.short {
		return nil
	}
	return []string{"-probation", "100ms"}
}

// soak upgrades many times without a pause, under light load.
func (b *bench) soak(ctx context.Context, p *Peer, upgrades int) (row *SoakRow, err error) {
	good, err := b.goodPrograms(ctx, p)
	if err != nil {
		return nil, err
	}
	svc, _, err := start(ctx, p, good[0], b.newDir(), p.patience()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	mix := p.mix(light())
	if mix.HTTP2 > 0 && speaksHTTP2(svc.addr) != nil {
		mix.HTTP2 = 0
	}
	rec := newRecorder()
	traffic := startTraffic(ctx, svc.addr, mix, p.service, rec)
	defer traffic.stop()
	svc.rec = rec

	row = &SoakRow{Peer: p.Name, Upgrades: upgrades}
	begin := time.Now()
	if err := row.run(ctx, b, svc, good); err != nil {
		return nil, err
	}
	row.Seconds = time.Since(begin).Seconds()
	traffic.stop()
	record := rec.record()
	row.Requests, row.Failed, row.Kinds = record.Requests, len(record.Failures), kinds(record.Failures)
	return row, ctx.Err()
}

func (row *SoakRow) run(ctx context.Context, b *bench, svc *Service, good [2]string) error {
	var serving []time.Duration
	defer func() { row.Serving = durationsOf(serving) }()
	missed, every := 0, max(1, row.Upgrades/readings)
	for i := range row.Upgrades {
		took, err := row.once(ctx, svc, good[(i+1)%2])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if missed++; missed <= maxMissed {
				row.Notes = append(row.Notes, fmt.Sprintf("upgrade %d: %.200v", i+1, err))
			}
			if missed == maxMissed {
				row.Notes = append(row.Notes, fmt.Sprintf("gave up after upgrade %d of %d", i+1, row.Upgrades))
				return nil
			}
			continue
		}
		missed, row.Taken = 0, row.Taken+1
		serving = append(serving, took)
		if (i+1)%every == 0 {
			row.Readings = append(row.Readings, svc.group.read())
			b.progress("%s: soak, upgrade %d of %d", row.Peer, i+1, row.Upgrades)
		}
	}
	return nil
}

// once upgrades and waits for the old process to end.
func (row *SoakRow) once(ctx context.Context, svc *Service, program string) (time.Duration, error) {
	u, err := svc.upgrade(ctx, program, servingLimit)
	if err == nil {
		row.Again += len(u.asked) - 1
		err = svc.awaitNamed(ctx, u.now)
	}
	if err != nil {
		return 0, err
	}
	if !awaitEnd(ctx, u.old, time.Now().Add(goneLimit+servingLimit)) {
		return 0, fmt.Errorf("process %d has not ended %v after the upgrade was final", u.old, goneLimit+servingLimit)
	}
	return u.served.Sub(u.at()), nil
}
