// Package demo drives an app with load, changes it, and counts what was lost.
//
// [Run] is `theseus demo`: it copies the shop, serves it, sends it traffic that
// never retries, and performs a script of edits on its files the way a person
// would. Then it runs the shop by `theseus run` in a process of its own, and replaces
// that one's program: by one that works, and by broken ones. At last it kills that
// process in the middle of an update, and starts it again. It returns a [Scoreboard]. It is the acceptance test of the program too.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/internal/load"
)

// Options configure [Run]. The zero value narrates nothing.
type Options struct {
	Version string
	Out     io.Writer // the narration; nil for none
	Fast    bool      // leave out the pauses that let a person read
	Rate    float64   // requests per second; zero means 200
	Listen  string    // address of the app; zero means a free port of loopback
	Admin   string    // address of the admin API; zero means a free port
	Program string    // that understands "run"; zero means the one that runs
	Temp    string    // directory for its files; zero means the system's
}

// Scoreboard is how the demo ended.
type Scoreboard struct {
	Changes          int     `json:"changes"`
	Live             int     `json:"live"`
	Refused          int     `json:"refused"`
	Aborted          int     `json:"aborted"` // canaries; none yet
	RolledBack       int     `json:"rolled_back"`
	Upgraded         int     `json:"upgraded"` // programs that took the service over
	Requests         int64   `json:"requests"`
	Failed           int64   `json:"failed"`
	Mixed            int64   `json:"mixed"`
	CanaryErrors     int64   `json:"canary_errors"`
	StreamsOpen      int64   `json:"streams_open"`
	StreamsBroken    int64   `json:"streams_broken"`
	StreamEvents     int64   `json:"stream_events"`
	JobTicks         int64   `json:"job_ticks"`
	JobTicksLost     int64   `json:"job_ticks_lost"`
	JobTicksDoubled  int64   `json:"job_ticks_doubled"`
	SwapNsP50        int64   `json:"swap_ns_p50"`
	SaveToLiveMsP95  float64 `json:"save_to_live_ms_p95"`
	LatencyMsP95     float64 `json:"latency_ms_p95"`
	GenerationsFreed int     `json:"generations_freed"`
	BehindMsMax      float64 `json:"behind_ms_max"` // the longest that a request was sent after its time
	DurationS        float64 `json:"duration_s"`

	// Upgrades is about the program; nil where it cannot be replaced, and the
	// counts above are about the app alone.
	Upgrades *Upgrades `json:"upgrades,omitempty"`

	// Crash is about a kill -9; nil where processes cannot be replaced.
	Crash *Crash `json:"crash,omitempty"`

	// Errors are what went otherwise than it should.
	Errors []string `json:"errors,omitempty"`
}

// OK reports whether nothing was lost and every step ended as it should. A job
// misses ticks when the process does not get to run for longer than its interval:
// they count unless the load, which runs beside it, was itself late by half of that.
func (s *Scoreboard) OK() bool {
	return s.Failed == 0 && s.Mixed == 0 && s.StreamsBroken == 0 && ticked(s.JobTicksLost, s.JobTicksDoubled, s.BehindMsMax) && s.Upgrades.ok() && s.Crash.ok() && len(s.Errors) == 0
}

// late is how late the load is on a machine that is too busy to judge times by: half
// the interval of the shop's job.
const late = 500 * time.Millisecond

// ticked reports whether a job that is due each second did what can be asked of it.
func ticked(lost, doubled int64, behindMs float64) bool {
	return doubled == 0 && (lost == 0 || behindMs >= late.Seconds()*1e3)
}

// streamsOpen is how many event streams the demo holds open.
const streamsOpen = 25

// demo is one run.
type demo struct {
	opt   Options
	dir   string
	in    *instance.Instance
	gen   *load.Generator
	watch *watcher
	board Scoreboard
	saves []time.Duration // save → live
	steps int             // taken
	start time.Time
}

// Run performs the demo in a temporary copy of the shop. The error says that it
// could not run; what it found is in the Scoreboard.
func Run(ctx context.Context, opt Options) (*Scoreboard, error) {
	if opt.Out == nil {
		opt.Out = io.Discard
	}
	root, err := os.MkdirTemp(opt.Temp, "theseus-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	d := &demo{opt: opt, dir: filepath.Join(root, "shop"), start: time.Now()}
	if err := os.CopyFS(d.dir, examples.Shop()); err != nil {
		return nil, err
	}
	if err := d.apply([]replace{{"theseus.yaml", "limits: { time: 5s,", "limits: { time: 1m,"}}); err != nil { // an order is to last as long as an edit
		return nil, err
	}
	events := &app.Events{}
	log := slog.New(slog.DiscardHandler)
	d.in, err = instance.Start(ctx, d.dir, instance.Options{
		Listen: orDefault(opt.Listen, "127.0.0.1:0"), Admin: orDefault(opt.Admin, "127.0.0.1:0"),
		Version: opt.Version, Events: events, App: app.Options{Log: log, Watch: true},
	})
	if err != nil {
		return nil, err
	}
	d.watch = newWatcher(events)
	err = d.run(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	d.watch.close()
	if err = errors.Join(err, d.in.Close(closing)); err == nil {
		err = d.upgrades(ctx, root)
	}
	d.board.DurationS = time.Since(d.start).Seconds()
	if err == nil {
		d.summary()
	}
	return &d.board, err
}

// run sends the load and goes through the steps.
func (d *demo) run(ctx context.Context) error {
	s := d.in.App.Status()
	d.say("\n  theseus %s · %s · gen %d live in %d ms", d.opt.Version, s.App, s.Live.Number, time.Since(d.start).Milliseconds())
	d.say("  app      %s", d.in.URL)
	d.say("  console  %s", d.in.ConsoleURL())
	d.say("  files    %s", d.dir)
	var err error
	profile := load.ShopProfile()
	profile.Silence = patience
	d.gen, err = load.New(load.Options{Base: d.in.URL, Profile: profile, Rate: d.opt.Rate, Shoppers: 16, Streams: streamsOpen, Timeout: patience})
	if err != nil {
		return err
	}
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	loaded := make(chan error, 1)
	go func() { loaded <- d.gen.Run(loadCtx) }()
	if err := d.untilBusy(ctx); err != nil {
		return err
	}
	d.say("  load     16 shoppers and %d open streams that never retry\n", streamsOpen)
	for _, step := range script {
		d.pause(ctx)
		d.board.Changes++
		if err := d.perform(ctx, step.does, func(ctx context.Context) error { return step.run(ctx, d) }); err != nil {
			return err
		}
	}
	d.pause(ctx)
	// Streams are counted while the load still holds them.
	d.board.StreamsOpen = d.gen.Snapshot().StreamsOpen
	stop()
	if err := <-loaded; err != nil && !errors.Is(err, context.Canceled) {
		d.problem("load: %v", err)
	}
	d.count(ctx)
	return ctx.Err()
}

// perform takes the next step. What goes wrong in it is noted; the error is that of a
// demo that is to end.
func (d *demo) perform(ctx context.Context, does string, run func(context.Context) error) error {
	d.steps++
	d.say("%2d. %s", d.steps, does)
	if err := run(ctx); err != nil && ctx.Err() == nil {
		d.problem("step %d (%s): %v", d.steps, does, err)
	}
	return ctx.Err()
}

// untilBusy waits until every stream is open and requests are answered.
func (d *demo) untilBusy(ctx context.Context) error {
	err := until(ctx, "the load to get under way", func() (bool, error) {
		r := d.gen.Snapshot()
		return r.StreamsOpen >= streamsOpen && r.Requests >= 50, nil
	})
	if r := d.gen.Snapshot(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %d of %d streams, %d requests: %v", err, r.StreamsOpen, streamsOpen, r.Requests, r.FirstErrors)
	}
	return err
}

// count fills the scoreboard from the load's report and the app.
func (d *demo) count(ctx context.Context) {
	r, b := d.gen.Snapshot(), &d.board
	b.Requests, b.Failed, b.Mixed = r.Requests, r.Failed, r.Mixed
	b.StreamsBroken, b.StreamEvents = r.StreamsBroken+r.StreamsRefused+r.StreamLost+r.StreamDoubled, r.StreamEvents
	b.LatencyMsP95, b.BehindMsMax = float64(r.Latency.P95)/1e6, float64(r.Behind.Microseconds())/1000
	for _, e := range r.FirstErrors {
		d.problem("%s", e)
	}
	var err error
	if b.JobTicks, b.JobTicksLost, b.JobTicksDoubled, err = ticks(d.in.App); err != nil {
		d.problem("the run log: %v", err)
	}
	b.SwapNsP50 = d.in.App.SwapTime(.5).Nanoseconds()
	b.SaveToLiveMsP95 = quantileMs(d.saves, .95)
	b.GenerationsFreed = d.untilFreed(ctx)
}

// untilFreed waits until every generation that was replaced is proven freed,
// and returns how many are.
func (d *demo) untilFreed(ctx context.Context) (freed int) {
	err := until(ctx, "the generations that were replaced to be freed", func() (bool, error) {
		open := 0
		freed = 0
		for _, g := range d.in.App.Generations() {
			switch g.State {
			case app.GenFreed:
				freed++
			case app.GenDraining, app.GenRetired:
				open++
			}
		}
		return open == 0, nil
	})
	if err != nil {
		d.problem("%v", err)
	}
	return freed
}

// pause lets a person read, or the load run for a moment.
func (d *demo) pause(ctx context.Context) {
	wait := 3 * time.Second
	if d.opt.Fast {
		wait = 300 * time.Millisecond
	}
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-tick.C:
			d.status()
		}
	}
}

// status prints one line of what is going on.
func (d *demo) status() {
	s, r := d.in.App.Status(), d.gen.Snapshot()
	disk := "disk in sync"
	if s.Drift {
		disk = "disk ≠ live"
	}
	d.say("    gen %d ● live  %.0f rps  p95 %.1f ms  %d streams  %d failed of %s  %s",
		s.Live.Number, r.Rate(), float64(r.Latency.P95)/1e6, r.StreamsOpen, r.Failed, thousands(r.Requests), disk)
}

// say prints a line of the narration.
func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.opt.Out, format+"\n", args...) }

// problem notes something that should not have happened.
func (d *demo) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.board.Errors = append(d.board.Errors, text)
	d.say("    ✗ %s", text)
}

// summary prints the scoreboard.
func (d *demo) summary() {
	b := &d.board
	d.say("\n  %d changes: %d live · %d refused · %d rolled back — %s requests · %d failed · %d mixed",
		b.Changes, b.Live, b.Refused, b.RolledBack, thousands(b.Requests), b.Failed, b.Mixed)
	d.say("  %d streams open, %d broken · %d job ticks, %d lost, %d doubled", b.StreamsOpen, b.StreamsBroken, b.JobTicks, b.JobTicksLost, b.JobTicksDoubled)
	d.say("  swap p50 %d ns · save → live p95 %.0f ms · requests p95 %.1f ms · %d old generations freed",
		b.SwapNsP50, b.SaveToLiveMsP95, b.LatencyMsP95, b.GenerationsFreed)
	if u := b.Upgrades; u != nil {
		d.say("  %d upgrades: %d took over in %.0f ms · %d refused · %d rolled back — %s requests · %d failed · p95 %.1f ms",
			b.Upgraded+u.Refused+u.RolledBack, b.Upgraded, u.ServingMs, u.Refused, u.RolledBack, thousands(u.Requests), u.Failed, u.LatencyMsP95)
		d.say("  %d of %d idle connections moved · %d streams came back within %.0f ms · %d job ticks, %d lost, %d doubled",
			u.Moved, u.Connections, u.StreamsReturned, u.StreamAwayMsMax, u.JobTicks, u.JobTicksLost, u.JobTicksDoubled)
	}
	if c := b.Crash; c != nil {
		d.say("  killed before the %s of an update: gen %d back within %.0f ms, carts kept; the same again became gen %d", c.Step, c.Generation, c.AwayMs, c.AppliedNow)
	}
	if behind := max(b.BehindMsMax, b.behindUpgrades()); behind >= late.Seconds()*1e3 {
		d.say("  this machine is busy: the load itself was up to %.0f ms late, and ticks that a job lost are not held against it", behind)
	}
	d.say("  %.1f s\n", b.DurationS)
}

// behindUpgrades is BehindMsMax of the second part.
func (s *Scoreboard) behindUpgrades() float64 {
	if s.Upgrades == nil {
		return 0
	}
	return s.Upgrades.BehindMsMax
}

// thousands prints n with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}
