package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// updater carries one update from its trigger to its outcome. Who holds
// App.updating owns it.
type updater struct {
	app    *App
	u      Update
	phase  time.Time
	unkept *update.KeepError // it serves, and the disk does not know
	force  bool              // see Change.Force

	irreversible bool // data may be changed for good
	aside        bool // it is about a generation that is kept, not about the disk
}

// beginAside is begin for an update that is about a generation that is kept.
func (a *App) beginAside(c Change, digest string) *updater {
	up := a.begin(c, digest)
	up.aside = true
	return up
}

// begin opens the record of an update.
func (a *App) begin(c Change, digest string) *updater {
	now := time.Now()
	up := &updater{app: a, phase: now, force: c.Force, irreversible: c.Irreversible, u: Update{
		ID: newUpdateID(now), Trigger: c.Trigger, Who: c.Who, Message: c.Message,
		State: StateReceived, Digest: digest, Started: now, From: a.liveNumber(),
	}}
	up.publish()
	return up
}

// newUpdateID is unique and sorts by time.
func newUpdateID(now time.Time) string { return "u" + strconv.FormatInt(now.UnixMicro(), 36) }

// enter moves the update to its next state.
func (up *updater) enter(s State) {
	up.u.State = s
	up.publish()
}

// publish shows the update as it stands.
func (up *updater) publish() {
	u := up.snapshot()
	a := up.app
	a.mu.Lock()
	a.current = &u
	a.mu.Unlock()
}

func (up *updater) snapshot() Update {
	u := up.u
	u.Problems, u.Warnings, u.Phases = slices.Clone(u.Problems), slices.Clone(u.Warnings), slices.Clone(u.Phases)
	u.Migrations = slices.Clone(u.Migrations)
	return u
}

// timed closes the phase that ran until now.
func (up *updater) timed(name string) {
	now := time.Now()
	up.u.Phases = append(up.u.Phases, Phase{Name: name, Duration: now.Sub(up.phase)})
	up.phase = now
}

// end closes the update and tells everyone.
func (up *updater) end(o Outcome) Update {
	a := up.app
	up.u.State, up.u.Outcome, up.u.Ended = StateIdle, o, time.Now()
	if o == OutcomeLive || o == OutcomeRolledBack {
		up.u.State = StateActive
	}
	a.mu.Lock()
	if a.verdict != nil && a.verdict.Update == up.u.ID {
		up.u.Trial, a.verdict = a.verdict, nil
	}
	u := up.snapshot()
	a.current, a.last = nil, &u
	if o != OutcomeNoop {
		a.addUpdate(u)
	}
	a.mu.Unlock()
	up.tell(u)
	return u
}

func (up *updater) tell(u Update) {
	a := up.app
	attrs := []any{slog.String("update", u.ID), slog.String("trigger", u.Trigger), slog.Int("generation", a.liveNumber()), slog.Duration("took", u.Ended.Sub(u.Started))}
	for _, p := range u.Warnings {
		a.log.Warn(p.String(), "update", u.ID, "generation", a.liveNumber(), "hint", p.Hint)
	}
	for _, m := range u.Migrations {
		if u.Outcome != OutcomeRefused {
			a.log.Info(m.String(), "update", u.ID, "generation", u.Generation)
		}
	}
	for _, p := range u.Phases {
		attrs = append(attrs, slog.Duration(p.Name, p.Duration))
	}
	level, message := slog.LevelInfo, ""
	switch u.Outcome {
	case OutcomeLive:
		message = fmt.Sprintf("gen %d live", u.Generation)
	case OutcomeRolledBack:
		message = fmt.Sprintf("gen %d live again, rolled back from gen %d", u.Generation, u.From)
	case OutcomeRefused:
		level, message = slog.LevelError, "update refused"
		if len(u.Problems) > 0 {
			message += ": " + u.Problems[0].String()
			attrs = append(attrs, slog.Int("problems", len(u.Problems)))
			if hint := u.Problems[0].Hint; hint != "" {
				attrs = append(attrs, slog.String("hint", hint))
			}
		}
	case OutcomeNoop:
		message = fmt.Sprintf("nothing to do: gen %d is live already", u.Generation)
	}
	if a.opt.Observer != nil {
		a.opt.Observer.Updated(u)
	}
	if u.Outcome != OutcomeNoop && a.role() != standby {
		a.logUpdate(u.ID, u)
	}
	a.log.Log(context.Background(), level, message, attrs...)
	lv := ""
	if level == slog.LevelError {
		lv = "error"
	}
	a.events.Publish(Event{Type: "update", Level: lv, Message: message, Generation: u.Generation, Update: u.ID, Data: u})
}

// refuse ends the update with its problems; what served serves on.
func (up *updater) refuse(problems []Problem) (Update, error) {
	up.u.Problems = problems
	first := "refused"
	if len(problems) > 0 {
		first = problems[0].String()
	}
	if !up.aside {
		up.app.setStaged(up.u.Digest, first, problems)
	}
	u := up.end(OutcomeRefused)
	return u, &RefusedError{Update: u}
}

// apply makes t the live generation unless a gate refuses it. App.updating is held.
func (a *App) apply(ctx context.Context, c Change, t *tree.Tree) (Update, error) {
	up := a.begin(c, t.Digest())
	if old := a.live.Load(); old != nil && old.tree.Digest() == t.Digest() && c.Trigger != "start" {
		up.u.Generation = old.number
		a.setStaged(t.Digest(), "", nil)
		return up.end(OutcomeNoop), nil
	}
	if c.Trigger != "start" {
		a.noticed(t.Digest(), "changed on disk, being applied")
	}
	st := &staging{up: up, fresh: true}
	st.build = func(ctx context.Context) (*Generation, []Problem) { return up.stage(ctx, t, st) }
	force := c.Trigger != "watch" && c.Trigger != "start" // somebody asked for it
	if u, err := up.do(ctx, update.KindApp, force, false, t.Digest(), st); err != nil {
		return u, err
	}
	a.setStaged(t.Digest(), "", nil)
	up.u.Generation = st.gen.number
	return up.end(OutcomeLive), nil
}

// stage builds t, migrates a copy of the data to what it wants, and runs its tests.
// The generation it returns serves nothing yet.
func (up *updater) stage(ctx context.Context, t *tree.Tree, st *staging) (*Generation, []Problem) {
	a := up.app
	up.enter(StatePreparing)
	a.program.begin()
	number := a.store.Next()
	im, problems := build(ctx, a.builderFor(t, number))
	up.timed("compile")
	if problems != nil {
		return nil, problems
	}
	rec := &record{header: headerOf(number), info: GenerationInfo{
		Number: number, Digest: t.Digest(), Created: time.Now(), Update: up.u.ID, Trigger: up.u.Trigger, Who: up.u.Who, Message: up.u.Message,
		Files: t.Len(), Units: len(im.units), Carried: im.carried, Counter: im.manifest.Rollout.Counter,
	}}
	g, err := a.newGeneration(im, rec, a.env)
	if err != nil {
		return nil, problemsOf("manifest", err)
	}
	up.u.Warnings = im.warnings
	if old := a.live.Load(); old != nil && (old.manifest.Listen != im.manifest.Listen || old.manifest.Admin != im.manifest.Admin) {
		line, column := im.manifest.At("listen")
		up.u.Warnings = append(up.u.Warnings, Problem{Kind: "manifest", File: manifest.File, Line: line, Column: column,
			Message: "listen and admin take effect at the next start", Hint: "all else is live"})
	}
	if st.migration, problems = up.migrate(ctx, im); problems != nil {
		g.retire()
		return nil, problems
	}
	up.u.Tests, problems = g.runTests(ctx)
	rec.set(func(i *GenerationInfo) { i.Tests = up.u.Tests })
	up.timed("test")
	if problems != nil {
		g.retire()
		return nil, problems
	}
	return g, nil
}

// builderFor prepares a build of t that carries units over from what is live.
func (a *App) builderFor(t *tree.Tree, number int) builder {
	b := builder{engines: a.opt.Engines, tree: t, number: number, env: a.opt.Env, load: a.opt.Load}
	if g := a.live.Load(); g != nil {
		b.prev = g.image
		_, b.mapped = g.tree.File(manifest.File)
		return b
	}
	if current := a.store.Current(); current > 0 {
		if r, err := a.store.Record(current); err == nil {
			b.mapped = slices.ContainsFunc(r.Files, func(e store.Entry) bool { return e.Path == manifest.File })
		}
	}
	return b
}

// swap makes g the generation that new requests begin in, and the data of scripts what
// it wants, by a migration that may be nil. From the pointer store on it is live;
// everything after is bookkeeping. Keep says that it is new among those kept. After an
// error nothing has changed.
func (up *updater) swap(ctx context.Context, g *Generation, m *migrate.Migration, keep bool) error {
	a := up.app
	up.enter(StateSwapping)
	var start time.Time
	var old *Generation
	unsynced, err := a.data.switchTo(ctx, g.image, m, g.number, func() {
		if keep {
			a.keep(g)
		}
		g.record.set(func(i *GenerationInfo) { i.State = GenLive })
		start = time.Now()
		old = a.live.Swap(g)
		a.swapNanos.add(time.Since(start))
	})
	if err != nil {
		return err
	}
	if unsynced != nil {
		up.u.Warnings = append(up.u.Warnings, Problem{Kind: "store", Message: "the migrated data serves, and may not survive a loss of power: " + unsynced.Error(),
			Hint: "a start would migrate it again; make room in " + a.opt.StateDir})
	}
	if m != nil {
		up.u.Migrations = migrationsOf(m)
	} else {
		up.phase = start
	}
	up.timed("switch")
	if err := a.sched.Apply(g.jobList()); err != nil { // the manifest has been checked by the same rules
		a.log.Error("the jobs of the new generation are not scheduled", "update", up.u.ID, "generation", g.number, "error", err)
	}
	a.events.Publish(Event{Type: "generation", Message: "live", Generation: g.number, Update: g.update, Data: g.record.snapshot()})
	if old != nil {
		a.streams.followAll()
		old.retire()
	}
	return nil
}

// keep remembers the generation's image for rollback and drops those beyond
// the manifest's rollout.keep.
func (a *App) keep(g *Generation) {
	g.image.hold()
	a.mu.Lock()
	var dropped []*image
	if _, again := a.records[g.number]; !again {
		a.order = append(a.order, g.number)
	} else if im := a.images[g.number]; im != nil {
		dropped = append(dropped, im)
	}
	a.records[g.number] = g.record
	a.images[g.number] = g.image
	live := a.liveNumber()
	for i, over := 0, len(a.order)-g.manifest.Rollout.Keep; over > 0 && i < len(a.order); {
		n := a.order[i]
		if n == g.number || n == live {
			i++
			continue
		}
		over--
		if im := a.images[n]; im != nil {
			dropped = append(dropped, im)
			delete(a.images, n)
		}
		if a.records[n].open.Load() > 0 { // it drains: shown until it has
			i++
			continue
		}
		delete(a.records, n)
		a.order = slices.Delete(a.order, i, i+1)
	}
	a.mu.Unlock()
	for _, im := range dropped {
		im.drop()
	}
}
