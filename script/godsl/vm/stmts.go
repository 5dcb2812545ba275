package vm

import (
	"go/token"
	"math"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// list compiles the statements of a scope.
func (c *fnCompiler) list(stmts []ir.Stmt) exec {
	var out []exec
	c.scoped(func() {
		for _, s := range stmts {
			if d, ok := s.(*ir.Declare); ok {
				out = append(out, c.declare(d))
				continue
			}
			c.scoped(func() { out = append(out, c.stmt(s)) })
		}
	})
	return sequence(out)
}

// declare gives a variable its slots, until the end of the scope.
func (c *fnCompiler) declare(d *ir.Declare) exec {
	v := d.Var
	init := d.Init
	if init == nil {
		init = &ir.Zero{Typed: ir.Typed{T: v.T, P: d.Pos}}
	}
	if !v.Boxed && !v.Shared && v.T.Slots.Total() > 32 {
		v.Boxed = true
	}
	if !v.Boxed {
		at := c.alloc(v.T.Slots)
		var e exec
		c.scoped(func() { e = c.store(place{reg: true, base: at}, init) })
		c.vars[v] = at
		return e
	}
	// The value is there before the cell: a function literal in it may be of
	// the variable's own earlier turn.
	at := c.alloc(ir.Layout{ir.Views: 1})
	if d.Init == nil && !v.T.Arrays {
		c.vars[v] = at
		return c.newCell(v)
	}
	var fill, move exec
	c.scoped(func() {
		tmp := c.newTemp(v.T)
		fill = c.store(tmp, init)
		c.vars[v] = at
		move = c.copyFresh(c.varPlace(v), tmp, v.T)
	})
	cell := c.newCell(v)
	return func(m *Machine) ctl {
		fill(m)
		cell(m)
		return move(m)
	}
}

// copyFresh moves a value whose arrays nobody else has.
func (c *fnCompiler) copyFresh(to, from place, t *ir.Type) exec {
	dst, src := to.loadBlock(t.Slots), from.loadBlock(t.Slots)
	return func(m *Machine) ctl {
		a, b := dst(m), src(m)
		a.set(&b)
		return next
	}
}

func (c *fnCompiler) stmt(s ir.Stmt) exec {
	switch s := s.(type) {
	case *ir.Assign:
		return c.assignStmt(s)
	case *ir.Update:
		return c.update(s)
	case *ir.AssignTuple:
		return c.assignTuple(s)
	case *ir.Do:
		return c.do(s.X)
	case *ir.If:
		return c.ifStmt(s)
	case *ir.For:
		return c.forStmt(s)
	case *ir.RangeInt:
		return c.rangeInt(s)
	case *ir.RangeList:
		return c.rangeList(s)
	case *ir.RangeFunc:
		return c.rangeFunc(s)
	case *ir.Block:
		body := c.list(s.Body)
		if s.Label == nil || !s.Label.Broken {
			return body
		}
		out := c.label(s.Label)
		return func(m *Machine) ctl {
			if k := body(m); k != out {
				return k
			}
			return next
		}
	case *ir.Branch:
		k := c.label(s.Label)
		if s.Continue {
			k++
		}
		return func(*Machine) ctl { return k }
	case *ir.Return:
		return c.returnStmt(s)
	case *ir.Declare:
		return c.declare(s)
	}
	fail(c.fn.Pos, "statement %T is not supported", s)
	return nil
}

func (c *fnCompiler) do(x ir.Expr) exec {
	switch x.Type().Class() {
	case ir.Mixed:
		if b, ok := x.(*ir.Builtin); ok {
			return c.builtinTo(b)
		}
		if x.Type().Kind == ir.Struct {
			return c.store(c.newTemp(x.Type()), x)
		}
		return c.tupleTo(c.newTemp(x.Type()), x)
	}
	return c.store(c.newTemp(x.Type()), x)
}

func (c *fnCompiler) assignStmt(s *ir.Assign) exec {
	if s.L == nil {
		return c.do(s.R)
	}
	if mi, ok := s.L.(*ir.MapIndex); ok {
		return c.mapSet(mi, s.R)
	}
	p, pre := c.place(s.L)
	e := c.assign(p, s.R)
	if pre == nil {
		return e
	}
	return sequence([]exec{pre, e})
}

func (c *fnCompiler) assignTuple(s *ir.AssignTuple) exec {
	t := s.R.Type()
	// A run of new registers in the right order is the usual case.
	tmp := c.newTemp(t)
	list := []exec{c.tupleTo(tmp, s.R)}
	at := tmp.base
	for i, mt := range t.Results {
		if l := s.L[i]; l != nil {
			p, pre := c.place(l)
			if pre != nil {
				list = append(list, pre)
			}
			list = append(list, c.copyFresh2(p, place{reg: true, base: at}, mt))
		}
		at = at.Add(mt.Slots)
	}
	return sequence(list)
}

func (c *fnCompiler) copyFresh2(to, from place, t *ir.Type) exec {
	if !t.Arrays && t.Class() != ir.Mixed {
		return copySlot(to, from, t)
	}
	return c.copyFresh(to, from, t)
}

// update is L op= R.
func (c *fnCompiler) update(s *ir.Update) exec {
	if e := c.shortUpdate(s); e != nil {
		return e
	}
	t := s.L.Type()
	if isReg := regRoot(c, s.L); isReg {
		p, _ := c.place(s.L)
		return c.store(p, &ir.Binary{Typed: ir.Typed{T: t, P: s.Pos}, Op: s.Op, X: s.L, Y: s.R})
	}
	// The place is found once: a view of it stays in a register.
	p, pre := c.place(s.L)
	k := uint8(c.alloc(ir.Layout{ir.Views: 1})[ir.Views])
	addr := p.addr
	if p.reg {
		fail(s.Pos, "this assignment is not supported")
	}
	pinned := p
	pinned.addr = func(m *Machine) (*Array, int) { return m.l[k].A, int(m.l[k].Off) }
	x := &placed{Typed: ir.Typed{T: t, P: s.Pos}, p: pinned}
	set := c.store(pinned, &ir.Binary{Typed: ir.Typed{T: t, P: s.Pos}, Op: s.Op, X: x, Y: s.R})
	return func(m *Machine) ctl {
		if pre != nil {
			pre(m)
		}
		a, i := addr(m)
		m.l[k] = View{A: a, Off: int32(i)}
		return set(m)
	}
}

// placed is a place that the compiler itself uses as an expression.
type placed struct {
	ir.Typed
	p place
}

// shortUpdate compiles the updates of local numbers to one closure.
func (c *fnCompiler) shortUpdate(s *ir.Update) exec {
	t := s.L.Type()
	k, ok := c.localOf(s.L, ir.Words)
	if !ok || t.Class() != ir.Words {
		return nil
	}
	if t.Kind == ir.Float64 {
		v := c.F(s.R)
		switch s.Op {
		case token.ADD:
			return func(m *Machine) ctl {
				m.n[k] = math.Float64bits(math.Float64frombits(m.n[k]) + v(m))
				return next
			}
		case token.SUB:
			return func(m *Machine) ctl {
				m.n[k] = math.Float64bits(math.Float64frombits(m.n[k]) - v(m))
				return next
			}
		}
		return nil
	}
	if t.Bits() != 64 || !t.Integer() || s.Op != token.ADD && s.Op != token.SUB {
		return nil
	}
	if n, ok := constBits(s.R); ok {
		if s.Op == token.SUB {
			n = -n
		}
		return func(m *Machine) ctl { m.n[k] += n; return next }
	}
	if j, ok := c.localOf(s.R, ir.Words); ok {
		if s.Op == token.ADD {
			return func(m *Machine) ctl { m.n[k] += m.n[j]; return next }
		}
		return func(m *Machine) ctl { m.n[k] -= m.n[j]; return next }
	}
	if b, ok := s.R.(*ir.Binary); ok && b.Op == token.MUL && s.Op == token.ADD {
		j, isLocal := c.localOf(b.X, ir.Words)
		if n, isConst := constBits(b.Y); isConst && isLocal {
			return func(m *Machine) ctl { m.n[k] += m.n[j] * n; return next }
		}
	}
	v := c.I(s.R)
	if s.Op == token.ADD {
		return func(m *Machine) ctl { n := v(m); m.n[k] += uint64(n); return next }
	}
	return func(m *Machine) ctl { n := v(m); m.n[k] -= uint64(n); return next }
}

func (c *fnCompiler) ifStmt(s *ir.If) exec {
	if n, ok := constBits(s.Cond); ok && n != 0 && len(s.Else) == 0 {
		return c.list(s.Then)
	}
	cond, then := c.B(s.Cond), c.list(s.Then)
	if len(s.Else) == 0 {
		if e := c.shortIf(s, then); e != nil {
			return e
		}
		return func(m *Machine) ctl {
			if cond(m) {
				return then(m)
			}
			return next
		}
	}
	other := c.list(s.Else)
	if cmp, ok := s.Cond.(*ir.Compare); ok && cmp.Op == token.EQL {
		if b, ok := cmp.X.(*ir.Binary); ok && b.Op == token.REM && b.T.Bits() == 64 && !b.T.Unsigned() {
			k, isLocal := c.localOf(b.X, ir.Words)
			d, isConst := constBits(b.Y)
			n, against := constBits(cmp.Y)
			if isLocal && isConst && against && int64(d) > 1 && d < 1<<31 {
				mod, n := newModulus(int64(d)), int64(n)
				return func(m *Machine) ctl {
					if mod.of(int64(m.n[k])) == n {
						return then(m)
					}
					return other(m)
				}
			}
		}
	}
	return func(m *Machine) ctl {
		if cond(m) {
			return then(m)
		}
		return other(m)
	}
}

// shortIf compiles conditions of a local integer and a constant.
func (c *fnCompiler) shortIf(s *ir.If, then exec) exec {
	cmp, ok := s.Cond.(*ir.Compare)
	if !ok || !cmp.X.Type().Integer() || cmp.X.Type().Unsigned() {
		return nil
	}
	k, isLocal := c.localOf(cmp.X, ir.Words)
	bits, isConst := constBits(cmp.Y)
	if !isLocal || !isConst {
		return nil
	}
	n := int64(bits)
	switch cmp.Op {
	case token.LSS:
		return func(m *Machine) ctl {
			if int64(m.n[k]) < n {
				return then(m)
			}
			return next
		}
	case token.EQL:
		return func(m *Machine) ctl {
			if int64(m.n[k]) == n {
				return then(m)
			}
			return next
		}
	case token.GTR:
		return func(m *Machine) ctl {
			if int64(m.n[k]) > n {
				return then(m)
			}
			return next
		}
	}
	return nil
}

func (c *fnCompiler) returnStmt(s *ir.Return) exec {
	results := c.out.result
	if len(s.Xs) == 0 {
		return func(*Machine) ctl { return returned }
	}
	if len(s.Xs) == 1 {
		x := s.Xs[0]
		if t := x.Type(); t.Class() == ir.Words {
			return c.returnWord(x, uint8(results[0][0]))
		}
		set := c.store(place{reg: true, base: results[0]}, x)
		return func(m *Machine) ctl {
			set(m)
			return returned
		}
	}
	var list []exec
	for i, x := range s.Xs {
		list = append(list, c.store(place{reg: true, base: results[i]}, x))
	}
	all := sequence(list)
	return func(m *Machine) ctl {
		all(m)
		return returned
	}
}

func (c *fnCompiler) returnWord(x ir.Expr, k uint8) exec {
	if n, ok := constBits(x); ok {
		return func(m *Machine) ctl { m.n[k] = n; return returned }
	}
	v := c.word(x)
	return func(m *Machine) ctl { m.n[k] = uint64(v(m)); return returned }
}

// asExpr compiles a body of the form if c { return x }…; return y with an
// integer result to one expression, nil for other bodies.
func (c *fnCompiler) asExpr(body []ir.Stmt) exprI {
	if len(c.fn.Results) != 1 || !c.fn.Results[0].T.Integer() || len(body) == 0 {
		return nil
	}
	switch s := body[0].(type) {
	case *ir.Return:
		if len(s.Xs) != 1 {
			return nil
		}
		return c.I(s.Xs[0])
	case *ir.If:
		if len(s.Else) > 0 && len(body) > 1 || len(body) == 1 && len(s.Else) == 0 {
			return nil
		}
		if !exprBody(s.Then) || !exprBody(s.Else) && !exprBody(body[1:]) {
			return nil
		}
		then := c.asExpr(s.Then)
		rest := s.Else
		if len(rest) == 0 {
			rest = body[1:]
		}
		other := c.asExpr(rest)
		if then == nil || other == nil {
			return nil
		}
		return c.choice(s.Cond, then, other)
	}
	return nil
}

// exprBody reports whether asExpr can compile a body, before it tries.
func exprBody(body []ir.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	switch s := body[0].(type) {
	case *ir.Return:
		return len(s.Xs) == 1
	case *ir.If:
		if len(s.Else) > 0 {
			return len(body) == 1 && exprBody(s.Then) && exprBody(s.Else)
		}
		return exprBody(s.Then) && exprBody(body[1:])
	}
	return false
}

func (c *fnCompiler) choice(cond ir.Expr, then, other exprI) exprI {
	if cmp, ok := cond.(*ir.Compare); ok && cmp.X.Type().Integer() && !cmp.X.Type().Unsigned() {
		k, isLocal := c.localOf(cmp.X, ir.Words)
		bits, isConst := constBits(cmp.Y)
		if n := int64(bits); isLocal && isConst && cmp.Op == token.LSS {
			return func(m *Machine) int64 {
				if int64(m.n[k]) < n {
					return then(m)
				}
				return other(m)
			}
		}
	}
	b := c.B(cond)
	return func(m *Machine) int64 {
		if b(m) {
			return then(m)
		}
		return other(m)
	}
}

// builtinTo compiles the built-in functions that are called for their effect.
func (c *fnCompiler) builtinTo(x *ir.Builtin) exec {
	switch x.Name {
	case "delete":
		return c.deleteCall(x)
	case "clear":
		return c.clearCall(x)
	case "panic":
		v, pos := c.R(x.Args[0]), int32(x.P)
		return func(m *Machine) ctl {
			val := v(m)
			m.fail(pos, "panic: %s", m.PanicText(val))
			return next
		}
	}
	return c.store(c.newTemp(x.T), x)
}
