package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A Report is all that was measured, as -json prints it.
type Report struct {
	Date     string      `json:"date"` // UTC
	Go       string      `json:"go"`
	Platform string      `json:"platform"`
	CPUs     int         `json:"cpus"`
	Quick    bool        `json:"quick"`
	Load     []LoadRow   `json:"load,omitempty"`
	Broken   []BrokenRow `json:"broken,omitempty"`
	Idle     []IdleRow   `json:"idle,omitempty"`
	Soak     []SoakRow   `json:"soak,omitempty"`
	Trials
	Errors []string `json:"errors,omitempty"` // what could not be measured
	Missed []string `json:"missed,omitempty"` // bars that ours does not meet
}

func newReport(quick bool) *Report {
	return &Report{Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Quick: quick}
}

// The bars of our own server.
const (
	maxLatencyRatio = 1.5 // p99.9 in windows over steady
	maxServingRatio = 1.3 // trigger to serving over a bare start
	maxMoveMS       = 50. // until a thousand idle connections have moved
	soakRSS         = 1.1 // memory at the end over that at the beginning
	soakSlack       = 8   // descriptors, and threads, that may be more
)

// judge finds the bars that ours misses. What was not measured misses none.
func (r *Report) judge() {
	r.Missed = nil
	miss := func(ok bool, format string, args ...any) {
		if !ok {
			r.Missed = append(r.Missed, fmt.Sprintf(format, args...))
		}
	}
	r.Trials.judge(miss)
	for _, row := range r.Load {
		if ours(row.Peer) {
			judgeLoad(&row, miss)
		}
	}
	for _, row := range r.Broken {
		if ours(row.Peer) {
			miss(row.Failed == row.Answered, "%s, %s: %d requests failed that the broken code did not answer", row.Peer, row.Mode, row.Failed-row.Answered)
			miss(row.Outcome == oldServes, "%s, %s: %s", row.Peer, row.Mode, row.Outcome)
			miss(row.Next, "%s, %s: the next good upgrade does not work", row.Peer, row.Mode)
		}
	}
	for _, row := range r.Idle {
		if ours(row.Peer) {
			miss(row.Moved == row.Conns, "%s: %d of %d idle connections moved", row.Peer, row.Moved, row.Conns)
			miss(row.Moving <= maxMoveMS, "%s: idle connections took %.0f ms to move, want %.0f", row.Peer, row.Moving, maxMoveMS)
		}
	}
	for _, row := range r.Soak {
		if ours(row.Peer) {
			judgeSoak(&row, miss)
		}
	}
}

func judgeLoad(row *LoadRow, miss func(bool, string, ...any)) {
	miss(row.Taken == row.Upgrades, "%s: %d of %d upgrades took", row.Peer, row.Taken, row.Upgrades)
	miss(row.Failed == 0, "%s: %d requests failed", row.Peer, row.Failed)
	for kind, n := range row.Streams {
		miss(n.Broken == 0, "%s: %d %s streams broke", row.Peer, n.Broken, kind)
	}
	ratio := over(row.Window.P999, row.Steady.P999)
	miss(ratio <= maxLatencyRatio, "%s: p99.9 in windows is %.2f times that of steady state, want %.1f", row.Peer, ratio, maxLatencyRatio)
	ratio = over(row.Serving.Median, row.Bare.Median)
	miss(ratio <= maxServingRatio, "%s: trigger to serving is %.2f times a bare start, want %.1f", row.Peer, ratio, maxServingRatio)
}

func judgeSoak(row *SoakRow, miss func(bool, string, ...any)) {
	first, last := row.first(), row.last()
	miss(row.Taken == row.Upgrades, "%s: soak: %d of %d upgrades took", row.Peer, row.Taken, row.Upgrades)
	miss(row.Failed == 0, "%s: soak: %d requests failed", row.Peer, row.Failed)
	miss(last.RSS <= first.RSS*soakRSS, "%s: soak: RSS grew from %.1f to %.1f MiB", row.Peer, first.RSS, last.RSS)
	miss(last.FDs <= first.FDs+soakSlack, "%s: soak: descriptors grew from %d to %d", row.Peer, first.FDs, last.FDs)
	miss(last.Threads <= first.Threads+soakSlack, "%s: soak: threads grew from %d to %d", row.Peer, first.Threads, last.Threads)
	miss(last.Processes <= first.Processes, "%s: soak: processes grew from %d to %d", row.Peer, first.Processes, last.Processes)
}

func ours(peer string) bool { return strings.HasPrefix(peer, "ours") }

// over is a ratio, 0 when there is nothing to compare with.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
