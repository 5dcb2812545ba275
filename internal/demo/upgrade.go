package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/load"
)

// Upgrades is how the program was replaced under load.
type Upgrades struct {
	Requests        int64   `json:"requests"`
	Failed          int64   `json:"failed"`
	Refused         int     `json:"refused"`     // by the check, before anything was started
	RolledBack      int     `json:"rolled_back"` // after they served
	ServingMs       float64 `json:"serving_ms"`  // from the request until the new process accepted
	TookMs          float64 `json:"took_ms"`     // with the probation
	Connections     int     `json:"connections"` // idle ones, open all the time
	Moved           int     `json:"connections_moved"`
	Streams         int     `json:"streams"`
	StreamsReturned int     `json:"streams_returned"` // ended by the old process, and opened again
	StreamAwayMsMax float64 `json:"stream_away_ms_max"`
	LatencyMsP95    float64 `json:"latency_ms_p95"`
	JobTicks        int64   `json:"job_ticks"`
	JobTicksLost    int64   `json:"job_ticks_lost"`
	JobTicksDoubled int64   `json:"job_ticks_doubled"`
	BehindMsMax     float64 `json:"behind_ms_max"` // the longest that a request was sent after its time
}

// ok reports whether nothing was lost.
func (u *Upgrades) ok() bool {
	return u == nil || u.Failed == 0 && u.Moved == u.Connections && ticked(u.JobTicksLost, u.JobTicksDoubled, u.BehindMsMax)
}

// probation is how long the old process stands by.
const probation = 2 * time.Second

// keptOpen is how many idle connections the second part holds.
const keptOpen = 32

// act is the second part of the demo: the app goes on in a `theseus run`, whose
// program is replaced.
type act struct {
	*demo
	own     string // the program of this process
	program string // the file that theseus run was started from
	began   time.Time

	service   *service
	pid       int // of the process that serves
	visitors  *load.Generator
	kept      []*kept
	listeners *listeners
	counts    *Upgrades
}

// upgrades replaces the program under load.
func (d *demo) upgrades(ctx context.Context, root string) error {
	if !upgradable {
		d.say("\n  Processes cannot be replaced on this system; that part is left out.")
		return nil
	}
	a := &act{demo: d, own: d.opt.Program, program: filepath.Join(root, "bin", "theseus"), counts: &Upgrades{}, began: time.Now()}
	d.board.Upgrades = a.counts
	if err := a.begin(ctx); err != nil {
		return err
	}
	err := a.underLoad(ctx)
	if err == nil {
		err = a.perform(ctx, "kill -9 in the middle of an update: the carts get their currency again", a.crash)
	}
	if e := a.service.stop(); e != nil && err == nil {
		d.problem("%v", e)
	}
	if err == nil {
		a.countTicks()
	}
	return err
}

// begin starts theseus run.
func (a *act) begin(ctx context.Context) (err error) {
	if a.own == "" {
		if a.own, err = os.Executable(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(a.program), 0o755); err != nil {
		return err
	}
	digest, err := install(a.program, a.own, "")
	if err != nil {
		return err
	}
	if err := a.serve(ctx); err != nil {
		return err
	}
	a.say("\n  And now the program itself: theseus run, with the files as they are")
	a.say("  pid      %d, release %s", a.pid, digest[:12])
	a.say("  app      %s", a.service.url)
	a.say("  console  %s", a.service.console())
	return nil
}

// serve starts theseus run.
func (a *act) serve(ctx context.Context) error {
	hooks, err := a.hooks()
	if err != nil {
		return err
	}
	adminAddress := orDefault(a.opt.Admin, "127.0.0.1:0")
	if adminAddress == "off" {
		adminAddress = "127.0.0.1:0"
	}
	s, err := startService(ctx, a.program, a.dir, "--listen", orDefault(a.opt.Listen, "127.0.0.1:0"), "--admin", adminAddress,
		"--probation", probation.String(), "--log-format", "json", "--hooks", hooks)
	if err != nil {
		return err
	}
	a.service, a.pid = s, s.cmd.Process.Pid
	return nil
}

// underLoad sends the load and goes through the steps.
func (a *act) underLoad(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a.visitors, err = load.New(load.Options{Base: a.service.url, Profile: window(), Rate: a.opt.Rate, Shoppers: 16, Timeout: patience})
	if err != nil {
		return err
	}
	if a.kept, err = keep(ctx, a.host(), keptOpen); err != nil {
		return err
	}
	defer closeKept(a.kept)
	loaded := make(chan error, 1)
	go func() { loaded <- a.visitors.Run(ctx) }()
	a.listeners = listen(ctx, a.service.url+"/live", streamsOpen)
	defer a.listeners.wait()
	defer stop() // before the wait for those who listen
	err = a.steps(ctx)
	stop()
	if e := <-loaded; e != nil && !errors.Is(e, context.Canceled) && err == nil {
		err = e
	}
	a.count()
	return err
}

// steps performs the upgrades.
func (a *act) steps(ctx context.Context) error {
	if err := a.untilBusy(ctx); err != nil {
		return err
	}
	a.say("  load     16 visitors who only look, %d idle connections and %d open streams; nobody retries\n", len(a.kept), streamsOpen)
	for _, step := range []struct {
		does string
		run  func(context.Context) error
	}{
		{"put another program in its place: theseus upgrade", a.succeed},
		{"a program whose copy was cut off", a.cutOff},
		{"a program that dies once it has begun to serve (kill -9)", a.die},
	} {
		a.rest(ctx)
		if err := a.perform(ctx, step.does, step.run); err != nil {
			return err
		}
	}
	a.rest(ctx)
	return ctx.Err()
}

// untilBusy waits until every stream is open and requests are answered.
func (a *act) untilBusy(ctx context.Context) error {
	return until(ctx, "the load to get under way", func() (bool, error) {
		return a.listeners.now().open == streamsOpen && a.visitors.Snapshot().Requests >= 50, nil
	})
}

// rest lets a person read, or the load run for a moment.
func (a *act) rest(ctx context.Context) {
	wait := 3 * time.Second
	if a.opt.Fast {
		wait = 200 * time.Millisecond
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// succeed replaces the program by one that works.
func (a *act) succeed(ctx context.Context) error {
	before := a.visitors.Snapshot()
	u, digest, err := a.upgradeBusy(ctx)
	if err != nil {
		return err
	}
	if err := a.service.settled(ctx, u.PID); err != nil {
		return err
	}
	select { // nobody but another process can answer from here on
	case <-a.service.first:
	case <-time.After(patience):
		return fmt.Errorf("pid %d has not ended", a.pid)
	}
	if err := until(ctx, "the streams to come back", func() (bool, error) { return a.listeners.now().open == streamsOpen, nil }); err != nil {
		return err
	}
	old := a.pid
	a.pid = u.PID
	a.board.Upgraded++
	a.counts.ServingMs, a.counts.TookMs = float64(u.Serving.Microseconds())/1000, float64(u.Took.Microseconds())/1000
	if a.counts.Moved, err = askKept(a.kept); err != nil {
		a.problem("idle connections: %v", err)
	}
	after, l := a.visitors.Snapshot(), a.listeners.now()
	a.say("    pid %d → pid %d · release %s accepts %d ms after it was asked for, and is the service after %.1f s", old, u.PID, digest[:12], u.Serving.Milliseconds(), u.Took.Seconds())
	text := "   "
	for _, p := range u.Steps {
		text += fmt.Sprintf(" %s %s ·", p.Name, rounded(p.Duration))
	}
	a.say("%s", text[:len(text)-len(" ·")])
	a.say("    %s requests meanwhile, %d failed · %d of %d idle connections moved · %d streams came back, the last after %d ms",
		thousands(after.Requests-before.Requests), after.Failed-before.Failed, a.counts.Moved, len(a.kept), l.returned, l.away.Milliseconds())
	if u.Digest != digest {
		return fmt.Errorf("release %s serves, want %s", u.Digest, digest)
	}
	return nil
}

// upgradeBusy upgrades to a program that works. A machine so busy that heartbeats do
// not come through is no reason to give up: the old process serves on meanwhile.
func (a *act) upgradeBusy(ctx context.Context) (u admin.Upgrade, digest string, err error) {
	for n := range 5 {
		if digest, err = install(a.program, a.own, fmt.Sprintf("\nrelease %d that works\n", n)); err != nil {
			return u, digest, err
		}
		u, err = a.service.upgrade(ctx)
		ue, ok := errors.AsType[*admin.UpgradeError](err)
		if !ok || !ue.RolledBack || a.visitors.Snapshot().Behind < late {
			return u, digest, err
		}
		a.say("    %s; this machine is busy: once more", ue.Reason)
	}
	return u, digest, err
}

// cutOff tries a program that nobody should start.
func (a *act) cutOff(ctx context.Context) error {
	if err := installPart(a.program, a.own, .6); err != nil {
		return err
	}
	_, err := a.service.upgrade(ctx)
	ue, ok := errors.AsType[*admin.UpgradeError](err)
	if !ok || ue.Step != "check" || ue.RolledBack {
		return fmt.Errorf("a program that is cut off: %v, want it refused by the check", err)
	}
	a.counts.Refused++
	a.say("    ✗ refused: %s", strings.TrimPrefix(ue.Reason, "upgrade failed at check: "))
	return a.unharmed(ctx)
}

// die tries a program that ends while it is on probation. It has to be caught
// there: on a machine that is too slow for that it becomes the service, as it should.
func (a *act) die(ctx context.Context) error {
	for n := range 5 {
		if _, err := install(a.program, a.own, fmt.Sprintf("\nrelease %d that will not live long\n", n)); err != nil {
			return err
		}
		u, killed, err := a.upgradeAndKill(ctx)
		if err == nil && !killed {
			a.pid = u.PID
			a.board.Upgraded++
			a.say("    pid %d was not caught on probation", a.pid)
			if err := a.unharmed(ctx); err != nil {
				return err
			}
			continue
		}
		ue, ok := errors.AsType[*admin.UpgradeError](err)
		if !ok || !killed || !ue.RolledBack {
			return fmt.Errorf("a program that dies on probation: %v, want it rolled back", err)
		}
		a.counts.RolledBack++
		a.say("    ✗ rolled back: %s", strings.TrimPrefix(ue.Reason, "rolled back: "))
		if err := a.unharmed(ctx); err != nil {
			return err
		}
		_, err = a.service.upgrade(ctx)
		if ue, ok = errors.AsType[*admin.UpgradeError](err); !ok || !ue.Remembered {
			return fmt.Errorf("the same program once more: %v, want it refused", err)
		}
		a.counts.Refused++
		a.say("    the same once more: refused, as it is remembered")
		return nil
	}
	return errors.New("no process could be caught on probation")
}

// upgradeAndKill asks for an upgrade and kills the new process once it answers.
func (a *act) upgradeAndKill(ctx context.Context) (u admin.Upgrade, killed bool, err error) {
	type outcome struct {
		u   admin.Upgrade
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		u, err := a.service.upgrade(ctx)
		done <- outcome{u, err}
	}()
	killed, killErr := a.killOnProbation(ctx, func() bool { return len(done) > 0 })
	o := <-done
	return o.u, killed, errors.Join(o.err, killErr)
}

// killOnProbation kills the process that has answered from its probation, unless
// more than half of that may be over: then the old one may be gone too.
func (a *act) killOnProbation(ctx context.Context, over func() bool) (killed bool, err error) {
	asked := time.Now() // when the old process was the service for sure
	err = until(ctx, "the probation", func() (bool, error) {
		now := time.Now()
		st, err := a.service.status(ctx)
		switch {
		case err != nil || over():
			return true, err
		case st.PID == a.pid:
			asked = now
			return false, nil
		case st.Process.State != "probation" || time.Since(asked) > probation/2:
			return true, nil
		}
		n, err := a.newcomers(ctx)
		if err != nil || time.Since(asked) > probation/2 {
			return true, err
		}
		killed = true
		a.say("    pid %d serves, on probation · has answered %d who came new · dies", st.PID, n)
		return true, killProcess(st.PID)
	})
	return killed, err
}

// newcomers sends requests on new connections, and returns how many were answered.
func (a *act) newcomers(ctx context.Context) (int, error) {
	list, err := keep(ctx, a.host(), 8)
	closeKept(list)
	return len(list), err
}

// host is where the app listens.
func (a *act) host() string { return strings.TrimPrefix(a.service.url, "http://") }

// unharmed checks that the process that served serves on.
func (a *act) unharmed(ctx context.Context) error {
	if err := a.service.settled(ctx, a.pid); err != nil {
		return err
	}
	n, err := askKept(a.kept)
	a.counts.Moved = min(a.counts.Moved, n)
	if err != nil {
		return fmt.Errorf("idle connections: %w", err)
	}
	r, l := a.visitors.Snapshot(), a.listeners.now()
	a.say("    pid %d serves on · %s requests, %d failed · %d connections and %d streams open", a.pid, thousands(r.Requests), r.Failed, n, l.open)
	return nil
}

// count fills the scoreboard from the load's report.
func (a *act) count() {
	r, l, b := a.visitors.Snapshot(), a.listeners.now(), a.counts
	b.Requests, b.Failed, b.LatencyMsP95 = r.Requests, r.Failed, float64(r.Latency.P95)/1e6
	b.BehindMsMax = float64(r.Behind.Microseconds()) / 1000
	b.Connections, b.Streams = len(a.kept), streamsOpen
	b.StreamsReturned, b.StreamAwayMsMax = l.returned, float64(l.away.Microseconds())/1000
	for _, e := range append(r.FirstErrors, l.errors...) {
		a.problem("%s", e)
	}
}

// countTicks counts the ticks of the job in the log, which all processes write.
func (a *act) countTicks() {
	var list []int64
	err := readRuns(filepath.Join(a.dir, ".theseus", "log", "runs.ndjson"), func(r app.Run) {
		if r.Kind == "job" && r.Name == restock && r.Started.After(a.began) {
			list = append(list, r.Tick)
		}
	})
	if err != nil {
		a.problem("the run log: %v", err)
	}
	a.counts.JobTicks, a.counts.JobTicksLost, a.counts.JobTicksDoubled = tally(list)
}

// readRuns calls each with the runs in a log.
func readRuns(file string, each func(app.Run)) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 2<<20) // a line has a mebibyte at most
	for in.Scan() {
		var r app.Run
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return err
		}
		each(r)
	}
	return in.Err()
}
