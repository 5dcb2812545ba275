package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// faultTiming is that of a service that gets a bad release.
var faultTiming = timing{ready: 4 * time.Second, probation: 3500 * time.Millisecond, heartbeat: time.Second, idle: 500 * time.Millisecond, drain: 5 * time.Minute}

const (
	// faultsAtOnce is how many cases run at a time.
	faultsAtOnce = 6
	// verdictSlack is what a verdict may take beyond the time-outs that it
	// consists of.
	verdictSlack = 10 * time.Second
	// settleLimit is how long everything may take to be as it was.
	settleLimit = 60 * time.Second
)

// faults lets bad releases come, each at each moment, in the cases that are picked by
// their names.
func (b *bench) faults(ctx context.Context, picked func(name string) bool) ([]FaultRow, error) {
	good, err := b.goodPrograms(ctx, &subjectPeer)
	if err != nil {
		return nil, err
	}
	var cases []*faultCase
	for i, f := range faults {
		for _, moment := range moments {
			row := FaultRow{Kind: f.kind, Mode: f.mode, Means: f.means, Moment: moment}
			if picked(row.name()) {
				cases = append(cases, &faultCase{fault: &faults[i], good: good, row: row})
			}
		}
	}
	errs := make([]error, len(cases))
	var wg sync.WaitGroup
	slots := make(chan struct{}, faultsAtOnce)
	for i, c := range cases {
		if c.bad, err = c.program(ctx, b.builder, good[0]); err != nil {
			errs[i] = err
			c.row.wrong("the program could not be made: %v", err)
			continue
		}
		slots <- struct{}{}
		dir := b.newDir()
		wg.Go(func() {
			defer func() { <-slots }()
			b.progress("faults: case %d of %d, %s", i+1, len(cases), c.row.name())
			if err := c.run(ctx, dir); err != nil {
				c.row.wrong("not carried out: %v", err)
				errs[i] = fmt.Errorf("%s: %w", c.row.name(), err)
			}
		})
	}
	wg.Wait()
	rows := make([]FaultRow, len(cases))
	for i, c := range cases {
		rows[i] = c.row
	}
	return rows, errors.Join(errs...)
}
