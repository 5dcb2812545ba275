package app

import (
	"context"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/store"
)

// Migration is what an update did to the data of one schema.
type Migration struct {
	Name         string        `json:"name"` // the keys NAME:…
	From         int           `json:"from"` // versions; 0 is data without a schema
	To           int           `json:"to"`
	Keys         int           `json:"keys"`
	Took         time.Duration `json:"took_ns"`                // to migrate and test a copy, before the switch
	Irreversible string        `json:"irreversible,omitempty"` // why it cannot be undone; empty when it can
}

// String is a line for people.
func (m Migration) String() string {
	return fmt.Sprintf("%s: %s from %d to %d in %s, %s", m.Name, m.keys(), m.From, m.To, m.Took.Round(10*time.Microsecond), m.how())
}

// plan says what would be done.
func (m Migration) plan() string {
	s := fmt.Sprintf("%s goes from version %d to %d: %s, %s", m.Name, m.From, m.To, m.keys(), m.how())
	if m.Irreversible != "" && m.Keys > 0 {
		s += "; it needs --irreversible"
	}
	return s
}

func (m Migration) keys() string {
	if m.Keys == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", m.Keys)
}

func (m Migration) how() string {
	switch {
	case m.Irreversible != "":
		return "irreversible: " + m.Irreversible
	case m.To < m.From:
		return "taken back"
	}
	return "down tested"
}

func migrationsOf(m *migrate.Migration) []Migration {
	if m == nil {
		return nil
	}
	var out []Migration
	for _, mv := range m.Moves() {
		out = append(out, Migration{Name: mv.Name, From: int(mv.From), To: int(mv.To), Keys: mv.Keys, Took: mv.Took, Irreversible: mv.OneWay})
	}
	return out
}

// prepareData migrates a copy of the data to what the image wants, and tests that. It
// returns nil when the data is so already.
func (a *App) prepareData(ctx context.Context, im *image) (*migrate.Migration, []Problem) {
	d := a.data
	versions := migrate.Versions(d.kv)
	if im.schemas.Fits(versions) {
		return nil, nil
	}
	d.gate.RLock()
	have := d.schemas
	d.gate.RUnlock()
	for name, v := range versions {
		if v <= im.schemas.Want(name) || have.Want(name) == v {
			continue
		}
		maker, err := a.makerSchemas(ctx)
		if err != nil {
			return nil, []Problem{{Kind: "state", Message: fmt.Sprintf("the data of %s is at version %d, and the generation that has brought it there cannot be loaded: %v", name, v, err)}}
		}
		have = maker
		break
	}
	m, err := migrate.Prepare(ctx, d.kv, have, im.schemas)
	if err != nil {
		if ctx.Err() != nil {
			return nil, interrupted(ctx)
		}
		return nil, stateProblem(err, im.schemas, have)
	}
	return m, nil
}

// makerSchemas returns the schemas of the generation that brought the data to its
// versions.
func (a *App) makerSchemas(ctx context.Context) (migrate.Schemas, error) {
	im, _, err := a.kept(ctx, int(migrate.Maker(a.data.kv)))
	if err != nil {
		return nil, err
	}
	im.drop() // a.images has it
	return im.schemas, nil
}

// migrate is the part of an update that prepares the data.
func (up *updater) migrate(ctx context.Context, im *image) (*migrate.Migration, []Problem) {
	a := up.app
	if a.data.shared() != nil && !im.schemas.Fits(migrate.Versions(a.data.kv)) {
		return nil, []Problem{{Kind: "state", Message: "the data would change its version while another process has it too",
			Hint: "apply it again once the process before has ended: `theseus status` shows it"}}
	}
	m, problems := a.prepareData(ctx, im)
	if m == nil {
		return nil, problems
	}
	up.u.Migrations = migrationsOf(m)
	up.timed("migrate")
	if up.irreversible {
		return m, nil
	}
	for _, mv := range up.u.Migrations {
		if mv.Irreversible != "" && mv.Keys > 0 {
			problems = append(problems, Problem{Kind: "irreversible", File: fileOf(mv.Name, im.schemas),
				Message: fmt.Sprintf("%s of %s would go from version %d to %d for good: %s", mv.keys(), mv.Name, mv.From, mv.To, mv.Irreversible),
				Hint:    "to do it all the same: `theseus reload --irreversible`; while nothing runs, `theseus apply --irreversible`"})
		}
	}
	if problems != nil {
		return nil, problems
	}
	return m, nil
}

// blocked returns what keeps the data from going back to what is permanent; nil for
// nothing, or where that cannot be told.
func (a *App) blocked(ctx context.Context) []Problem {
	im, _, err := a.kept(ctx, a.store.Machine().Slot(store.AppSlot).Permanent.Number)
	if err != nil {
		return nil
	}
	defer im.drop()
	_, problems := a.prepareData(ctx, im)
	return problems
}

// mayGoBack waits until no other process has the data, if going back to what is
// permanent would change its versions. It reports whether the app still runs.
func (a *App) mayGoBack() bool {
	alone := a.data.shared()
	if alone == nil {
		return true
	}
	im, _, err := a.kept(a.life, a.store.Machine().Slot(store.AppSlot).Permanent.Number)
	if err != nil {
		return true
	}
	fits := im.schemas.Fits(migrate.Versions(a.data.kv))
	im.drop()
	if fits {
		return true
	}
	select {
	case <-alone:
		return true
	case <-a.life.Done():
		return false
	}
}

// fileOf returns the file of a schema.
func fileOf(name string, all ...migrate.Schemas) string {
	for _, schemas := range all {
		if s, ok := schemas[name].(*stateFile); ok {
			return s.unit.Name()
		}
	}
	return ""
}
