package godsl

import (
	"context"
	"fmt"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/godsl/ir"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

// Limits bound one call. A zero field means no limit, except Depth, where it
// means 1000.
type Limits struct {
	vm.Limits
	Output int64 // bytes of the result, about as JSON
}

// A Func is an exported function whose parameters can be made of data. It is
// immutable and safe for concurrent use.
type Func struct {
	program *Program
	fn      *vm.Func
	binders []*vm.Binder
	result  *ir.Type // nil without a result
	fails   bool     // whether the last result is an error
}

func newFunc(p *Program, name string, f *vm.Func) (*Func, error) {
	t := f.Type()
	out := &Func{program: p, fn: f}
	for i, pt := range t.Params {
		b, err := vm.NewBinder(pt)
		if err != nil {
			return nil, fmt.Errorf("%s: parameter %d: %w", name, i+1, err)
		}
		out.binders = append(out.binders, b)
	}
	results := t.Results
	if n := len(results); n > 0 && isError(results[n-1]) {
		out.fails = true
		results = results[:n-1]
	}
	switch len(results) {
	case 0:
	case 1:
		out.result = results[0]
	default:
		return nil, fmt.Errorf("%s: more than one result besides the error", name)
	}
	return out, nil
}

func isError(t *ir.Type) bool { return t.Name == "error" }

// Params returns how many arguments a call takes.
func (f *Func) Params() int { return len(f.binders) }

// Call calls f with args, which are data as encoding/json makes it, and
// returns its result as data. The arguments are not changed. host is what
// package host reaches; nil grants nothing. An error that the function
// returns, and all others, is a *script.Error.
func (f *Func) Call(ctx context.Context, limits Limits, host vm.Host, args ...any) (any, error) {
	if len(args) != len(f.binders) {
		return nil, &script.Error{Kind: script.Failed, File: f.program.places.files[0].Name,
			Message: fmt.Sprintf("the function takes %d arguments, got %d", len(f.binders), len(args))}
	}
	m := f.program.compiler.idle.Get().(*vm.Machine)
	c := call{f: f, args: args, limit: limits.Output}
	err := m.Run(ctx, f.program.code, f.fn, limits.Limits, host, c.open, c.close)
	f.program.compiler.idle.Put(m)
	if err != nil {
		return nil, f.program.places.trap(err)
	}
	return c.result, nil
}

// A call moves the data of one call in and out.
type call struct {
	f      *Func
	args   []any
	limit  int64
	result any
}

func (c *call) open(m *vm.Machine) error {
	for i, b := range c.f.binders {
		if err := b.Bind(m, m.Block(c.f.fn, i), c.args[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) close(m *vm.Machine) error {
	limit := c.limit
	if limit <= 0 {
		limit = 1 << 62
	}
	out := vm.Out{M: m, Left: limit, Limit: limit}
	if c.f.fails {
		last := 0
		if c.f.result != nil {
			last = 1
		}
		if err := m.Result(c.f.fn, last).R[0]; err != nil {
			return &script.Error{Kind: script.Failed, File: c.f.program.places.files[0].Name, Message: m.PanicText(err)}
		}
	}
	if c.f.result != nil {
		c.result = out.Value(c.f.result, m.Result(c.f.fn, 0))
	}
	return nil
}
