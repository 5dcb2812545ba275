package app

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/theseus-run/theseus/update"
)

// A Hook is somebody's own code around a step of each change; see [update.Hook].
type Hook = update.Hook

// A HookCall tells a hook what it is called for.
type HookCall = update.HookCall

// hookProblem is the failure of a hook.
func hookProblem(e *update.HookError) Problem {
	return Problem{Kind: "hook", Message: e.Error(), Hint: "the hook is the operator's; `theseus reload` asks it again"}
}

// hooked notes how a hook has ended. It is called by who carries the change out.
func (a *App) hooked(r update.HookReport) {
	name := fmt.Sprintf("hook %s %s %s", r.Hook, where(r.After), r.Step)
	if up := a.carried.Load(); up != nil && up.u.ID == r.Change.ID {
		up.u.Phases = append(up.u.Phases, Phase{Name: name, Duration: r.Took})
		up.phase = time.Now()
		if e, ok := r.Err.(*update.HookError); ok && r.After {
			up.u.Warnings = append(up.u.Warnings, hookProblem(e))
		}
	} else if r.Err != nil {
		a.log.Warn(r.Err.Error(), "update", r.Change.ID)
	}
	data := map[string]any{"name": r.Hook, "step": r.Step, "after": r.After, "kind": r.Change.Kind, "took_ns": r.Took}
	level, message := "", name
	if r.Err != nil {
		level, message = "warn", r.Err.Error()
		data["error"] = r.Err.Error()
	}
	a.log.Debug(message, "update", r.Change.ID, slog.Duration("took", r.Took))
	a.events.Publish(Event{Type: "hook", Level: level, Message: message, Generation: a.liveNumber(), Update: r.Change.ID, Data: data})
}

func where(after bool) string {
	if after {
		return "after"
	}
	return "before"
}

// stepped notes how long a change has waited for a guard; its other steps are timed
// in parts.
func (a *App) stepped(c update.Change, step string, took time.Duration, _ error) {
	if up := a.carried.Load(); step == "wait" && up != nil && up.u.ID == c.ID {
		up.u.Phases = append(up.u.Phases, Phase{Name: step, Duration: took})
		up.phase = time.Now()
	}
}
