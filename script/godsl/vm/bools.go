package vm

import (
	"go/token"
	"math"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// B compiles an expression of boolean type.
func (c *fnCompiler) B(x ir.Expr) exprB {
	if n, ok := constBits(x); ok {
		b := n != 0
		return func(*Machine) bool { return b }
	}
	switch x := x.(type) {
	case *ir.Retype:
		return c.B(x.X)
	case *ir.VarRef, *ir.GlobalRef, *ir.Deref, *ir.Index, *placed, *localRef:
		p, _ := c.place(x)
		return p.loadB()
	case *ir.Select:
		p, pre := c.place(x)
		return after(pre, p.loadB())
	case *ir.Unary:
		v := c.B(x.X)
		return func(m *Machine) bool { return !v(m) }
	case *ir.Logic:
		if f := c.oneOf(x); f != nil {
			return f
		}
		a, b := c.B(x.X), c.B(x.Y)
		if x.Op == token.LAND {
			return func(m *Machine) bool { return a(m) && b(m) }
		}
		return func(m *Machine) bool { return a(m) || b(m) }
	case *ir.Compare:
		return c.compare(x)
	case *ir.TypeIs:
		return c.typeIs(x)
	case *ir.Assert:
		if f := c.assertB(x); f != nil {
			return f
		}
	case *ir.Call:
		if x.Fn.Native == "" {
			v := c.callI(x)
			return func(m *Machine) bool { return v(m) != 0 }
		}
		if f := c.nativeB(x); f != nil {
			return f
		}
	}
	t := c.viaTemp(x)
	return after(t.fill, t.loadB())
}

func (c *fnCompiler) compare(x *ir.Compare) exprB {
	t := x.X.Type()
	switch {
	case t.Integer() || t.Kind == ir.Bool:
		return c.compareI(x)
	case t.Float():
		return c.compareF(x)
	case t.Kind == ir.String:
		return c.compareS(x)
	}
	eq := c.equal(x)
	if x.Op == token.NEQ {
		return func(m *Machine) bool { return !eq(m) }
	}
	return eq
}

func (c *fnCompiler) compareI(x *ir.Compare) exprB {
	t := x.X.Type()
	if x.Op != token.EQL && x.Op != token.NEQ && t.Unsigned() && t.Bits() == 64 {
		return c.compareU(x)
	}
	k, isLocal := c.localOf(x.X, ir.Words)
	if n, ok := constBits(x.Y); ok {
		n := int64(n)
		if isLocal {
			return localAgainst(x.Op, k, n)
		}
		if b, ok := x.X.(*ir.Binary); ok && b.Op == token.REM && n >= 0 {
			if f := c.remIs(b, x.Op, n); f != nil {
				return f
			}
		}
		return against(x.Op, c.word(x.X), n)
	}
	if j, ok := c.localOf(x.Y, ir.Words); ok && isLocal {
		return twoLocals(x.Op, k, j)
	}
	a, b := c.word(x.X), c.word(x.Y)
	switch x.Op {
	case token.EQL:
		return func(m *Machine) bool { return a(m) == b(m) }
	case token.NEQ:
		return func(m *Machine) bool { return a(m) != b(m) }
	case token.LSS:
		return func(m *Machine) bool { return a(m) < b(m) }
	case token.LEQ:
		return func(m *Machine) bool { return a(m) <= b(m) }
	case token.GTR:
		return func(m *Machine) bool { return a(m) > b(m) }
	}
	return func(m *Machine) bool { return a(m) >= b(m) }
}

// remIs is local%d == n and local%d != n.
func (c *fnCompiler) remIs(b *ir.Binary, op token.Token, n int64) exprB {
	k, ok := c.localOf(b.X, ir.Words)
	d, isConst := constBits(b.Y)
	if !ok || !isConst || b.T.Unsigned() || b.T.Bits() != 64 || int64(d) <= 1 || d >= 1<<31 {
		return nil
	}
	mod := newModulus(int64(d))
	switch op {
	case token.EQL:
		return func(m *Machine) bool { return mod.of(int64(m.n[k])) == n }
	case token.NEQ:
		return func(m *Machine) bool { return mod.of(int64(m.n[k])) != n }
	}
	return nil
}

func localAgainst(op token.Token, k uint8, n int64) exprB {
	switch op {
	case token.EQL:
		return func(m *Machine) bool { return int64(m.n[k]) == n }
	case token.NEQ:
		return func(m *Machine) bool { return int64(m.n[k]) != n }
	case token.LSS:
		return func(m *Machine) bool { return int64(m.n[k]) < n }
	case token.LEQ:
		return func(m *Machine) bool { return int64(m.n[k]) <= n }
	case token.GTR:
		return func(m *Machine) bool { return int64(m.n[k]) > n }
	}
	return func(m *Machine) bool { return int64(m.n[k]) >= n }
}

func against(op token.Token, a exprI, n int64) exprB {
	switch op {
	case token.EQL:
		return func(m *Machine) bool { return a(m) == n }
	case token.NEQ:
		return func(m *Machine) bool { return a(m) != n }
	case token.LSS:
		return func(m *Machine) bool { return a(m) < n }
	case token.LEQ:
		return func(m *Machine) bool { return a(m) <= n }
	case token.GTR:
		return func(m *Machine) bool { return a(m) > n }
	}
	return func(m *Machine) bool { return a(m) >= n }
}

func twoLocals(op token.Token, k, j uint8) exprB {
	switch op {
	case token.EQL:
		return func(m *Machine) bool { return m.n[k] == m.n[j] }
	case token.NEQ:
		return func(m *Machine) bool { return m.n[k] != m.n[j] }
	case token.LSS:
		return func(m *Machine) bool { return int64(m.n[k]) < int64(m.n[j]) }
	case token.LEQ:
		return func(m *Machine) bool { return int64(m.n[k]) <= int64(m.n[j]) }
	case token.GTR:
		return func(m *Machine) bool { return int64(m.n[k]) > int64(m.n[j]) }
	}
	return func(m *Machine) bool { return int64(m.n[k]) >= int64(m.n[j]) }
}

func (c *fnCompiler) compareU(x *ir.Compare) exprB {
	a, b := c.I(x.X), c.I(x.Y)
	switch x.Op {
	case token.LSS:
		return func(m *Machine) bool { return uint64(a(m)) < uint64(b(m)) }
	case token.LEQ:
		return func(m *Machine) bool { return uint64(a(m)) <= uint64(b(m)) }
	case token.GTR:
		return func(m *Machine) bool { return uint64(a(m)) > uint64(b(m)) }
	}
	return func(m *Machine) bool { return uint64(a(m)) >= uint64(b(m)) }
}

func (c *fnCompiler) compareF(x *ir.Compare) exprB {
	if n, ok := constBits(x.Y); ok {
		a, k := c.F(x.X), math.Float64frombits(n)
		switch x.Op {
		case token.LSS:
			return func(m *Machine) bool { return a(m) < k }
		case token.LEQ:
			return func(m *Machine) bool { return a(m) <= k }
		case token.GTR:
			return func(m *Machine) bool { return a(m) > k }
		case token.GEQ:
			return func(m *Machine) bool { return a(m) >= k }
		}
	}
	a, b := c.F(x.X), c.F(x.Y)
	switch x.Op {
	case token.EQL:
		return func(m *Machine) bool { return a(m) == b(m) }
	case token.NEQ:
		return func(m *Machine) bool { return a(m) != b(m) }
	case token.LSS:
		return func(m *Machine) bool { return a(m) < b(m) }
	case token.LEQ:
		return func(m *Machine) bool { return a(m) <= b(m) }
	case token.GTR:
		return func(m *Machine) bool { return a(m) > b(m) }
	}
	return func(m *Machine) bool { return a(m) >= b(m) }
}

func (c *fnCompiler) compareS(x *ir.Compare) exprB {
	if y, ok := x.Y.(*ir.Const); ok && (x.Op == token.EQL || x.Op == token.NEQ) {
		want, equal := y.Str, x.Op == token.EQL
		if k, ok := c.localOf(x.X, ir.Strings); ok {
			if equal {
				return func(m *Machine) bool { return m.s[k] == want }
			}
			return func(m *Machine) bool { return m.s[k] != want }
		}
		a := c.S(x.X)
		if equal {
			return func(m *Machine) bool { return a(m) == want }
		}
		return func(m *Machine) bool { return a(m) != want }
	}
	a, b := c.S(x.X), c.S(x.Y)
	switch x.Op {
	case token.EQL:
		return func(m *Machine) bool { return a(m) == b(m) }
	case token.NEQ:
		return func(m *Machine) bool { return a(m) != b(m) }
	case token.LSS:
		return func(m *Machine) bool { return a(m) < b(m) }
	case token.LEQ:
		return func(m *Machine) bool { return a(m) <= b(m) }
	case token.GTR:
		return func(m *Machine) bool { return a(m) > b(m) }
	}
	return func(m *Machine) bool { return a(m) >= b(m) }
}

// equal compares values of the other types.
func (c *fnCompiler) equal(x *ir.Compare) exprB {
	t := x.X.Type()
	if _, ok := x.Y.(*ir.Zero); ok && t.Class() != ir.Mixed {
		return c.isNil(x.X)
	}
	if _, ok := x.X.(*ir.Zero); ok && t.Class() != ir.Mixed {
		return c.isNil(x.Y)
	}
	pos := int32(x.P)
	switch t.Kind {
	case ir.Pointer:
		a, b := c.L(x.X), c.L(x.Y)
		return func(m *Machine) bool { return samePointer(t, a(m), b(m)) }
	case ir.Array:
		a, b := c.L(x.X), c.L(x.Y)
		return func(m *Machine) bool { return m.equalArrays(t, a(m), b(m), pos) }
	case ir.Interface:
		a, b := c.R(x.X), c.R(x.Y)
		return func(m *Machine) bool { return m.equalAny(a(m), b(m), pos) }
	case ir.Struct:
		a, b := c.ownBlock(x.X), c.block(x.Y)
		return func(m *Machine) bool {
			p := a(m)
			q := b(m)
			return m.equalBlocks(t, &p, &q, pos)
		}
	}
	fail(x.P, "values of %s cannot be compared", t)
	return nil
}

func (c *fnCompiler) isNil(x ir.Expr) exprB {
	if x.Type().Class() == ir.Views {
		v := c.L(x)
		return func(m *Machine) bool { return v(m).A == nil }
	}
	v := c.R(x)
	return func(m *Machine) bool { return v(m) == nil }
}

// block returns the slots of a struct value, where they are or in temporary
// registers. They are good until the next statement.
func (c *fnCompiler) block(x ir.Expr) func(*Machine) Array {
	p, pre := c.place(x)
	return after(pre, p.loadBlock(x.Type().Slots))
}

// ownBlock is block with a copy of what later calls could change.
func (c *fnCompiler) ownBlock(x ir.Expr) func(*Machine) Array { return c.block(x) }

// samePointer compares pointers of type t by the address of their first slot.
func samePointer(t *ir.Type, a, b View) bool {
	if a.A == b.A && a.Off == b.Off {
		return true
	}
	if a.A == nil || b.A == nil || a.Len == 0 || b.Len == 0 {
		return false
	}
	l := t.Elem.Slots
	if t.Elem.Kind == ir.Array {
		l = t.Elem.Elem.Slots
	}
	switch {
	case l[0] > 0:
		return &a.A.N[int(a.Off)*int(l[0])] == &b.A.N[int(b.Off)*int(l[0])]
	case l[1] > 0:
		return &a.A.S[int(a.Off)*int(l[1])] == &b.A.S[int(b.Off)*int(l[1])]
	case l[2] > 0:
		return &a.A.L[int(a.Off)*int(l[2])] == &b.A.L[int(b.Off)*int(l[2])]
	case l[3] > 0:
		return &a.A.R[int(a.Off)*int(l[3])] == &b.A.R[int(b.Off)*int(l[3])]
	}
	return false
}
