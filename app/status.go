package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
)

// liveNumber returns the number of the live generation, 0 for none.
func (a *App) liveNumber() int {
	if g := a.live.Load(); g != nil {
		return g.number
	}
	return 0
}

// setStaged notes what the disk holds and what is wrong with it.
func (a *App) setStaged(digest, problem string, problems []Problem) {
	a.mu.Lock()
	a.staged = Staged{Digest: digest, Error: problem, Problems: problems, Seen: time.Now()}
	a.driftWhy = ""
	if problem != "" {
		a.driftWhy = "refused: " + problem
	}
	a.mu.Unlock()
	a.checkDrift()
}

// notice looks at the disk and notes that it has changed, and why that is not applied.
func (a *App) notice(why string) {
	t, err := a.scan()
	if err != nil {
		problems := problemsOf("file", err)
		a.setStaged("", problems[0].String(), problems)
		return
	}
	a.noticed(t.Digest(), why)
}

// noticed notes what the disk holds unless that is known.
func (a *App) noticed(digest, why string) {
	a.mu.Lock()
	if a.staged.Digest == digest {
		a.mu.Unlock()
		return
	}
	a.staged = Staged{Digest: digest, Seen: time.Now()}
	a.driftWhy = why
	a.mu.Unlock()
	a.checkDrift()
}

// setDriftWhy notes why the disk and what is live differ.
func (a *App) setDriftWhy(why string) {
	a.mu.Lock()
	a.driftWhy = why
	a.mu.Unlock()
	a.checkDrift()
}

// drift reports whether the disk differs from what is live, and why. a.mu is held.
func (a *App) drift() (bool, string) {
	g := a.live.Load()
	if g == nil || g.tree.Digest() == a.staged.Digest {
		return false, ""
	}
	return true, cmp.Or(a.driftWhy, "changed on disk, not applied")
}

// checkDrift publishes a change of the drift state.
func (a *App) checkDrift() {
	a.mu.Lock()
	drift, why := a.drift()
	changed := drift != a.drifted
	a.drifted = drift
	a.mu.Unlock()
	if !changed {
		return
	}
	level, message := "", "disk in sync"
	if drift {
		level, message = "warn", "disk ≠ live: "+why
	}
	a.events.Publish(Event{Type: "drift", Level: level, Message: message, Generation: a.liveNumber(), Data: map[string]any{"drift": drift, "reason": why}})
}

// Status returns the truth on one screen.
func (a *App) Status() Status {
	s := Status{Dir: a.path, Version: a.opt.Version, PID: os.Getpid(), Started: a.started, State: StateIdle, Watch: *a.mode.Load()}
	if l := a.listen.Load(); l != nil {
		s.Listen = *l
	}
	if f := a.process.Load(); f != nil {
		p := (*f)()
		s.Process = &p
	}
	if l := a.admin.Load(); l != nil {
		s.Admin = *l
	}
	for _, g := range a.Generations() {
		s.Requests += g.Requests
		s.Failed += g.Failed
		s.Streams += g.Streams
		switch g.State {
		case GenLive:
			s.Live = g
		case GenDraining:
			s.Draining = append(s.Draining, g)
		}
	}
	a.runs.mu.Lock()
	s.Runs = a.runs.active
	a.runs.mu.Unlock()
	if g := a.live.Load(); g != nil {
		s.App, s.Routes, s.Jobs, s.Middleware = g.manifest.App, len(g.manifest.Routes), len(g.manifest.Jobs), len(g.manifest.Use)
		for _, u := range g.units {
			if u.engine == "workflow" {
				s.Workflows++
			}
		}
		for _, f := range g.tests {
			s.Tests += len(f.tests)
		}
		s.Ready = !a.draining.Load()
	}
	slot := a.store.Machine().Slot(store.AppSlot)
	s.Permanent, s.Anchor, s.OnTrial, s.Waiting = slot.Permanent.Number, slot.Anchor.Number, slot.Trial != nil, a.Doing().Waiting
	s.Floor, s.Program = slot.Floor.Counter, a.program.now()
	if s.OnTrial {
		s.State = StateActive
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Staged = a.staged
	s.Drift, s.DriftWhy = a.drift()
	if a.current != nil {
		s.State = a.current.State
	}
	s.LastUpdate = a.last
	return s
}

// LiveNumber returns the number of the live generation, 0 for none.
func (a *App) LiveNumber() int { return a.liveNumber() }

// SetProcess tells Status what to ask about the process. It may be called again.
func (a *App) SetProcess(info func() ProcessInfo) { a.process.Store(&info) }

// SetListen tells Status which addresses the app and its admin API listen on.
func (a *App) SetListen(app []string, admin string) {
	a.listen.Store(&app)
	a.admin.Store(&admin)
}

// Manifest facts that the caller of Open needs to set up listeners.

// ListenAddress returns the manifest's listen address.
func (a *App) ListenAddress() string { return a.live.Load().manifest.Listen }

// AdminAddress returns the manifest's admin address.
func (a *App) AdminAddress() string { return a.live.Load().manifest.Admin }

// DrainTimeout returns how long requests in flight may take when the app stops.
func (a *App) DrainTimeout() time.Duration { return time.Duration(a.live.Load().manifest.Limits.Drain) }

// Generations returns the kept generations, newest first.
func (a *App) Generations() []GenerationInfo {
	a.mu.Lock()
	recs := make([]*record, 0, len(a.order))
	for i := len(a.order) - 1; i >= 0; i-- {
		recs = append(recs, a.records[a.order[i]])
	}
	a.mu.Unlock()
	out := make([]GenerationInfo, len(recs))
	for i, r := range recs {
		out[i] = r.snapshot()
	}
	return out
}

// Generation returns one kept generation with its files and units, or an error
// wrapping [ErrNotFound].
func (a *App) Generation(n int) (GenerationDetail, error) {
	a.mu.Lock()
	rec, im := a.records[n], a.images[n]
	a.mu.Unlock()
	if rec == nil {
		return GenerationDetail{}, notFound(n)
	}
	d := GenerationDetail{GenerationInfo: rec.snapshot()}
	if im != nil {
		for _, f := range im.tree.Files() {
			d.Content = append(d.Content, FileInfo{Path: f.Path, Digest: f.Digest, Size: int64(len(f.Data))})
		}
		d.Parts = im.unitInfos()
		return d, nil
	}
	r, err := a.store.Record(n)
	if err != nil {
		return d, err
	}
	for _, f := range r.Files {
		d.Content = append(d.Content, FileInfo{Path: f.Path, Digest: f.Digest, Size: f.Size})
	}
	return d, nil
}

// Units returns the units of the live generation, sorted by name.
func (a *App) Units() []UnitInfo {
	g, err := a.acquire()
	if err != nil {
		return nil
	}
	defer g.release()
	return g.unitInfos()
}

func (im *image) unitInfos() []UnitInfo {
	used := im.usedBy()
	out := make([]UnitInfo, 0, len(im.units))
	for _, name := range sortedKeys(im.units) {
		u := im.units[name]
		out = append(out, UnitInfo{Name: name, Engine: u.engine, Digest: u.digest, Files: u.Files(), UsedBy: used[name],
			Since: u.since, Executions: u.execs.Load(), Errors: u.errs.Load()})
	}
	return out
}

// usedBy tells for each unit what names it.
func (im *image) usedBy() map[string][]string {
	used := map[string][]string{}
	for _, r := range im.manifest.Routes {
		used[r.Run] = append(used[r.Run], r.Pattern)
		if r.Else != "" {
			used[r.Else] = append(used[r.Else], r.Pattern)
		}
	}
	for _, name := range im.manifest.Use {
		used[name] = append(used[name], "middleware")
	}
	for _, j := range im.manifest.Jobs {
		used[j.Run] = append(used[j.Run], "job "+j.Name)
	}
	for _, name := range sortedKeys(im.units) {
		for _, ref := range im.units[name].Refs() {
			if !slices.Contains(used[ref.Name], name) {
				used[ref.Name] = append(used[ref.Name], name)
			}
		}
	}
	return used
}

// Updates returns the latest updates, newest first, at most limit; 0 means all
// that are in memory.
func (a *App) Updates(limit int) []Update {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Update
	for i := len(a.updates) - 1; i >= 0 && (limit <= 0 || len(out) < limit); i-- {
		out = append(out, a.updates[i])
	}
	return out
}

// treeOf returns the files of a kept generation, or of the disk for 0.
func (a *App) treeOf(n int) (*tree.Tree, error) {
	if n == 0 {
		return a.scan()
	}
	a.mu.Lock()
	rec, im := a.records[n], a.images[n]
	a.mu.Unlock()
	switch {
	case rec == nil:
		return nil, notFound(n)
	case im != nil:
		return im.tree, nil
	}
	_, t, err := a.store.Load(n)
	return t, err
}

// Diff returns what differs between two kept generations; 0 is the disk.
func (a *App) Diff(_ context.Context, from, to int) ([]FileChange, error) {
	old, err := a.treeOf(from)
	if err != nil {
		return nil, err
	}
	now, err := a.treeOf(to)
	if err != nil {
		return nil, err
	}
	return changesBetween(old, now), nil
}

func changesBetween(old, now *tree.Tree) []FileChange {
	var out []FileChange
	for _, c := range tree.Diff(old, now) {
		out = append(out, FileChange{Path: c.Path, Op: string(c.Op), Diff: tree.Unified(c)})
	}
	return out
}

// reloadHistory reads what another process has added to the history, and forgets
// what it has dropped.
func (a *App) reloadHistory() {
	kept := map[int]bool{a.liveNumber(): true}
	for _, r := range a.store.List() {
		kept[r.Number] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.order = slices.DeleteFunc(a.order, func(n int) bool {
		if kept[n] || a.images[n] != nil {
			return false
		}
		delete(a.records, n)
		return true
	})
	a.updates = nil
	a.loadHistory()
}

// loadHistory reads the kept generations of earlier processes. a.mu is held,
// unless nobody else knows a.
func (a *App) loadHistory() {
	for _, r := range a.store.List() {
		if a.records[r.Number] != nil {
			continue
		}
		rec := &record{header: headerOf(r.Number), info: GenerationInfo{
			Number: r.Number, Digest: r.Digest, State: GenFreed, Created: r.Created, Update: r.Update, Trigger: r.Trigger, Who: r.Who, Message: r.Message,
			Files: len(r.Files), Units: r.Units, Carried: r.Carried, Tests: r.Tests, Counter: r.Counter, Program: r.Program,
		}}
		a.records[r.Number] = rec
		a.order = append(a.order, r.Number)
	}
	slices.Sort(a.order)
	err := a.store.Tail("updates", keptUpdates/2, func(line json.RawMessage) error {
		switch u, t := parseLogged(line); {
		case u != nil:
			a.addUpdate(*u)
		case t != nil:
			a.judged(*t)
		}
		return nil
	})
	if err != nil {
		a.log.Warn("the update log cannot be read", "error", err)
	}
}

// scan reads the disk, reusing files that did not change since the last scan.
func (a *App) scan() (*tree.Tree, error) {
	a.mu.Lock()
	prev := a.scanned
	a.mu.Unlock()
	t, err := tree.Scan(a.path, prev, tree.Options{})
	if err != nil {
		return nil, err
	}
	if t.Len() == 0 {
		return nil, &tree.FileError{Path: a.path, Reason: "the app directory is empty", Hint: "`theseus new` makes an app"}
	}
	a.mu.Lock()
	a.scanned = t
	a.mu.Unlock()
	return t, nil
}

func headerOf(n int) []string { return []string{fmt.Sprint(n)} }

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

// hasExport reports whether the unit exports a function of that name.
func hasExport(u *unit, name string) bool { return slices.Contains(u.Exports(), name) }

// Patterns lists the live generation's route patterns.
func (a *App) Patterns() []string {
	g, err := a.acquire()
	if err != nil {
		return nil
	}
	defer g.release()
	out := make([]string, len(g.manifest.Routes))
	for i, r := range g.manifest.Routes {
		out[i] = r.Pattern
	}
	return out
}

// Routes lists the live generation's patterns that answer once, and the paths
// of its event streams that can be opened without parameters.
func (a *App) Routes() (patterns, streams []string) {
	g, err := a.acquire()
	if err != nil {
		return nil, nil
	}
	defer g.release()
	for _, r := range g.manifest.Routes {
		switch {
		case r.Stream == "":
			patterns = append(patterns, r.Pattern)
		case r.Stream == manifest.StreamSSE && !strings.Contains(r.Pattern, "{"):
			_, path, found := strings.Cut(r.Pattern, " ")
			if !found {
				path = r.Pattern
			}
			streams = append(streams, path)
		}
	}
	return patterns, streams
}
