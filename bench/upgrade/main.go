// Command upgrade compares how servers replace themselves under load: ours, which
// is examples/upgrade, and one on tableflip that is built to the same contract
// (see its package comment). It starts each in turn, applies load whose clients
// never send a request again, exchanges the program's file, sends SIGUSR2, and
// counts what the clients lost.
//
//	go run ./bench/upgrade                      all sections but the soak, 100 upgrades
//	go run ./bench/upgrade -quick               the same with 10 upgrades
//	go run ./bench/upgrade -only load,idle      some sections: load, broken, idle, soak
//	go run ./bench/upgrade -peer ours           one peer
//	go run ./bench/upgrade -json                one JSON object in place of the tables
//	go run ./bench/upgrade -only faults         bad releases, each at three moments
//	go run ./bench/upgrade -only storms         calls, signals and saved files in any number during upgrades
//	go run ./bench/upgrade -only kills          upgrades in which a process is killed at a random moment
//
// The last three end with a line each that says how much went well of what was
// planned: faults 48/48, storms 60/60, kills 900/900 and stops 100/100.
//
// The load is 64 kept connections that POST (every second one looks, before it
// sends, whether the connection was closed: such a close counts as idle, where the
// others fail), 16 clients that open a connection per request, 8 that ask for
// answers of 300 ms, 8 HTTP/2 connections, 32 streams of events and 16 WebSockets.
// A request's latency counts from when it was due if the one before it held its
// client up. "Steady" is all time without an upgrade in the second before.
//
// It needs Linux or another system with SIGUSR2; memory, descriptors, threads and
// processes are read on Linux only. The exit status is 1 when ours misses a bar
// and 2 when something could not be measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	peers, only string
	upgrades    int
	rate        float64
	quick, json bool
	dir         string
	trials      trialConfig
}

var sectionNames = []string{"load", "broken", "idle", "soak", "faults", "storms", "kills"}

func main() {
	var c config
	flag.StringVar(&c.peers, "peer", "ours,tableflip", "comma-separated `names`: ours, tableflip, ours-grpc")
	flag.StringVar(&c.only, "only", "load,broken,idle", "comma-separated `sections`: load, broken, idle, soak, faults, storms, kills")
	flag.IntVar(&c.upgrades, "upgrades", 0, "upgrades under load; 0 means 100, or 10 with -quick; ten times that in a soak")
	flag.Float64Var(&c.rate, "rate", 2000, "requests per second")
	flag.BoolVar(&c.quick, "quick", false, "fewer repetitions")
	flag.BoolVar(&c.json, "json", false, "print one JSON object")
	flag.StringVar(&c.dir, "keep", "", "work in this new `folder` and leave it, logs included; default is one that is deleted")
	c.trials.flags()
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := run(ctx, c, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "upgrade: error:", err)
		status = 2
	}
	os.Exit(status)
}

func run(ctx context.Context, c config, out io.Writer) (status int, err error) {
	list, sections, err := c.selected()
	if err != nil {
		return 2, err
	}
	b := &bench{mix: full(c.rate), warm: 2 * time.Second, calm: 10 * time.Second, log: os.Stderr, trials: c.trials}
	if c.quick {
		b.calm, b.trials.quick = 3*time.Second, true
	}
	end, err := b.open(ctx, c.dir)
	if err != nil {
		return 2, err
	}
	defer func() { err = errors.Join(err, end()) }()

	report := newReport(c.quick)
	for _, section := range sections {
		for _, p := range list {
			ctx, cancel := context.WithTimeout(ctx, limit(section, c.upgrades))
			err := b.measure(ctx, report, section, p, c.upgrades)
			cancel()
			if err != nil {
				report.Errors = append(report.Errors, fmt.Sprintf("%s, %s: %v", p.Name, section, err))
			}
		}
	}
	report.judge()
	if c.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		report.print(out)
	}
	switch {
	case err != nil || len(report.Errors) > 0:
		return 2, err
	case len(report.Missed) > 0:
		return 1, nil
	}
	return 0, nil
}

// selected checks the flags and returns the peers and the sections to run.
func (c *config) selected() (list []*Peer, sections []string, err error) {
	for name := range strings.SplitSeq(c.peers, ",") {
		i := slices.IndexFunc(peers, func(p Peer) bool { return p.Name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("there is no peer %q", name)
		}
		list = append(list, &peers[i])
	}
	for name := range strings.SplitSeq(c.only, ",") {
		if !slices.Contains(sectionNames, name) {
			return nil, nil, fmt.Errorf("there is no section %q", name)
		}
		sections = append(sections, name)
	}
	if c.upgrades < 0 || c.rate <= 0 {
		return nil, nil, errors.New("upgrades and rate must be positive")
	}
	if c.upgrades == 0 {
		c.upgrades = 100
		if c.quick {
			c.upgrades = 10
		}
	}
	return list, sections, nil
}

// limit bounds one section of one peer, building included.
func limit(section string, upgrades int) time.Duration {
	each := servingLimit + goneLimit
	if section == "soak" {
		each = 10 * each
	}
	return 10*time.Minute + time.Duration(upgrades)*each
}

// open prepares the folder to work in; end deletes it unless it was named.
func (b *bench) open(ctx context.Context, dir string) (end func() error, err error) {
	root, err := sourceRoot(ctx)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		err, end = os.Mkdir(dir, 0o755), func() error { return nil }
	} else {
		dir, err = os.MkdirTemp("", "upgrade-bench-")
		end = func() error { return os.RemoveAll(dir) }
	}
	if err != nil {
		return nil, err
	}
	b.dir = dir
	b.builder = &Builder{root: root, out: dir}
	return end, nil
}

// measure runs one section for one peer and adds its rows to the report.
func (b *bench) measure(ctx context.Context, report *Report, section string, p *Peer, upgrades int) error {
	b.progress("%s: %s …", p.Name, section)
	switch section {
	case "faults", "storms", "kills":
		return b.trial(ctx, &report.Trials, section, p)
	case "load":
		row, err := b.load(ctx, p, upgrades)
		report.Load = appendRow(report.Load, row)
		return err
	case "idle":
		row, err := b.idle(ctx, p)
		report.Idle = appendRow(report.Idle, row)
		return err
	case "soak":
		row, err := b.soak(ctx, p, 10*upgrades)
		report.Soak = appendRow(report.Soak, row)
		return err
	}
	var all error
	for _, m := range modes {
		b.progress("%s: a release that %s", p.Name, m.means)
		row, err := b.broken(ctx, p, m.name, m.means)
		report.Broken = appendRow(report.Broken, row)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", m.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return all
}

func appendRow[T any](list []T, row *T) []T {
	if row == nil {
		return list
	}
	return append(list, *row)
}
