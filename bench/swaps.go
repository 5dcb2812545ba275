package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing/fstest"
	"time"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/internal/load"
)

// firstReading is the number of swaps after which memory counts as settled.
const firstReading = 100

// trio is an app whose answer is made of three files that must agree; version
// gives all three the number n, which is also the generation's.
func trio(n int) map[string]string {
	return map[string]string{
		"handlers/v.js":       fmt.Sprintf("import { lib } from './lib/lib.js';\nexport default () => ({ handler: %d, lib, config: config.v.n });\n", n),
		"handlers/lib/lib.js": fmt.Sprintf("export const lib = %d;\n", n),
		"config/v.yaml":       fmt.Sprintf("n: %d\n", n),
	}
}

var trioRest = map[string]string{
	"theseus.yaml":      "app: trio\napi: 1\nlisten: 127.0.0.1:0\nroutes:\n  GET /v: handlers/v.js\n  GET /other: handlers/other.js\n",
	"handlers/other.js": "export default () => 'other';\n",
	"tests/v.yaml": "- name: three files, one version\n  request: GET /v\n  expect: { status: 200, contains: handler }\n" +
		"- name: the other handler\n  request: GET /other\n  expect: { body: other }\n",
}

func memFS(parts ...map[string]string) fstest.MapFS {
	all := fstest.MapFS{}
	for _, files := range parts {
		for name, text := range files {
			all[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		}
	}
	return all
}

// startInstance serves an app the way the program does, on a free port of the
// loopback interface and without the admin listener.
func startInstance(ctx context.Context, dir string, opt app.Options) (*instance.Instance, error) {
	return instance.Start(ctx, dir, instance.Options{App: opt, Listen: "127.0.0.1:0", Admin: "off", Version: "bench"})
}

func closeInstance(in *instance.Instance) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return in.Close(ctx)
}

// soak is one run of many swaps under load.
type soak struct {
	in       *instance.Instance
	dir      string
	version  int
	updates  []float64     // ms per Reload
	swapping time.Duration // without the rests
	drained  atomic.Int64
	freed    atomic.Int64
	watching *app.Subscription
	load     *loader
}

// runSwaps measures the first bar of the issue, then the same with every write of
// the history synced.
func runSwaps(ctx context.Context, c config) ([]Figure, error) {
	if c.profile != "" {
		runtime.MemProfileRate = 8 << 10
	}
	if c.swaps == 0 {
		c.swaps = c.pick(10000, 1000)
	}
	figures, err := soakFigures(ctx, c, c.swaps, true)
	if err != nil {
		return nil, err
	}
	synced, err := soakFigures(ctx, c, c.pick(500, 100), false)
	return append(figures, synced...), err
}

func soakFigures(ctx context.Context, c config, swaps int, noSync bool) (_ []Figure, err error) {
	s, remove, err := newSoak(ctx, c, noSync)
	if err != nil {
		return nil, err
	}
	defer remove()
	defer func() { err = errors.Join(err, closeInstance(s.in)) }()
	defer s.watching.Close()
	if err := s.warm(ctx, min(firstReading, swaps)); err != nil {
		return nil, err
	}
	var first, middle, last reading
	if noSync {
		if first, err = s.rest(ctx, c, "first"); err != nil {
			return nil, err
		}
	}
	if err := s.swap(ctx, (swaps-firstReading)/2); err != nil {
		return nil, err
	}
	if noSync {
		if middle, err = s.rest(ctx, c, "middle"); err != nil {
			return nil, err
		}
	}
	if err := s.swap(ctx, swaps+1-s.version); err != nil {
		return nil, err
	}
	if noSync {
		if last, err = s.rest(ctx, c, "last"); err != nil {
			return nil, err
		}
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	r, err := s.load.end()
	if err != nil {
		return nil, err
	}
	for _, text := range r.FirstErrors {
		fmt.Fprintln(os.Stderr, "  load:", text)
	}
	figures := []Figure{
		fig("swaps", float64(swaps), ""),
		fig("time for all", s.swapping.Seconds(), "s"),
		fig("requests", float64(r.Requests), ""),
		atLeast("requests per second", r.Rate(), "/s", c.rate*.99),
		exactly("failed", float64(r.Failed+r.Unfinished+r.Skipped), 0),
		exactly("mixed", float64(r.Mixed), 0),
		fig("request p50", ms(r.Latency.P50), "ms"),
		fig("request p99", ms(r.Latency.P99), "ms"),
		exactly("retired generations not freed", float64(swaps)-float64(s.freed.Load()), 0),
		fig("update p50, without writing the files", quantile(s.updates, .5), "ms"),
		fig("update p95", quantile(s.updates, .95), "ms"),
		atMost("swap p50", us(s.in.App.SwapTime(.5)), "µs", 5),
		atMost("swap p99", us(s.in.App.SwapTime(.99)), "µs", 5),
	}
	if !noSync {
		for i := range figures {
			figures[i].Name = "fsync: " + figures[i].Name
		}
		return figures, nil
	}
	return append(figures,
		fig("memory after "+strconv.Itoa(firstReading)+" swaps (RSS)", first.rss, "MB"),
		fig("memory half-way (RSS)", middle.rss, "MB"),
		fig("memory after all (RSS)", last.rss, "MB"),
		atMost("growth of RSS", growth(first.rss, last.rss), "%", 5),
		atMost("growth of RSS in the second half", growth(middle.rss, last.rss), "%", 5),
		fig("live Go objects after "+strconv.Itoa(firstReading), first.heap, "MB"),
		fig("live Go objects after all", last.heap, "MB"),
		fig("held by the Go runtime after "+strconv.Itoa(firstReading), first.held, "MB"),
		fig("held by the Go runtime half-way", middle.held, "MB"),
		fig("held by the Go runtime after all", last.held, "MB"),
		fig("threads after "+strconv.Itoa(firstReading), first.threads, ""),
		fig("threads after all", last.threads, ""),
		fig("goroutines after "+strconv.Itoa(firstReading), first.goroutines, ""),
		fig("goroutines after all", last.goroutines, ""),
		atMost("goroutines more", last.goroutines-first.goroutines, "", burstMachines),
		atMost("open files more", last.fds-first.fds, "", 0)), nil
}

// growth returns how much larger b is than a, in percent.
func growth(a, b float64) float64 { return 100 * (b - a) / max(a, 1) }

// newSoak serves the app and puts it under load.
func newSoak(ctx context.Context, c config, noSync bool) (s *soak, remove func(), err error) {
	dir, remove, err := tempApp(memFS(trioRest, trio(1)))
	if err != nil {
		return nil, nil, err
	}
	s = &soak{dir: dir, version: 1}
	if s.in, err = startInstance(ctx, dir, app.Options{NoSync: noSync}); err != nil {
		remove()
		return nil, nil, err
	}
	s.watching = s.in.App.Events().Subscribe(0)
	go s.count(s.watching)
	giveUp := func(err error) error {
		s.watching.Close()
		err = errors.Join(err, closeInstance(s.in))
		remove()
		return err
	}
	if s.load, err = startLoad(ctx, c, s.in.URL); err != nil {
		return nil, nil, giveUp(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for s.in.App.Status().Requests < 100 {
		if time.Now().After(deadline) {
			return nil, nil, giveUp(errors.Join(errors.New("the load does not arrive"), s.load.in.Close()))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s, remove, nil
}

// count counts what becomes of replaced generations until sub ends.
func (s *soak) count(sub *app.Subscription) {
	for e := range sub.C {
		switch {
		case e.Type == "generation" && e.Message == "drained":
			s.drained.Add(1)
		case e.Type == "generation" && e.Message == "freed":
			s.freed.Add(1)
		}
	}
}

// swap edits the three files and applies them, n times.
func (s *soak) swap(ctx context.Context, n int) error {
	begun := time.Now()
	defer func() { s.swapping += time.Since(begun) }()
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.version++
		if err := writeTree(s.dir, trio(s.version)); err != nil {
			return err
		}
		start := time.Now()
		u, err := s.in.App.Reload(ctx, app.Change{Trigger: "api"})
		if err != nil {
			return err
		}
		if u.Outcome != app.OutcomeLive || u.Generation != s.version {
			return fmt.Errorf("version %d gave %s, generation %d", s.version, u.Outcome, u.Generation)
		}
		s.updates = append(s.updates, ms(time.Since(start)))
	}
	return nil
}

// warm swaps n times while, beside the load, many more connections ask as fast as
// they can: the pools of machines, and the allocator that keeps what those give
// back, are then as large as they get, and what grows afterwards is a leak.
func (s *soak) warm(ctx context.Context, n int) error {
	busy, stop := context.WithCancel(ctx)
	defer stop()
	burst := make(chan error, 1)
	go func() {
		x := contestant{addr: strings.TrimPrefix(s.in.URL, "http://"), path: "/v", want: "handler"}
		for busy.Err() == nil {
			if _, err := x.measure(ctx, 200*time.Millisecond); err != nil {
				burst <- err
				return
			}
		}
		burst <- nil
	}()
	err := s.swap(ctx, n)
	stop()
	return errors.Join(err, <-burst)
}

// settle waits until every replaced generation is freed, but not for ever: what is
// missing is then counted.
func (s *soak) settle() error {
	deadline := time.Now().Add(30 * time.Second)
	for s.freed.Load() < int64(s.version-1) && time.Now().Before(deadline) {
		if s.watching.Lagged() {
			return errors.New("the events came faster than they could be counted")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// burstMachines is how many machines, each a goroutine, a burst of requests at the
// moment of the reading may have added. A leak of one per swap would be thousands.
const burstMachines = 4

// restTime is longer than machines that a burst of requests started are kept.
const restTime = 8 * time.Second

// rest stops swapping until all is as it is between swaps, with the load going on,
// and reads what this process holds.
func (s *soak) rest(ctx context.Context, c config, moment string) (reading, error) {
	if err := s.settle(); err != nil {
		return reading{}, err
	}
	r, err := read(ctx, restTime)
	if err != nil {
		return r, err
	}
	return r, c.writeProfiles("swaps." + moment)
}

// A loader is the process that sends the load.
type loader struct {
	cmd *exec.Cmd
	in  io.Closer
	out io.Reader
}

// startLoad sends load to url from a process of its own, whose memory and time
// are then not the server's.
func startLoad(ctx context.Context, c config, url string) (*loader, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, "-load", url, fmt.Sprintf("-rate=%v", c.rate))
	cmd.Stderr = os.Stderr
	l := &loader{cmd: cmd}
	if l.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if l.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return l, cmd.Start()
}

// end ends the load and returns what became of it.
func (l *loader) end() (*load.Report, error) {
	if err := l.in.Close(); err != nil {
		return nil, err
	}
	var r load.Report
	err := json.NewDecoder(l.out).Decode(&r)
	return &r, errors.Join(err, l.cmd.Wait())
}

// sendLoad is the process of a loader.
func sendLoad(ctx context.Context, c config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	profile := load.Profile{Session: func(int) load.Session { return trioSession{} }}
	r, err := load.Run(ctx, load.Options{Base: c.load, Profile: profile, Rate: c.rate, Shoppers: 16})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

type trioSession struct{}

func (trioSession) Next(*rand.Rand) load.Step {
	return load.Step{Method: "GET", Path: "/v", Check: checkTrio}
}

// checkTrio demands that the three files and the generation are of one version.
func checkTrio(r *load.Response) error {
	var v struct{ Handler, Lib, Config int }
	if err := json.Unmarshal(r.Body, &v); err != nil || r.Status != 200 {
		return fmt.Errorf("status %d: %q", r.Status, r.Body)
	}
	if v.Handler != v.Lib || v.Lib != v.Config || v.Config != r.Generation {
		return fmt.Errorf("%w: generation %d answers %s", load.ErrMixed, r.Generation, r.Body)
	}
	return nil
}
