package app

import (
	"encoding/json"
	"slices"

	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/update"
)

// loggedTrial is a line of the update log about an update that has its own.
type loggedTrial struct {
	Trial *Trial `json:"trial"`
}

// parseLogged reads a line of the update log; both are nil for one of another version.
func parseLogged(line []byte) (*Update, *Trial) {
	var u Update
	if json.Unmarshal(line, &u) == nil && u.ID != "" { // its trial may be in the same line
		return &u, u.Trial
	}
	var l loggedTrial
	if json.Unmarshal(line, &l) == nil && l.Trial != nil && l.Trial.Update != "" {
		return nil, l.Trial
	}
	return nil, nil
}

// logUpdate adds a line to the update log. One that cannot be written is kept by the
// store, and by the journal until it is.
func (a *App) logUpdate(id string, line any) {
	if err := a.store.Append("updates", line); err != nil {
		a.log.Warn("update log not written; it is tried again", "update", id, "error", err)
	}
}

// addUpdate adds an update to those in memory. a.mu is held.
func (a *App) addUpdate(u Update) {
	if len(a.updates) >= keptUpdates {
		a.updates = slices.Delete(a.updates, 0, keptUpdates/10)
	}
	a.updates = append(a.updates, u)
}

// remember adds an update to the history.
func (a *App) remember(u Update) {
	a.mu.Lock()
	a.addUpdate(u)
	a.mu.Unlock()
	a.logUpdate(u.ID, u)
}

// judged notes the end of a trial in the updates that are in memory, and reports
// whether its update is one. a.mu is held.
func (a *App) judged(t Trial) (known bool) {
	for i := range a.updates {
		if a.updates[i].ID == t.Update {
			a.updates[i].Trial = &t
			known = true
		}
	}
	if a.last != nil && a.last.ID == t.Update {
		last := *a.last
		last.Trial = &t
		a.last = &last
	}
	return known
}

// restoreReports completes the history by what the journal knows of it.
func (a *App) restoreReports(reports []update.Report) {
	if len(reports) == 0 {
		return
	}
	logged := map[string]Outcome{} // by update: how its trial ended; empty while it lasts
	err := a.store.Tail("updates", 0, func(line json.RawMessage) error {
		u, t := parseLogged(line)
		if u != nil {
			logged[u.ID] = ""
		}
		if t != nil {
			logged[t.Update] = t.Outcome
		}
		return nil
	})
	if err != nil {
		a.log.Warn("the update log cannot be read", "error", err)
	}
	for _, r := range reports {
		ended, known := logged[r.Change]
		if r.Slot != store.AppSlot || known && (r.Outcome == update.Live || r.Outcome == update.Refused || ended == Outcome(r.Outcome)) {
			continue
		}
		if !known {
			a.restore(r)
			logged[r.Change] = ""
		}
		a.report(r)
	}
}

// restore puts back the line of an update that was lost, from its report and the
// record of the generation.
func (a *App) restore(r update.Report) {
	u := Update{ID: r.Change, Who: r.Who, Outcome: Outcome(r.Outcome), Generation: r.Version.Number, Digest: r.Version.Digest, Started: r.At, Ended: r.At}
	if rec, err := a.store.Record(r.Version.Number); err == nil && rec.Update == r.Change {
		u.Trigger, u.Message, u.Started, u.Tests = rec.Trigger, rec.Message, rec.Created, rec.Tests
	}
	switch r.Outcome {
	case update.Refused:
		u.Generation, u.Problems = 0, []Problem{{Kind: "update", Message: r.Why}}
	case update.Live:
	default:
		u.Outcome = OutcomeLive
	}
	a.remember(u)
}
