package js

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/quickjs"

	"github.com/theseus-run/theseus/script"
)

//go:embed prelude.js
var preludeSource string

// Engine compiles JavaScript. It is safe for concurrent use.
type Engine struct {
	prelude  func() ([]byte, error) // bytecode of prelude.js, made once
	machines atomic.Int64
}

// New returns the engine.
func New() *Engine {
	e := &Engine{}
	e.prelude = sync.OnceValues(compilePrelude)
	return e
}

func compilePrelude() ([]byte, error) {
	vm, err := quickjs.NewVM()
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	return vm.Compile(preludeSource, quickjs.EvalGlobal)
}

// Name implements [script.Engine].
func (e *Engine) Name() string { return "js" }

// Extensions implements [script.Engine].
func (e *Engine) Extensions() []string { return []string{".js", ".mjs"} }

// Enforces implements [script.Engine]. Time is held for the caller in every
// case; see the package comment for what a native loop leaves behind.
func (e *Engine) Enforces() script.Limit {
	return script.LimitTime | script.LimitMemory | script.LimitDepth | script.LimitOutput
}

// Machines returns how many VMs of this engine exist, idle, busy and stuck.
func (e *Engine) Machines() int64 { return e.machines.Load() }

// Compile implements [script.Engine]. The top level of the modules runs once,
// under the limits and without a host.
func (e *Engine) Compile(ctx context.Context, files fs.FS, name string, limits script.Limits) (script.Unit, error) {
	limits = limits.WithDefaults()
	r := newResolver(files, name)
	if err := r.loadEntry(); err != nil {
		return nil, err
	}
	u := &Unit{engine: e, limits: limits, closure: &r.closure}
	u.pool.init(u)
	m, err := u.start(ctx, r)
	if err != nil {
		return nil, err
	}
	u.exports = make(map[string]bool, len(m.exports))
	for n, callable := range m.exports {
		if callable {
			u.exports[n] = true
			u.names = append(u.names, n)
		}
	}
	_, data := m.exports["default"]
	data = data && !u.exports["default"]
	if data || len(u.names) == 0 {
		m.stop()
		message := "has no default export"
		if data {
			message = "has a default export that is not a function"
		}
		return nil, r.errorAt(&script.Error{Kind: script.Refused, File: name, Message: message,
			Hint: "write: export default (req) => …"})
	}
	slices.Sort(u.names)
	u.pool.adopt(m)
	return u, nil
}

// noExport is the error for a call of a function that the unit has not.
func (u *Unit) noExport(name string) error {
	return &script.Error{Kind: script.Refused, File: u.Name(),
		Message: fmt.Sprintf("does not export a function %q", name),
		Hint:    "it exports: " + strings.Join(u.names, ", ")}
}
