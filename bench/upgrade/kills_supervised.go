package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// A flock is a supervisor and its workers. Each worker is in a process group of its
// own, so the members are found by the file that they run.
type flock struct {
	*subject
	sup int
}

// openFlock starts a supervisor in a new folder and waits for the first answer.
func openFlock(ctx context.Context, program, dir string) (_ *flock, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	s := &subject{Service: &Service{peer: &subjectPeer, dir: dir, exe: filepath.Join(dir, "server"), pidFile: filepath.Join(dir, "pid")},
		second: filepath.Join(dir, "sock"), ledger: filepath.Join(dir, "ledger")}
	if s.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	t := killTiming
	s.args = []string{"-supervise", "-addr", s.addr, "-second", s.second, "-pidfile", s.pidFile, "-ledger", s.ledger,
		"-ready", t.ready.String(), "-probation", t.probation.String(), "-heartbeat", t.heartbeat.String(), "-idle", t.idle.String(), "-drain", t.drain.String()}
	f := &flock{subject: s}
	if err := s.replace(program); err != nil {
		return nil, err
	}
	_, err = f.begin(ctx)
	return f, err
}

// begin starts the supervisor and returns how long it took until the first answer.
func (f *flock) begin(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(f.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(f.exe, f.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, log, log
	begin := time.Now()
	if f.group != nil {
		if err := f.group.end(); err != nil {
			return 0, err
		}
	}
	if f.group, err = startGroup(cmd); err != nil {
		return 0, err
	}
	f.sup = f.group.id
	_, at, err := f.await(ctx, startLimit, nil)
	if err == nil {
		err = f.awaitNamed(ctx, f.sup)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("no answer after the start: %w\n%s", err, f.tail()), f.end(ctx))
	}
	return at.Sub(begin), nil
}

// workers lists the processes that run the service's file, but for the supervisor.
func (f *flock) workers() []int {
	return slices.DeleteFunc(runningFrom(f.exe), func(pid int) bool { return pid == f.sup })
}

// end kills whatever is left.
func (f *flock) end(ctx context.Context) error {
	var errs []error
	for deadline := time.Now().Add(settleLimit); ; {
		left := runningFrom(f.exe)
		for _, pid := range left {
			errs = append(errs, kill(pid))
		}
		collect()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not end", left)
		}
		sleep(ctx, pollEvery)
	}
	return errors.Join(append(errs, f.group.end())...)
}

// supervisedRound is a round with a supervisor, on a service of its own: after
// several crashes in succession it waits longer and longer before it starts a worker.
func (l *lane) supervisedRound(ctx context.Context, r *killRound) (err error) {
	f, err := openFlock(ctx, l.good[0], filepath.Join(filepath.Dir(l.dir), fmt.Sprintf("%s-%d", filepath.Base(l.dir), r.n)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end(context.WithoutCancel(ctx)), os.RemoveAll(f.dir)) }()
	load := measure(ctx, f.addr, busy)
	defer load.stop()
	sleep(ctx, 100*time.Millisecond)
	own := &lane{s: f.subject, load: load}
	if r.old = sole(f.workers()); r.old == 0 {
		return fmt.Errorf("workers %v, want one", f.workers())
	}
	if err := f.replaceByVariant(l.good[1], r.n); err != nil {
		return err
	}
	r.must = true // the supervisor has the sockets, or the workers do
	begin := time.Now()
	if err := upgradeSignal(f.sup); err != nil {
		return err
	}
	sleep(ctx, r.moment())
	victim := f.sup
	if r.victim == victimWorker {
		all := f.workers()
		slices.Sort(all)
		if len(all) == 0 {
			r.late = true
			return nil
		}
		victim = all[int(r.rng.Uint32())%len(all)]
	}
	if r.late = !freeze(victim); r.late {
		return nil
	}
	r.hurt = []int{victim}
	r.look(victim, portOf(f.addr))
	r.at = time.Now()
	if err := kill(victim); err != nil {
		return err
	}
	f.peace(ctx, r)
	r.settled = time.Since(r.at)
	sleep(ctx, max(50*time.Millisecond, time.Until(begin.Add(killTiming.probation+200*time.Millisecond))))
	load.stop()
	requests, misses := load.seen()
	r.requests += requests
	own.blame(r, misses)
	r.gaveUp = own.gaveUp(r)
	f.farewell(ctx, r)
	return ctx.Err()
}

// peace waits until one worker is left that answers, which it must in a time.
func (f *flock) peace(ctx context.Context, r *killRound) {
	deadline := time.Now().Add(settleLimit)
	for {
		all := f.workers()
		pid, failure := f.ask(ctx)
		if failure == nil && sole(all) == pid && !slices.Contains(r.hurt, pid) {
			r.newWon = pid != r.old
			if took := time.Since(r.at); r.upfrom.IsZero() && took > readyLimit+killTiming.drain {
				r.fail("at peace %v after the kill", took)
			}
			return
		}
		if time.Now().After(deadline) || !sleep(ctx, 5*time.Millisecond) {
			r.fail("not at peace %v after the kill: process %d answers (%v), workers %v", settleLimit, pid, failure, all)
			return
		}
	}
}

// farewell ends the service as an init would, and after the death of a supervisor
// starts it anew.
func (f *flock) farewell(ctx context.Context, r *killRound) {
	whom := []int{f.sup}
	if r.victim == victimSupervisor {
		whom = f.workers()
	}
	for _, pid := range whom {
		sendSignal(pid, stopSignals[0])
	}
	deadline := time.Now().Add(settleLimit)
	for len(runningFrom(f.exe)) > 0 {
		if time.Now().After(deadline) || !sleep(ctx, pollEvery) {
			r.fail("processes %v are left %v after SIGTERM", runningFrom(f.exe), settleLimit)
			return
		}
	}
	collect()
	if r.victim != victimSupervisor {
		return
	}
	took, err := f.begin(ctx)
	if r.restart = took; err != nil || took > readyLimit {
		r.fail("the restart took %v: %v", took, err)
	}
}

// sole returns the process that is alone in a list; 0 if none is.
func sole(list []int) int {
	if len(list) != 1 {
		return 0
	}
	return list[0]
}
