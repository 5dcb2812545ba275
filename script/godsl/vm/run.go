package vm

import (
	"context"
	"errors"
	"go/token"
	"runtime"
	"time"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// defaultDepth is the limit of nested calls when none is given.
const defaultDepth = 1000

// maxDepth keeps the Go stack of the deepest execution in bounds, with the
// nesting that package allow leaves to an expression.
const maxDepth = 10000

// noLimit stands for limits that are not set.
const noLimit = 1 << 62

// Run executes f: open is called with the window of f open and puts the
// arguments there, close when f has returned, to take the results. Either may
// be nil. The error is a *Trap. m must be idle; it is idle again afterwards.
func (m *Machine) Run(ctx context.Context, p *Program, f *Func, limits Limits, host Host, open, close func(*Machine) error) (err error) {
	m.start(ctx, p, limits, host)
	defer func() {
		if r := recover(); r != nil {
			err = m.recovered(r)
		}
		m.stop()
	}()
	m.pollContext()
	m.open(f.fn)
	m.caps = &f.vals
	if open != nil {
		if err := open(m); err != nil {
			return err
		}
	}
	f.fn.run(m)
	if close != nil {
		return close(m)
	}
	return nil
}

func (m *Machine) start(ctx context.Context, p *Program, limits Limits, host Host) {
	if limits.Depth <= 0 {
		limits.Depth = defaultDepth
	}
	limits.Depth = min(limits.Depth, maxDepth)
	m.limits, m.ctx, m.program, m.host = limits, ctx, p, host
	m.done = ctx.Done()
	m.pending, m.nesting = nil, 0
	m.depth, m.tn, m.ts, m.tl, m.tr = 0, 0, 0, 0, 0
	m.bytes = limits.Bytes
	if limits.Bytes <= 0 {
		m.bytes = noLimit
	}
	m.steps, m.fuel = 0, pollEvery
	if limits.Steps > 0 {
		m.fuel = min(pollEvery, limits.Steps)
		m.steps = limits.Steps - m.fuel
	}
	m.end = time.Time{}
	if len(p.globals) > 0 {
		m.globals = *newArray(p.globalSize, 1)
		m.ready = make([]bool, len(p.globals))
	}
}

// stop lets go of what the execution held. Registers keep their contents
// until the next execution overwrites them, unless there are many.
func (m *Machine) stop() {
	m.ctx, m.done, m.program, m.host, m.caps, m.random = nil, nil, nil, nil, nil, nil
	m.globals, m.ready = Array{}, nil
	if len(m.stackN)+len(m.stackS)+len(m.stackL)+len(m.stackR) > 16*window {
		*m = *NewMachine()
	}
}

// recovered turns a panic into the Trap that it is, with the path of calls.
func (m *Machine) recovered(r any) error {
	t, ok := r.(*Trap)
	if !ok {
		err, isErr := r.(error)
		if !isErr {
			err = errors.New("unknown panic")
		}
		t = &Trap{Kind: Failure, Message: "the engine failed: " + err.Error(), Err: err}
		if _, fatal := r.(runtime.Error); !fatal {
			panic(r)
		}
	}
	for i := range min(m.depth, len(m.calls)) {
		if p := m.calls[i]; p > 0 {
			t.Calls = append(t.Calls, token.Pos(p))
		}
	}
	if t.Pos == token.NoPos && len(t.Calls) > 0 {
		t.Pos = t.Calls[len(t.Calls)-1]
		t.Calls = t.Calls[:len(t.Calls)-1]
	}
	return t
}

// Type returns the type of f.
func (f *Func) Type() *ir.Type { return f.fn.typ }

// Block returns the slots of parameter i of f, whose window is open.
func (m *Machine) Block(f *Func, i int) Array {
	return m.block(f.fn.params[i], f.fn.typ.Params[i].Slots)
}

// Result returns the slots of result i of f, which has returned.
func (m *Machine) Result(f *Func, i int) Array {
	return m.block(f.fn.result[i], f.fn.typ.Results[i].Slots)
}
