package js

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/theseus-run/theseus/script"
)

// maxStuck is how many abandoned machines a unit may have before it refuses
// calls.
const maxStuck = 2

// A Unit is a compiled entry file. It implements [script.Unit].
type Unit struct {
	engine  *Engine
	limits  script.Limits
	closure *closure
	exports map[string]bool
	names   []string
	pool    pool
	stuck   atomic.Int64
}

// Name implements [script.Unit].
func (u *Unit) Name() string { return u.closure.entry }

// Files implements [script.Unit].
func (u *Unit) Files() []string { return slices.Clone(u.closure.order) }

// Refs implements [script.Unit]. Units called by run(name) are not known
// before they are called, so the list is empty.
func (u *Unit) Refs() []script.Ref { return nil }

// Exports implements [script.Unit]: the exported functions.
func (u *Unit) Exports() []string { return slices.Clone(u.names) }

// Stuck returns how many machines are abandoned in a native loop right now.
func (u *Unit) Stuck() int64 { return u.stuck.Load() }

// Execute implements [script.Unit].
func (u *Unit) Execute(ctx context.Context, call script.Call) (script.Value, error) {
	name := call.Func
	if name == "" {
		name = "default"
	}
	if !u.exports[name] {
		return script.Value{}, u.noExport(name)
	}
	if n := u.stuck.Load(); n >= maxStuck {
		return script.Value{}, &script.Error{Kind: script.Timeout, File: u.Name(),
			Message: "refused: earlier calls still run in built-in functions that cannot be interrupted",
			Hint:    "look for a search or copy over a huge or sparse array; the calls go through again when the loops have ended or the file is changed"}
	}
	m, err := u.pool.acquire(ctx)
	if err != nil {
		return script.Value{}, err
	}
	v, err := m.execute(ctx, name, call)
	u.pool.release(m)
	return v, err
}

// Trim implements [script.Unit].
func (u *Unit) Trim() { u.pool.trim(0) }

// Close implements [script.Unit]. It waits for idle machines to be freed, not
// for running executions.
func (u *Unit) Close() { u.pool.close() }
