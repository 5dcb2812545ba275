package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/topic"
	"github.com/theseus-run/theseus/update"
)

// Apply carries one whole update of the app at path through without serving it:
// what is on disk is built, tested, and made permanent in the history, where the
// next start finds it. When it returns nil that would survive a loss of power.
//
// The error is a [*RefusedError], or that of the history. With an error and an
// Update that is live it cannot be told which of the two versions the disk has:
// [Recover] says it.
func Apply(ctx context.Context, path string, opt Options, c Change) (Update, error) {
	a, err := open(path, opt)
	if err != nil {
		return Update{}, err
	}
	defer a.discard()
	defer func() {
		if g := a.live.Swap(nil); g != nil {
			g.retire()
		}
	}()
	if err := a.openData(); err != nil {
		return Update{}, err
	}
	a.updating <- struct{}{}
	defer func() { <-a.updating }()
	t, err := a.scan()
	if err != nil {
		return a.begin(c, "").refuse(problemsOf("file", err))
	}
	up := a.begin(c, t.Digest())
	if v := a.store.Machine().Slot(store.AppSlot).Permanent; v.Digest == t.Digest() {
		up.u.Generation = v.Number
		return up.end(OutcomeNoop), nil
	}
	st := &staging{up: up, fresh: true}
	st.build = func(ctx context.Context) (*Generation, []Problem) { return up.stage(ctx, t, st) }
	if u, err := up.do(ctx, update.KindApp, true, true, t.Digest(), st); err != nil {
		return u, err
	}
	up.u.Generation = st.gen.number
	u := up.end(OutcomeLive)
	err = a.store.Settled()
	if up.unkept != nil { // closing tries once more; a start, or Recover, finds out
		err = up.unkept
	}
	if err != nil {
		return u, fmt.Errorf("it is not known whether gen %d would survive a loss of power: %w", u.Generation, err)
	}
	return u, nil
}

// A Recovery is what [Recover] found and did.
type Recovery struct {
	Clean     bool            `json:"clean"` // the process before ended by itself
	Torn      int64           `json:"torn_bytes"`
	Live      update.Version  `json:"live"`
	Permanent update.Version  `json:"permanent"`
	Anchor    update.Version  `json:"anchor"`
	Ended     []update.Report `json:"ended"` // changes and trials that ended here
	Problems  []string        `json:"problems"`
}

// Recover makes the history in a state directory whole after a crash: exactly one
// version is live then, and the history says what became of the other. A start does
// the same; this is for who wants to know without one.
func Recover(stateDir string, log *slog.Logger) (Recovery, error) {
	st, err := store.Open(stateDir, store.Options{})
	if err != nil {
		return Recovery{}, err
	}
	defer st.Close()
	found := st.Recovered()
	r := Recovery{Clean: found.Clean, Torn: found.Torn, Ended: []update.Report{}, Problems: []string{}}
	a := &App{log: log, events: &Events{}, store: st, program: newIdentity(nil), topics: topic.New(topic.Options{}), records: map[int]*record{}, images: map[int]*image{}}
	defer a.topics.Close()
	a.loadHistory()
	a.runner = update.NewRunner(update.RunnerOptions{Keeper: st, Report: func(e update.Report) {
		r.Ended = append(r.Ended, e)
		a.report(e)
	}})
	if err := a.recover(); err != nil {
		return r, err
	}
	for _, p := range st.Problems() {
		r.Problems = append(r.Problems, p.Error())
	}
	slot := st.Machine().Slot(store.AppSlot)
	r.Live, r.Permanent, r.Anchor = slot.Live, slot.Permanent, slot.Anchor
	slices.SortFunc(r.Ended, func(a, b update.Report) int { return a.At.Compare(b.At) })
	return r, st.Close()
}
