package main

import (
	"context"
	"fmt"
	"time"
)

// pollEvery is the pause between two looks at what cannot be waited for.
const pollEvery = time.Millisecond

// A Reading is what all processes of a service hold at one moment. What the
// system does not tell is zero.
type Reading struct {
	RSS       float64 `json:"rss_mib"` // sum of the processes' Rss of smaps_rollup; shared pages count in each
	FDs       int     `json:"fds"`
	Threads   int     `json:"threads"`
	Processes int     `json:"processes"`
}

// top returns the greater of each number.
func (r Reading) top(o Reading) Reading {
	return Reading{max(r.RSS, o.RSS), max(r.FDs, o.FDs), max(r.Threads, o.Threads), max(r.Processes, o.Processes)}
}

// A group is the process group of a service. A successor that the service starts
// is in it too, unless it leaves on purpose.
type group struct {
	id   int
	done chan struct{} // closed by end
	gone chan struct{} // closed when the reaper has ended
}

// end kills every process of the group and waits until none is left.
func (g *group) end() error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		if err := killGroup(g.id); err != nil {
			return err
		}
		left := members(g.id)
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v did not end when they were killed", left)
		}
		time.Sleep(pollEvery)
	}
	close(g.done)
	<-g.gone
	return nil
}

// reap collects the processes of the group that have ended and whose parent is
// this program: the first, and those whose parent has ended before them.
func (g *group) reap() {
	defer close(g.gone)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		reapGroup(g.id)
		select {
		case <-tick.C:
		case <-g.done:
			reapGroup(g.id)
			return
		}
	}
}

// awaitEnd waits until a process has ended and reports whether it did by then.
func awaitEnd(ctx context.Context, pid int, by time.Time) bool {
	for running(pid) {
		if time.Now().After(by) || !sleep(ctx, pollEvery) {
			return false
		}
	}
	return true
}
