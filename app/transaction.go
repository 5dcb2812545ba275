package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/update"
)

// A staging is the [update.Subject] of an app: it makes one tree, or one kept
// generation, the one that is live.
type staging struct {
	up     *updater
	build  func(context.Context) (*Generation, []Problem)
	fresh  bool // the generation is not in the store yet
	serves bool // it is live already

	live      *verification // of what is live; nil for a kept generation, which does not wait for it
	gen       *Generation
	migration *migrate.Migration // of the data of scripts; nil for none
	saved     bool
	problems  []Problem // why it was refused
}

// errRefused stands for the problems of a staging.
var errRefused = errors.New("refused")

// Prepare implements update.Subject.
func (s *staging) Prepare(ctx context.Context) (update.Version, error) {
	if s.fresh {
		s.live = s.up.app.verify()
	}
	if s.gen, s.problems = s.build(ctx); s.problems != nil {
		return update.Version{}, errRefused
	}
	if ctx.Err() != nil {
		s.problems = interrupted(ctx)
		return update.Version{}, errRefused
	}
	s.up.warnDowngrade(s.gen)
	s.up.app.guards.Store(s.guards())
	return update.Version{Number: s.gen.number, Digest: s.gen.tree.Digest(), Counter: s.gen.manifest.Rollout.Counter}, nil
}

// Settled implements update.Settled.
func (s *staging) Settled() bool { return s.serves }

// Final implements update.Final: data that cannot go back keeps its generation.
func (s *staging) Final() bool { return s.migration != nil && s.migration.OneWay() != "" }

func interrupted(ctx context.Context) []Problem {
	return []Problem{{Kind: "interrupted", Message: "the update was interrupted: " + context.Cause(ctx).Error()}}
}

// Sync implements update.Subject.
func (s *staging) Sync(context.Context) ([]update.File, error) {
	a := s.up.app
	if s.fresh {
		s.up.enter(StateSyncing)
	}
	a.retain(s.gen)
	if !s.fresh {
		return nil, nil
	}
	if err := s.verified(); err != nil {
		return nil, err
	}
	s.up.timed("verify")
	program := a.program.wait()
	s.gen.record.set(func(i *GenerationInfo) { i.Program = program })
	i := s.gen.record.snapshot()
	files, err := a.store.Save(store.Record{
		Number: i.Number, Digest: i.Digest, Created: i.Created, Update: i.Update, Trigger: i.Trigger, Who: i.Who, Message: i.Message,
		Units: i.Units, Carried: i.Carried, Tests: i.Tests, Counter: i.Counter, Program: i.Program,
	}, s.gen.tree)
	s.saved = err == nil
	s.up.timed("store")
	return files, err
}

// Swap implements update.Subject.
func (s *staging) Swap(ctx context.Context) error {
	s.up.timed("commit")
	if s.up.app.live.Load() == s.gen { // it serves already: see settleFor
		return nil
	}
	if err := s.up.swap(ctx, s.gen, s.migration, true); err != nil {
		s.problems = stateProblem(err, s.gen.schemas, s.up.app.data.schemas)
		return errRefused
	}
	return nil
}

// Revert implements update.Subject. When Swap fails nothing was seen.
func (s *staging) Revert(context.Context) error { return nil }

// Discard implements update.Subject.
func (s *staging) Discard() {
	s.live.wait()
	if s.gen != nil && s.up.app.live.Load() != s.gen {
		s.gen.retire()
	}
	if s.saved {
		s.up.app.store.Drop(s.gen.number)
	}
}

// do carries the update through the transaction, and refuses it where it fails.
func (up *updater) do(ctx context.Context, kind update.Kind, force, proven bool, source string, s *staging) (Update, error) {
	a := up.app
	a.carried.Store(up)
	defer a.carried.Store(nil)
	defer a.guards.Store(nil)
	err := a.runner.Do(ctx, update.Change{
		ID: up.u.ID, Kind: kind, Slot: store.AppSlot, Trigger: up.u.Trigger, Who: up.u.Who, Message: up.u.Message, Began: up.u.Started,
		Source: source, Force: force, Proven: proven, Downgrade: up.force,
	}, s)
	if err == nil {
		return Update{}, nil
	}
	if unkept, ok := errors.AsType[*update.KeepError](err); ok && a.live.Load() == s.gen {
		up.unkept = unkept
		up.u.Warnings = append(up.u.Warnings, Problem{Kind: "store", Message: "it serves, and that could not be noted on disk: " + unkept.Err.Error(),
			Hint: "a restart would begin with the generation before; make room in " + a.opt.StateDir + " and apply again"})
		return Update{}, nil
	}
	if held, ok := errors.AsType[*update.HeldError](err); ok {
		return up.refuse([]Problem{{Kind: "held", Message: held.Held.Why, Hint: "change the files, or apply them all the same: `theseus reload`"}})
	}
	step, ok := errors.AsType[*update.ChangeError](err)
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || ok && step.Step == "prepare") { // the tree was not found wanting: it is looked at again
		u, err := up.refuse(interrupted(ctx))
		a.setStaged(u.Digest, "", nil)
		a.setDriftWhy("changed on disk, not applied: " + context.Cause(ctx).Error())
		return u, err
	}
	if errors.Is(err, errRefused) {
		return up.refuse(s.problems)
	}
	if down, ok := errors.AsType[*update.DowngradeError](err); ok {
		return up.refuse([]Problem{s.gen.downgrade(down.Floor, kind)})
	}
	if p, ok := s.heldUp(err); ok {
		return up.refuse([]Problem{p})
	}
	p := Problem{Kind: "update", Message: err.Error()}
	_, onDisk := errors.AsType[*store.Error](err)
	if ok && onDisk {
		p = Problem{Kind: "store", Message: "the new generation could not be stored: " + step.Err.Error(),
			Hint: "free space in or fix the permissions of " + a.opt.StateDir + ", then run `theseus reload`"}
	}
	return up.refuse([]Problem{p})
}

// newRunner makes the runner of the app's changes.
func (a *App) newRunner() *update.Runner {
	return update.NewRunner(update.RunnerOptions{Keeper: a.store, Observe: a.observe, Report: a.report,
		Hooks: a.opt.Hooks, Guards: a.guardsNow, Facts: a.facts, Hooked: a.hooked, Step: a.stepped})
}

// report notes the end of a trial in the history. What becomes live is noted by the
// update itself.
func (a *App) report(r update.Report) {
	if r.Slot == binarySlot {
		a.reportProgram(r)
		return
	}
	if r.Outcome == update.Live || r.Outcome == update.Refused {
		return
	}
	t := Trial{Update: r.Change, Generation: r.Version.Number, Outcome: Outcome(r.Outcome), Why: r.Why, Ended: r.At}
	a.mu.Lock()
	known := a.judged(t)
	if !known { // the update is about to end: its own line will tell
		a.verdict = &t
	}
	a.mu.Unlock()
	if known {
		a.logUpdate(r.Change, loggedTrial{Trial: &t})
	}
	level, message := "", fmt.Sprintf("gen %d %s", r.Version.Number, r.Outcome)
	if r.Why != "" {
		message += ": " + r.Why
	}
	if r.Outcome == update.RolledBack || r.Outcome == update.Interrupted {
		level = "warn"
		a.log.Warn(message, "update", r.Change, "generation", r.Version.Number)
	} else {
		a.log.Info(message, "update", r.Change, "generation", r.Version.Number)
	}
	a.events.Publish(Event{Type: "trial", Level: level, Message: message, Generation: r.Version.Number, Update: r.Change, Data: t})
}

// recover ends what the process before has left unfinished, and completes the
// history by what the journal knows of it.
func (a *App) recover() error {
	found := a.store.Recovered()
	a.restoreReports(found.Reports)
	m := a.store.Machine()
	if m.State() == string(update.Idle) {
		return nil // nothing to end: a start writes nothing
	}
	if c := m.Change; c != nil && c.Kind != update.KindRevert && c.Slot == store.AppSlot {
		happened, err := a.swapHappened(m)
		if err != nil {
			return err
		}
		u := Update{ID: c.ID, Trigger: c.Trigger, Who: c.Who, Message: c.Message, Outcome: OutcomeInterrupted, From: c.From.Number,
			Digest: c.Source, Started: c.Began, Ended: time.Now()}
		if happened {
			u.Outcome, u.Generation = OutcomeLive, c.To.Number
		}
		a.remember(u)
		if happened {
			if err := a.runner.Step(update.Swapped{At: time.Now()}); err != nil {
				return err
			}
		}
	}
	return a.runner.Step(update.Restart{Clean: found.Clean, At: time.Now()})
}

// swapHappened reports whether a change that a crash has cut off had brought the data of
// scripts to its versions: then it has happened, and recovery goes forward. What the
// data cannot go back from must not be taken for what was still to come.
func (a *App) swapHappened(m *update.Machine) (bool, error) {
	if m.Phase != update.Swapping {
		return false, nil
	}
	maker, err := a.dataMaker()
	return maker == m.Change.To.Number, err
}

// held returns the source that is not applied by itself, and why; empty for none.
func (a *App) held() (source, why string) {
	if h := a.store.Machine().Slot(store.AppSlot).HeldBack(); h != nil {
		return h.Source, h.Why
	}
	return "", ""
}

// observe watches the generation on trial until it is proven, or misbehaves.
func (a *App) observe(_ string, t update.Trial) {
	if g := a.live.Load(); g != nil {
		a.loops.Go(func() { a.watchTrial(g, t) })
	}
}

func (a *App) watchTrial(g *Generation, t update.Trial) {
	window := time.NewTimer(time.Duration(g.manifest.Rollout.Trial))
	defer window.Stop()
	tick := time.NewTicker(trialTick)
	defer tick.Stop()
	base := g.record.snapshot()
	for over := false; ; {
		select {
		case <-a.life.Done():
			return // the process ends: nobody is to blame
		case <-window.C:
			over = true
		case <-tick.C:
		}
		if a.live.Load() != g {
			return
		}
		now := g.record.snapshot()
		why := misbehaves(now.Requests-base.Requests, now.Failed-base.Failed, g.manifest.Rollout.MaxErrors)
		if why == nil && !over {
			continue
		}
		if a.conclude(t, why) {
			return
		}
		base = now // what it does from now on counts
		tick.Reset(time.Second)
	}
}

// OnTrial reports whether the live generation has yet to prove itself.
func (a *App) OnTrial() bool { return a.store.Machine().Slot(store.AppSlot).Trial != nil }

// trialTick is between two looks at a generation on trial.
const trialTick = 50 * time.Millisecond

// trialSample is how many answers are needed for a verdict.
const trialSample = 20

// misbehaves says what is wrong with a generation that has answered so many
// requests, of them failed with 5xx.
func misbehaves(requests, failed int64, most float64) error {
	if requests < trialSample || float64(failed) <= most*float64(requests) {
		return nil
	}
	return fmt.Errorf("%d of its first %d answers failed with 5xx, more than the share of %g that rollout.max_errors allows", failed, requests, most)
}

// errMisbehaves is why an update is interrupted when what is live is taken back.
var errMisbehaves = errors.New("the generation on trial misbehaves and is taken back")

// conclude ends a trial, and reports whether there is nothing more to watch. The way
// back does not wait for a change that waits for a guard or a hook.
func (a *App) conclude(t update.Trial, why error) bool {
	if why != nil && !a.mayGoBack() {
		return true
	}
	held := false
	var nudge func()
	if why != nil {
		nudge = func() { held = a.interruptWaiting(errMisbehaves) || held }
	}
	if a.takeTurn(a.life, nudge) != nil {
		return true
	}
	defer func() { <-a.updating }()
	if a.role() != owner {
		return false // the transaction is with another process, or was a moment ago
	}
	if held && a.opt.Watch { // its turn comes now
		a.loops.Go(func() { _, _ = a.Reload(a.life, Change{Trigger: "watch"}) })
	}
	if why != nil {
		if problems := a.blocked(a.life); problems != nil {
			a.settleFor("trial", fmt.Sprintf("it stays, although %v: %s", why, problems[0]))
			return true
		}
	}
	ctx, cancel := context.WithCancelCause(a.life)
	defer cancel(nil)
	a.mu.Lock()
	a.interrupt = cancel // a hook must not hold a rollback
	a.mu.Unlock()
	err := a.runner.Verdict(ctx, store.AppSlot, t.Change, why, func(_ context.Context, to update.Version) error { return a.goBack(a.life, to) })
	if err != nil && !errors.Is(err, update.ErrNotOnTrial) {
		a.log.Error("the end of a trial could not be noted", "update", t.Change, "error", err)
	}
	if why != nil && a.liveNumber() != a.store.Current() {
		a.settleFor("trial", fmt.Sprintf("it stays, although %v: %v", why, err))
	}
	return true
}

// goBack makes the generation that was proven live again. a.updating is held.
func (a *App) goBack(ctx context.Context, to update.Version) error {
	im, rec, err := a.kept(ctx, to.Number)
	if err != nil {
		return err
	}
	defer im.drop()
	up := a.beginAside(Change{Trigger: "trial"}, im.tree.Digest())
	m, problems := a.prepareData(ctx, im)
	if problems != nil {
		_, err := up.refuse(problems)
		return err
	}
	g, err := up.revive(ctx, im, rec, m)
	if err != nil {
		return err
	}
	_, why := a.held()
	a.setDriftWhy("rolled back: " + why)
	up.u.Generation, up.u.Message = g.number, why
	up.end(OutcomeRolledBack)
	return nil
}

// revive makes a kept image live where the machine has it so already, or refuses the
// update.
func (up *updater) revive(ctx context.Context, im *image, rec *record, m *migrate.Migration) (*Generation, error) {
	a := up.app
	g, err := a.newGeneration(im, rec, a.env)
	if err != nil {
		_, err := up.refuse(problemsOf("manifest", err))
		return nil, err
	}
	if err := up.swap(ctx, g, m, false); err != nil {
		g.retire()
		_, err := up.refuse(stateProblem(err, im.schemas, a.data.schemas))
		return nil, err
	}
	return g, nil
}

// settleFor makes the transaction agree with what is live, because that cannot be
// left: the data of scripts cannot go back. a.updating is held.
func (a *App) settleFor(trigger, why string) {
	g := a.live.Load()
	up := a.beginAside(Change{Trigger: trigger, Message: why, Force: true}, g.tree.Digest())
	st := &staging{up: up, serves: true, build: func(context.Context) (*Generation, []Problem) { return g, nil }}
	if _, err := up.do(a.life, update.KindRollback, true, true, "", st); err != nil {
		a.log.Error("what is live is not what a start would load", "generation", g.number, "error", err)
		return
	}
	up.u.Generation = g.number
	up.end(OutcomeLive)
}

// retain says which generations the store keeps from the next commit on.
func (a *App) retain(g *Generation) {
	a.store.Retain(g.manifest.Rollout.Keep, g.number, a.liveNumber(), int(migrate.Maker(a.data.kv)))
}
