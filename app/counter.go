package app

import (
	"fmt"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/update"
)

// downgrade says why the generation is refused by its rollback counter.
func (g *Generation) downgrade(floor update.Floor, kind update.Kind) Problem {
	p := Problem{Kind: "counter", Message: belowText(g.manifest.Rollout.Counter, floor)}
	if kind == update.KindRollback {
		p.Hint = fmt.Sprintf("if that is what you want: `theseus rollback %d --force`", g.number)
		return p
	}
	p.File, p.Hint = manifest.File, "raise rollout.counter, or if you want the downgrade: `theseus reload --force`"
	p.Line, p.Column = g.manifest.At("rollout", "counter")
	return p
}

func belowText(counter int64, floor update.Floor) string {
	return fmt.Sprintf("counter %d is below %d, which gen %d has proved: to serve it would be a downgrade", counter, floor.Counter, floor.Version)
}

// below returns the floor if the generation's counter is below it.
func (a *App) below(g *Generation) (update.Floor, bool) {
	floor := a.store.Machine().Slot(store.AppSlot).Floor
	return floor, g.manifest.Rollout.Counter < floor.Counter
}

// warnDowngrade notes in the history that somebody wanted a downgrade.
func (up *updater) warnDowngrade(g *Generation) {
	if floor, below := up.app.below(g); below && up.force {
		up.u.Warnings = append(up.u.Warnings, Problem{Kind: "counter", Message: belowText(g.manifest.Rollout.Counter, floor) + "; it was forced",
			Hint: fmt.Sprintf("the next change is refused as well, until rollout.counter is %d again", floor.Counter)})
	}
}
