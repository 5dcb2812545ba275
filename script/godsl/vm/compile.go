package vm

import (
	"fmt"
	"go/token"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// The closures that functions are compiled to, one form for each class of
// values. exprI serves all integers, sign- or zero-extended.
type (
	exprI func(*Machine) int64
	exprF func(*Machine) float64
	exprB func(*Machine) bool
	exprS func(*Machine) string
	exprL func(*Machine) View
	exprR func(*Machine) any
	exec  func(*Machine) ctl
)

// A ctl says how a statement ended. From firstLabel on, even numbers break and
// odd ones continue the statement with the label (ctl-firstLabel)/2.
type ctl int

const (
	next ctl = iota
	returned
	firstLabel
)

// A function is a compiled ir.Fn. Its window begins with the results, then
// come the parameters.
type function struct {
	name   string
	typ    *ir.Type
	size   ir.Layout // of the window
	words  bool      // uses no file but Words
	body   exec
	i      exprI // when the body is one integer expression
	params []slots
	result []slots
	caps   []slots   // of captures, in Func.vals
	capSum ir.Layout // size of Func.vals
}

// slots are where a variable's slots begin in each file.
type slots = ir.Layout

// A Program is compiled and immutable.
type Program struct {
	boxed      map[string]any          // short constants as data
	texts      map[string]*methodTable // Error and String
	Funcs      map[string]*Func
	types      *ir.Types
	globals    []*function
	globalAt   []slots
	globalT    []*ir.Type
	globalSize ir.Layout
	anyMap     *ir.Type
	anyList    *ir.Type
	basic      [ir.String + 1]*ir.Type
}

// A compiler turns the typed form into closures.
type compiler struct {
	prog    *Program
	ir      *ir.Program
	natives map[string]any
	fns     map[*ir.Fn]*function
	tables  map[string]*methodTable
	any     *ir.Type
}

// A CompileError says why a program cannot be compiled.
type CompileError struct {
	Pos     token.Pos
	Message string
}

// Error implements error.
func (e *CompileError) Error() string { return e.Message }

// Compile compiles p. natives holds the functions of the library by the name
// that types.Func.FullName gives. The error is a *CompileError.
func Compile(p *ir.Program, natives map[string]any) (out *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*CompileError)
			if !ok {
				panic(r)
			}
			out, err = nil, e
		}
	}()
	c := &compiler{ir: p, natives: natives, fns: map[*ir.Fn]*function{}, tables: map[string]*methodTable{}}
	c.prog = &Program{Funcs: map[string]*Func{}, boxed: map[string]any{}, types: p.Types}
	c.prog.anyMap = p.Types.MapOf(p.Types.Basic(ir.String), p.Types.Basic(ir.Interface))
	c.prog.anyList = p.Types.SliceOf(p.Types.Basic(ir.Interface))
	for k := ir.Bool; k <= ir.String; k++ {
		c.prog.basic[k] = p.Types.Basic(k)
	}
	c.any = p.Types.Basic(ir.Interface)
	for _, g := range p.Globals {
		c.prog.globalAt = append(c.prog.globalAt, c.prog.globalSize)
		c.prog.globalT = append(c.prog.globalT, g.T)
		c.prog.globalSize = c.prog.globalSize.Add(g.T.Slots)
	}
	for _, g := range p.Globals {
		c.prog.globals = append(c.prog.globals, c.function(g.Fn))
	}
	for name, fn := range p.Funcs {
		c.prog.Funcs[name] = &Func{fn: c.function(fn)}
	}
	c.prog.texts = map[string]*methodTable{"Error": c.methods("Error"), "String": c.methods("String")}
	return c.prog, nil
}

func fail(pos token.Pos, format string, args ...any) {
	panic(&CompileError{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// function returns the compiled form of fn; its body may still be missing
// while functions call each other in a circle.
func (c *compiler) function(fn *ir.Fn) *function {
	if f, ok := c.fns[fn]; ok {
		return f
	}
	f := &function{name: fn.Name, typ: fn.Type}
	c.fns[fn] = f
	fc := &fnCompiler{compiler: c, fn: fn, out: f, vars: map[*ir.Var]slots{}, labels: map[*ir.Label]ctl{}}
	fc.compile()
	return f
}

// A fnCompiler compiles one function.
type fnCompiler struct {
	*compiler
	fn     *ir.Fn
	out    *function
	vars   map[*ir.Var]slots
	caught map[*ir.Var]slots // captured variables, by their place in Func.vals
	next   ir.Layout         // first free slots
	labels map[*ir.Label]ctl
}

func (c *fnCompiler) compile() {
	fn, f := c.fn, c.out
	for _, r := range fn.Results {
		at := c.alloc(r.T.Slots)
		c.vars[r] = at
		f.result = append(f.result, at)
	}
	for _, p := range fn.Params {
		f.params = append(f.params, c.alloc(p.T.Slots))
	}
	c.caught = map[*ir.Var]slots{}
	for _, k := range fn.Captures {
		l := k.Inner.T.Slots
		if k.Inner.Boxed {
			l = ir.Layout{ir.Views: 1}
		}
		c.caught[k.Inner] = f.capSum
		f.caps = append(f.caps, f.capSum)
		f.capSum = f.capSum.Add(l)
	}
	if fn.Native != "" {
		c.native()
		return
	}
	var pre []exec
	for i, p := range fn.Params {
		pre = append(pre, c.param(p, f.params[i])...)
	}
	if x := c.asBody(fn.Body, len(pre)); x != nil {
		f.i = x
	} else {
		f.body = sequence(append(pre, c.list(fn.Body)))
	}
	f.words = f.size[1] == 0 && f.size[2] == 0 && f.size[3] == 0
}

// asBody is asExpr for a whole function.
func (c *fnCompiler) asBody(body []ir.Stmt, pre int) exprI {
	if pre > 0 || !exprBody(body) {
		return nil
	}
	return c.asExpr(body)
}

// param makes a parameter usable as a variable; one that is shared moves into
// a cell, and arrays become the function's own.
func (c *fnCompiler) param(p *ir.Var, at slots) []exec {
	c.vars[p] = at
	if !p.Boxed {
		return nil
	}
	src := place{reg: true, base: at}
	c.vars[p] = c.alloc(ir.Layout{ir.Views: 1})
	return []exec{c.newCell(p), c.copyPlace(c.varPlace(p), src, p.T)}
}

// alloc takes slots that are free until the enclosing release.
func (c *fnCompiler) alloc(l ir.Layout) slots {
	at := c.next
	c.next = c.next.Add(l)
	for i := range c.next {
		if c.next[i] > window {
			fail(c.fn.Pos, "function %s has too many variables: the limit is %d of one kind", c.fn.Name, window)
		}
		c.out.size[i] = max(c.out.size[i], c.next[i])
	}
	return at
}

// scoped runs f and gives back what it allocated.
func (c *fnCompiler) scoped(f func()) {
	mark := c.next
	f()
	c.next = mark
}

func (c *fnCompiler) newTemp(t *ir.Type) place { return place{reg: true, base: c.alloc(t.Slots)} }

// label returns the ctl of a break; continue is one more.
func (c *fnCompiler) label(l *ir.Label) ctl {
	if k, ok := c.labels[l]; ok {
		return k
	}
	k := firstLabel + ctl(2*len(c.labels))
	c.labels[l] = k
	return k
}

func sequence(list []exec) exec {
	switch len(list) {
	case 0:
		return func(*Machine) ctl { return next }
	case 1:
		return list[0]
	case 2:
		a, b := list[0], list[1]
		return func(m *Machine) ctl {
			if k := a(m); k != next {
				return k
			}
			return b(m)
		}
	case 3:
		a, b, c := list[0], list[1], list[2]
		return func(m *Machine) ctl {
			if k := a(m); k != next {
				return k
			}
			if k := b(m); k != next {
				return k
			}
			return c(m)
		}
	}
	return func(m *Machine) ctl {
		for _, s := range list {
			if k := s(m); k != next {
				return k
			}
		}
		return next
	}
}
