package app

import (
	"context"
	"log/slog"

	"github.com/theseus-run/theseus/internal/store"
)

// A History is what an app's state directory tells, read without its process; one may
// run beside. Make one with [ReadHistory]. Methods are safe for concurrent use.
type History struct {
	app *App
	st  *store.Store
}

// ReadHistory reads the history in a state directory and changes nothing. Path is the
// app's, for [History.Diff] with the disk. The error wraps fs.ErrNotExist when there
// is none. The caller calls Close.
func ReadHistory(path, stateDir string, log *slog.Logger) (*History, error) {
	st, err := store.Open(stateDir, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	a := &App{path: path, log: slog.New(slog.DiscardHandler), events: &Events{}, store: st, program: newIdentity(nil), records: map[int]*record{}, images: map[int]*image{}}
	for _, p := range st.Problems() {
		log.Warn("part of the history cannot be read", "error", p)
	}
	a.loadHistory()
	// What a crash has kept from the log is in the journal. The store that is only
	// read takes no lines, so that this happens in memory.
	a.restoreReports(st.Recovered().Reports)
	slot := st.Machine().Slot(store.AppSlot)
	if rec := a.records[slot.Live.Number]; rec != nil {
		rec.set(func(i *GenerationInfo) { i.State = GenLive })
	}
	return &History{app: a, st: st}, nil
}

// Generations returns the kept generations, newest first. Live is the one that serves
// or, if no process runs, that did so last.
func (h *History) Generations() []GenerationInfo { return h.app.Generations() }

// Generation is [App.Generation].
func (h *History) Generation(n int) (GenerationDetail, error) { return h.app.Generation(n) }

// Updates is [App.Updates].
func (h *History) Updates(limit int) []Update { return h.app.Updates(limit) }

// Diff is [App.Diff].
func (h *History) Diff(ctx context.Context, from, to int) ([]FileChange, error) {
	return h.app.Diff(ctx, from, to)
}

// Close ends reading.
func (h *History) Close() error { return h.st.Close() }
