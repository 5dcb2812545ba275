package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// theseusPeer is `theseus run`.
var theseusPeer = Peer{Name: "theseus", dir: "cmd/theseus"}

// An instance is `theseus run` with an app that answers a GET with the version of
// its file, and a POST with its body.
type instance struct {
	*Service
	app   string
	admin string // address
	cmd   string // theseus, for the command line
}

const manifest = `app: storm
api: 1
routes:
  GET /{$}: handlers/answer.js
  POST /{$}: handlers/answer.js
  GET /slow: handlers/slow.js
`

const slowHandler = `export default () => { sleep(200); return new Response("slow", { headers: { "x-pid": "1" } }); };
`

// openInstance starts theseus.
func (r *stormRound) openInstance(ctx context.Context) (*instance, error) {
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return nil, err
	}
	i := &instance{Service: &Service{peer: &theseusPeer, dir: r.dir, exe: filepath.Join(r.dir, "server"), pidFile: filepath.Join(r.dir, "pid")},
		app: filepath.Join(r.dir, "app"), cmd: r.cmd[0]}
	if err := os.MkdirAll(filepath.Join(i.app, "handlers"), 0o755); err != nil {
		return nil, err
	}
	var err error
	if i.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	if i.admin, err = freeAddress(); err != nil {
		return nil, err
	}
	return i, errors.Join(os.WriteFile(filepath.Join(i.app, "theseus.yaml"), []byte(manifest), 0o644),
		os.WriteFile(filepath.Join(i.app, "handlers", "slow.js"), []byte(slowHandler), 0o644),
		i.save(0, true), i.replace(r.cmd[0]), i.start(ctx))
}

// start runs the instance and waits for its first answer.
func (i *instance) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(i.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(i.exe, "run", i.app, "--listen", i.addr, "--admin", i.admin, "--pid-file", i.pidFile, "--log-level", "error", "--probation", "1s")
	cmd.Dir, cmd.Stdout, cmd.Stderr = i.dir, log, log
	g, err := startGroup(cmd)
	if err != nil {
		return err
	}
	if i.group != nil {
		if err := i.group.end(); err != nil {
			return errors.Join(err, g.end())
		}
	}
	i.group = g
	if _, _, err := i.await(ctx, startLimit, nil); err != nil {
		return errors.Join(fmt.Errorf("no answer of theseus after the start: %w\n%s", err, i.tail()), i.stop())
	}
	deadline := time.Now().Add(servingLimit)
	for { // the first process writes it too
		pid, err := i.pid()
		if err == nil && slices.Contains(members(i.group.id), pid) {
			return nil
		}
		if time.Now().After(deadline) || !sleep(ctx, pollEvery) {
			return fmt.Errorf("the PID file: %d, %v", pid, err)
		}
	}
}

// save writes a version of the handler; one that is not good does not parse. As an
// editor does, it writes into the file that is there.
func (i *instance) save(version int, good bool) error {
	text := fmt.Sprintf("export default (req) => new Response(req.body || \"version %d\", { headers: { \"x-pid\": \"1\" } });\n", version)
	if !good {
		text = "export default (req) => {\n"
	}
	return os.WriteFile(filepath.Join(i.app, "handlers", "answer.js"), []byte(text), 0o644)
}

// version asks which version is served.
func (i *instance) version(ctx context.Context) string {
	c := newClient(i.addr)
	defer c.close()
	a, f := c.do(ctx, "/", nil)
	if f != nil {
		return f.Error()
	}
	return string(a.body)
}

// upgrade runs `theseus upgrade` and returns its exit status.
func (i *instance) upgrade(ctx context.Context) (status int, output string) {
	cmd := exec.CommandContext(ctx, i.cmd, "upgrade", "-d", i.app)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		status = exit.ExitCode()
	default:
		status = -1
		out = append(out, err.Error()...)
	}
	return status, strings.TrimSpace(string(out))
}

const exitConflict = 5 // of theseus: another upgrade is under way

// reloads saves files while one or two calls of `theseus upgrade` run: one is
// carried out, and in the end the last version that is good is served.
func (r *stormRound) reloads(ctx context.Context) (err error) {
	i, err := r.openInstance(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	load := measure(ctx, i.addr, busy)
	defer load.stop()
	sleep(ctx, 200*time.Millisecond)
	if err := i.replace(r.cmd[1]); err != nil {
		return err
	}
	calls := 1 + r.rng.IntN(2)
	answers := make(chan string, calls)
	for range calls {
		r.Calls++
		go func() {
			status, out := i.upgrade(ctx)
			answers <- fmt.Sprintf("%d %s", status, out)
		}()
	}
	last := 0
	for range 1 + r.rng.IntN(5) {
		sleep(ctx, time.Duration(r.rng.Int64N(int64(400*time.Millisecond))))
		last++
		r.Calls++
		if err := errors.Join(i.save(last, r.rng.IntN(3) > 0), ctx.Err()); err != nil {
			return err
		}
	}
	last++
	if err := i.save(last, true); err != nil {
		return err
	}
	for range calls {
		r.exit(<-answers)
	}
	if r.Upgrades != 1 {
		r.fail("%d upgrades were carried out", r.Upgrades)
	}
	want, deadline := fmt.Sprintf("version %d", last), time.Now().Add(settleLimit)
	for i.version(ctx) != want && time.Now().Before(deadline) {
		sleep(ctx, 10*time.Millisecond)
	}
	r.peace(ctx, i, load, want, nil)
	return ctx.Err()
}

// exit takes down the exit status of a call, with what it wrote.
func (r *stormRound) exit(answer string) {
	switch {
	case strings.HasPrefix(answer, "0 "):
		r.Upgrades++
	case strings.HasPrefix(answer, fmt.Sprintf("%d ", exitConflict)):
		r.Conflicts++
	default:
		r.fail("theseus upgrade: exit status %s", answer)
	}
}

// peace checks that one process serves that version, and what the clients saw.
func (r *stormRound) peace(ctx context.Context, i *instance, load *meter, want string, told map[int]bool) {
	if !r.outlived(ctx, i.Service) {
		r.fail("no process is left")
		return
	}
	for range 10 {
		if got := i.version(ctx); got != want {
			r.fail("%q is served, want %q", got, want)
			break
		}
	}
	if status, out := i.upgradeUntilFree(ctx); status != 0 {
		r.fail("an upgrade afterwards: exit status %d: %s", status, out)
	}
	load.stop()
	var misses []miss
	requests, misses := load.seen()
	r.Requests += requests
	for n := range misses {
		if told != nil {
			r.Theirs++
			continue
		}
		r.Lost++
		r.fail("lost: %s", misses[n].String())
	}
}

func (i *instance) upgradeUntilFree(ctx context.Context) (int, string) {
	for deadline := time.Now().Add(settleLimit); ; {
		status, out := i.upgrade(ctx)
		if status == 0 || time.Now().After(deadline) || !sleep(ctx, 50*time.Millisecond) {
			return status, out
		}
	}
}

// theseusSignals sends a thousand signals in an upgrade: SIGHUP, which reloads, and
// SIGQUIT, which prints stacks, and in some rounds also those that mean the end.
func (r *stormRound) theseusSignals(ctx context.Context) (err error) {
	i, err := r.openInstance(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	load := measure(ctx, i.addr, busy)
	defer func() { load.stop() }()
	sleep(ctx, 200*time.Millisecond)
	if err := i.replace(r.cmd[1]); err != nil {
		return err
	}
	old, _, err := i.trigger()
	if err != nil {
		return err
	}
	r.Calls++
	signals := hangupSignals
	if r.Kind == stormOfAll {
		signals = slices.Concat(stopSignals, hangupSignals)
	}
	told := r.pelt(ctx, i.group.id, old, signals)
	if r.Kind == stormOfHangups {
		told = nil
	}
	if !r.outlived(ctx, i.Service) {
		if told == nil {
			r.fail("the service ended, which nobody asked for")
		}
		r.Ended++
		load.stop()
		r.Requests, _ = load.seen()
		begin := time.Now()
		if err := i.start(ctx); err != nil {
			return err
		}
		if took := time.Since(begin); took > readyLimit {
			r.fail("ready %v after the restart, want %v", took, readyLimit)
		}
		load, told = measure(ctx, i.addr, quiet), nil
	}
	r.peace(ctx, i, load, "version 0", told)
	return ctx.Err()
}
