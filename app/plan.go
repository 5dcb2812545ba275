package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// effects says in sentences what replacing old by next does.
func (a *App) effects(old, next *Generation) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	was, is := routesOf(old), routesOf(next)
	for _, p := range sortedKeys(is) {
		switch before, ok := was[p]; {
		case !ok:
			add("route %s is new", p)
		case before != is[p]:
			add("route %s changes", p)
		}
	}
	for _, p := range sortedKeys(was) {
		if _, ok := is[p]; !ok {
			add("route %s goes away", p)
		}
	}
	if carried, all := next.carried, len(next.units); all > 0 {
		add("%d of %d units carried over, %d compiled", carried, all, all-carried)
	}
	a.jobEffects(old, next, add)
	if !slices.Equal(old.manifest.Use, next.manifest.Use) {
		add("middleware is now %v", next.manifest.Use)
	}
	if old.config.digest != next.config.digest {
		add("configuration changes")
	}
	if old.manifest.Listen != next.manifest.Listen || old.manifest.Admin != next.manifest.Admin {
		add("listen and admin take effect at the next start; all else is hot")
	}
	moved, pinned := 0, 0
	for _, s := range a.streams.all() {
		if s.sameIn(next, old) {
			moved++
		} else {
			pinned++
		}
	}
	if moved+pinned > 0 {
		add("%d streams untouched, %d stay in generation %d until they end", moved, pinned, old.number)
	}
	a.runs.mu.Lock()
	active := a.runs.active
	a.runs.mu.Unlock()
	if active > 0 {
		add("%d runs finish in the generation they began in", active)
	}
	return out
}

// routesOf maps each pattern to what it does, with the digests of its units.
func routesOf(g *Generation) map[string]string {
	out := map[string]string{}
	for _, r := range g.manifest.Routes {
		text := fmt.Sprint(r.Run, "|", r.Stream, "|", r.When, "|", r.Else)
		for _, name := range []string{r.Run, r.Else} {
			if u := g.units[name]; u != nil {
				text += "|" + u.digest
			}
		}
		out[r.Pattern] = text
	}
	return out
}

func (a *App) jobEffects(old, next *Generation, add func(string, ...any)) {
	infos := map[string]JobInfo{}
	for _, j := range a.Jobs() {
		infos[j.Name] = j
	}
	before := map[string]string{}
	for _, j := range old.jobList() {
		before[j.Name] = fmt.Sprint(j.Spec)
	}
	for _, j := range next.jobList() {
		switch spec, ok := before[j.Name]; {
		case !ok:
			add("job %s is new", j.Name)
		case spec != fmt.Sprint(j.Spec):
			add("job %s gets a new schedule", j.Name)
		default:
			if i, ok := infos[j.Name]; ok {
				layout := "15:04:05"
				if time.Until(i.Next) > 12*time.Hour {
					layout = "Mon Jan 2 15:04"
				}
				add("job %s keeps phase (next %s)", j.Name, i.Next.Format(layout))
			}
		}
		delete(before, j.Name)
	}
	for _, name := range sortedKeys(before) {
		add("job %s goes away", name)
	}
}

// Plan tells what applying the disk would do, without doing it. The app's
// tests run, as they would.
func (a *App) Plan(ctx context.Context) (Plan, error) {
	g, err := a.acquire()
	if err != nil {
		return Plan{}, err
	}
	defer g.release()
	t, err := a.scan()
	if err != nil {
		return Plan{Base: g.number, Problems: problemsOf("file", err)}, nil
	}
	a.noticed(t.Digest(), "changed on disk, not applied")
	return a.planFor(ctx, g, t), nil
}

func (a *App) planFor(ctx context.Context, g *Generation, t *tree.Tree) Plan {
	p := Plan{Base: g.number, Digest: t.Digest(), Changes: changesBetween(g.tree, t)}
	im, problems := build(ctx, builder{engines: a.opt.Engines, tree: t, prev: g.image, number: g.number + 1, env: a.opt.Env, load: a.opt.Load})
	if problems != nil {
		p.Problems = problems
		return p
	}
	staged, err := a.newGeneration(im, &record{header: headerOf(0)}, a.env)
	if err != nil {
		p.Problems = problemsOf("manifest", err)
		return p
	}
	defer staged.retire()
	p.Warnings = im.warnings
	m, problems := a.prepareData(ctx, im)
	if p.Problems = problems; problems == nil {
		p.Tests, p.Problems = staged.runTests(ctx)
	}
	p.Effects = a.effects(g, staged)
	for _, m := range migrationsOf(m) {
		p.Effects = append(p.Effects, "the data of "+m.plan())
	}
	if floor, below := a.below(staged); below {
		p.Problems = append(p.Problems, staged.downgrade(floor, update.KindApp))
	}
	return p
}

// Check builds the app at path and runs its tests without serving or storing
// anything. It returns the number of tests that passed and what is wrong.
func Check(ctx context.Context, path string, opt Options) (tests int, warnings, problems []Problem) {
	dir, err := os.MkdirTemp("", "theseus-check-")
	if err != nil {
		return 0, nil, problemsOf("file", err)
	}
	defer os.RemoveAll(dir)
	opt.StateDir, opt.Watch, opt.NoSync = dir, false, true
	a, err := Open(ctx, path, opt)
	if err != nil {
		if re, ok := errors.AsType[*RefusedError](err); ok {
			return re.Update.Tests, nil, re.Update.Problems
		}
		return 0, nil, problemsOf("", err)
	}
	u := a.Status().LastUpdate
	if err := a.Close(ctx); err != nil {
		return u.Tests, u.Warnings, problemsOf("", err)
	}
	return u.Tests, u.Warnings, nil
}
