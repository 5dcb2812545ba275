package vm

import (
	"go/token"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// I compiles an expression of integer type.
func (c *fnCompiler) I(x ir.Expr) exprI {
	if n, ok := constBits(x); ok {
		return func(*Machine) int64 { return int64(n) }
	}
	switch x := x.(type) {
	case *ir.Retype:
		return c.I(x.X)
	case *ir.VarRef, *ir.GlobalRef, *ir.Deref, *placed:
		p, _ := c.place(x)
		return p.loadI()
	case *ir.Select:
		p, pre := c.place(x)
		return after(pre, p.loadI())
	case *ir.Index:
		return c.indexI(x)
	case *ir.Unary:
		v := c.I(x.X)
		if x.Op == token.SUB {
			return wrap(x.T, func(m *Machine) int64 { return -v(m) })
		}
		return wrap(x.T, func(m *Machine) int64 { return ^v(m) })
	case *ir.Binary:
		return c.binaryI(x)
	case *ir.Convert:
		return c.convertI(x)
	case *ir.Builtin:
		return c.builtinI(x)
	case *ir.Assert:
		if f := c.assertI(x); f != nil {
			return f
		}
	case *ir.Call:
		return c.callI(x)
	}
	return c.viaTemp(x).loadIAfter()
}

// after runs a statement before an expression.
func after[T any](pre exec, x func(*Machine) T) func(*Machine) T {
	if pre == nil {
		return x
	}
	return func(m *Machine) T {
		pre(m)
		return x(m)
	}
}

// A temporary is a place and the statement that fills it.
type temporary struct {
	place
	fill exec
}

// viaTemp evaluates into temporary registers what has no shorter way.
func (c *fnCompiler) viaTemp(x ir.Expr) temporary {
	t := c.newTemp(x.Type())
	return temporary{t, c.tupleTo(t, x)}
}

func (t temporary) loadIAfter() exprI { return after(t.fill, t.loadI()) }

func (c *fnCompiler) indexI(x *ir.Index) exprI {
	pos := int32(x.P)
	if x.X.Type().Kind == ir.String {
		s, i := c.S(x.X), c.I(x.I)
		return func(m *Machine) int64 {
			str := s(m)
			n := i(m)
			if uint64(n) >= uint64(len(str)) {
				m.outOfRange(pos, n, len(str))
			}
			return int64(str[n])
		}
	}
	if k, ok := c.localOf(x.X, ir.Views); ok && x.X.Type().Kind != ir.Pointer {
		if j, ok := c.localOf(x.I, ir.Words); ok {
			return func(m *Machine) int64 {
				v, n := &m.l[k], int64(m.n[j])
				if uint64(n) >= uint64(v.Len) {
					m.outOfRange(pos, n, int(v.Len))
				}
				return int64(v.A.N[int(v.Off)+int(n)])
			}
		}
		i := c.I(x.I)
		return func(m *Machine) int64 {
			n := i(m)
			v := &m.l[k]
			if uint64(n) >= uint64(v.Len) {
				m.outOfRange(pos, n, int(v.Len))
			}
			return int64(v.A.N[int(v.Off)+int(n)])
		}
	}
	p, _ := c.place(x)
	return p.loadI()
}

// wrap cuts a result to the width of its type.
func wrap(t *ir.Type, v exprI) exprI {
	switch t.Kind {
	case ir.Int8:
		return func(m *Machine) int64 { return int64(int8(v(m))) }
	case ir.Int16:
		return func(m *Machine) int64 { return int64(int16(v(m))) }
	case ir.Int32:
		return func(m *Machine) int64 { return int64(int32(v(m))) }
	case ir.Uint8:
		return func(m *Machine) int64 { return int64(uint8(v(m))) }
	case ir.Uint16:
		return func(m *Machine) int64 { return int64(uint16(v(m))) }
	case ir.Uint32:
		return func(m *Machine) int64 { return int64(uint32(v(m))) }
	}
	return v
}

func (c *fnCompiler) binaryI(x *ir.Binary) exprI {
	if v := c.shortI(x); v != nil {
		return wrap(x.T, v)
	}
	a, b := c.I(x.X), c.I(x.Y)
	pos := int32(x.P)
	switch x.Op {
	case token.ADD:
		return wrap(x.T, func(m *Machine) int64 { return a(m) + b(m) })
	case token.SUB:
		return wrap(x.T, func(m *Machine) int64 { return a(m) - b(m) })
	case token.MUL:
		return wrap(x.T, func(m *Machine) int64 { return a(m) * b(m) })
	case token.AND:
		return func(m *Machine) int64 { return a(m) & b(m) }
	case token.OR:
		return func(m *Machine) int64 { return a(m) | b(m) }
	case token.XOR:
		return func(m *Machine) int64 { return a(m) ^ b(m) }
	case token.AND_NOT:
		return func(m *Machine) int64 { return a(m) &^ b(m) }
	case token.QUO:
		return wrap(x.T, divide(a, b, x.T.Unsigned(), pos))
	case token.REM:
		return wrap(x.T, remainder(a, b, x.T.Unsigned(), pos))
	}
	return c.shift(x, a, b)
}

func divide(a, b exprI, unsigned bool, pos int32) exprI {
	if unsigned {
		return func(m *Machine) int64 {
			n, d := uint64(a(m)), uint64(b(m))
			if d == 0 {
				m.fail(pos, "integer divide by zero")
			}
			return int64(n / d)
		}
	}
	return func(m *Machine) int64 {
		n, d := a(m), b(m)
		if d == 0 {
			m.fail(pos, "integer divide by zero")
		}
		return n / d
	}
}

func remainder(a, b exprI, unsigned bool, pos int32) exprI {
	if unsigned {
		return func(m *Machine) int64 {
			n, d := uint64(a(m)), uint64(b(m))
			if d == 0 {
				m.fail(pos, "integer divide by zero")
			}
			return int64(n % d)
		}
	}
	return func(m *Machine) int64 {
		n, d := a(m), b(m)
		if d == 0 {
			m.fail(pos, "integer divide by zero")
		}
		return n % d
	}
}

func (c *fnCompiler) shift(x *ir.Binary, a, b exprI) exprI {
	pos := int32(x.P)
	count := b
	if !x.Y.Type().Unsigned() {
		if n, ok := constBits(x.Y); !ok || int64(n) < 0 {
			count = func(m *Machine) int64 {
				n := b(m)
				if n < 0 {
					m.fail(pos, "negative shift amount")
				}
				return n
			}
		}
	}
	switch {
	case x.Op == token.SHL:
		return wrap(x.T, func(m *Machine) int64 {
			v := a(m)
			return v << uint64(count(m))
		})
	case x.T.Unsigned():
		return func(m *Machine) int64 {
			v := uint64(a(m))
			return int64(v >> uint64(count(m)))
		}
	}
	return func(m *Machine) int64 {
		v := a(m)
		return v >> uint64(count(m))
	}
}

// shortI compiles the common forms with a constant or a local variable as
// operands, each to one closure.
func (c *fnCompiler) shortI(x *ir.Binary) exprI {
	n, isConst := constBits(x.Y)
	k, isLocal := c.localOf(x.X, ir.Words)
	if isConst {
		n := int64(n)
		if isLocal {
			return localConst(x, k, n)
		}
		return anyConst(x, c.I, n)
	}
	j, alsoLocal := c.localOf(x.Y, ir.Words)
	if !isLocal || !alsoLocal {
		return nil
	}
	switch x.Op {
	case token.ADD:
		return func(m *Machine) int64 { return int64(m.n[k]) + int64(m.n[j]) }
	case token.SUB:
		return func(m *Machine) int64 { return int64(m.n[k]) - int64(m.n[j]) }
	case token.MUL:
		return func(m *Machine) int64 { return int64(m.n[k]) * int64(m.n[j]) }
	}
	return nil
}

func localConst(x *ir.Binary, k uint8, n int64) exprI {
	switch x.Op {
	case token.ADD:
		return func(m *Machine) int64 { return int64(m.n[k]) + n }
	case token.SUB:
		return func(m *Machine) int64 { return int64(m.n[k]) - n }
	case token.MUL:
		return func(m *Machine) int64 { return int64(m.n[k]) * n }
	case token.AND:
		return func(m *Machine) int64 { return int64(m.n[k]) & n }
	case token.REM:
		if n > 0 && n < 1<<31 && !x.T.Unsigned() {
			mod := newModulus(n)
			return func(m *Machine) int64 { return mod.of(int64(m.n[k])) }
		}
	}
	return anyConst(x, func(ir.Expr) exprI { return func(m *Machine) int64 { return int64(m.n[k]) } }, n)
}

func anyConst(x *ir.Binary, compile func(ir.Expr) exprI, n int64) exprI {
	switch x.Op {
	case token.ADD:
		a := compile(x.X)
		return func(m *Machine) int64 { return a(m) + n }
	case token.SUB:
		a := compile(x.X)
		return func(m *Machine) int64 { return a(m) - n }
	case token.MUL:
		a := compile(x.X)
		return func(m *Machine) int64 { return a(m) * n }
	case token.QUO:
		if n > 0 && !x.T.Unsigned() {
			a := compile(x.X)
			return func(m *Machine) int64 { return a(m) / n }
		}
	case token.REM:
		if n > 0 && n < 1<<31 && !x.T.Unsigned() {
			a, mod := compile(x.X), newModulus(n)
			return func(m *Machine) int64 { return mod.of(a(m)) }
		}
	}
	return nil
}

// A modulus computes remainders of a constant divisor below 2^31 by a
// multiplication: Lemire, Kaser, Kurz: Faster remainder by direct computation,
// 2019, section 3. It is exact for dividends below 2^32.
type modulus struct {
	d int64
	r uint64 // 2^64/d, rounded up
}

func newModulus(d int64) modulus { return modulus{d, ^uint64(0)/uint64(d) + 1} }

func (d modulus) of(n int64) int64 {
	if uint64(n)>>32 != 0 || d.d == 1 {
		return n % d.d
	}
	hi, _ := bits.Mul64(d.r*uint64(n), uint64(d.d))
	return int64(hi)
}

func (c *fnCompiler) convertI(x *ir.Convert) exprI {
	from := x.X.Type()
	if from.Float() {
		v := c.F(x.X)
		if x.T.Kind == ir.Uint64 || x.T.Kind == ir.Uint {
			return func(m *Machine) int64 { return int64(uint64(v(m))) }
		}
		return wrap(x.T, func(m *Machine) int64 { return int64(v(m)) })
	}
	v := c.I(x.X)
	if from.Bits() < x.T.Bits() && (from.Unsigned() || !x.T.Unsigned()) || x.T.Bits() == 64 {
		return v
	}
	return wrap(x.T, v)
}

// builtinI compiles the built-in functions with an integer result.
func (c *fnCompiler) builtinI(x *ir.Builtin) exprI {
	switch x.Name {
	case "len", "cap":
		return c.length(x)
	case "copy":
		return c.copyCall(x)
	case "min", "max":
		return c.extremeI(x)
	}
	return c.viaTemp(x).loadIAfter()
}

func (c *fnCompiler) length(x *ir.Builtin) exprI {
	switch t := x.Args[0].Type(); t.Kind {
	case ir.String:
		if k, ok := c.localOf(x.Args[0], ir.Strings); ok {
			return func(m *Machine) int64 { return int64(len(m.s[k])) }
		}
		if conv, ok := x.Args[0].(*ir.Convert); ok && conv.X.Type().Kind == ir.Slice && conv.X.Type().Elem.Kind == ir.Int32 {
			_ = utf8.RuneError
		}
		s := c.S(x.Args[0])
		return func(m *Machine) int64 { return int64(len(s(m))) }
	case ir.Map:
		r := c.R(x.Args[0])
		return func(m *Machine) int64 {
			if mp, ok := r(m).(*Map); ok {
				return int64(mp.len())
			}
			return 0
		}
	}
	v := c.L(x.Args[0])
	if x.Name == "cap" {
		return func(m *Machine) int64 { return int64(v(m).Cap) }
	}
	if k, ok := c.localOf(x.Args[0], ir.Views); ok {
		return func(m *Machine) int64 { return int64(m.l[k].Len) }
	}
	return func(m *Machine) int64 { return int64(v(m).Len) }
}

func (c *fnCompiler) extremeI(x *ir.Builtin) exprI {
	a := c.I(x.Args[0])
	for _, y := range x.Args[1:] {
		p, q := a, c.I(y)
		switch {
		case x.Name == "min" && x.T.Unsigned():
			a = func(m *Machine) int64 { return int64(min(uint64(p(m)), uint64(q(m)))) }
		case x.Name == "min":
			a = func(m *Machine) int64 { return min(p(m), q(m)) }
		case x.T.Unsigned():
			a = func(m *Machine) int64 { return int64(max(uint64(p(m)), uint64(q(m)))) }
		default:
			a = func(m *Machine) int64 { return max(p(m), q(m)) }
		}
	}
	return a
}

// F compiles an expression of floating-point type.
func (c *fnCompiler) F(x ir.Expr) exprF {
	if n, ok := constBits(x); ok {
		f := math.Float64frombits(n)
		return func(*Machine) float64 { return f }
	}
	switch x := x.(type) {
	case *ir.Retype:
		return c.F(x.X)
	case *ir.VarRef, *ir.GlobalRef, *ir.Deref, *ir.Index, *placed, *localRef:
		p, _ := c.place(x)
		return p.loadF()
	case *ir.Select:
		p, pre := c.place(x)
		return after(pre, p.loadF())
	case *ir.Unary:
		v := c.F(x.X)
		return func(m *Machine) float64 { return -v(m) }
	case *ir.Binary:
		return c.binaryF(x)
	case *ir.Convert:
		return c.convertF(x)
	case *ir.Assert:
		if f := c.assertF(x); f != nil {
			return f
		}
	case *ir.Call:
		if x.Fn.Native == "" {
			v := c.callI(x)
			return func(m *Machine) float64 { return math.Float64frombits(uint64(v(m))) }
		}
		if f := c.nativeF(x); f != nil {
			return f
		}
	case *ir.Builtin:
		if x.Name == "min" || x.Name == "max" {
			return c.extremeF(x)
		}
	}
	t := c.viaTemp(x)
	return after(t.fill, t.loadF())
}

func round32(t *ir.Type, v exprF) exprF {
	if t.Kind == ir.Float32 {
		return func(m *Machine) float64 { return float64(float32(v(m))) }
	}
	return v
}

func (c *fnCompiler) binaryF(x *ir.Binary) exprF {
	a, b := c.F(x.X), c.F(x.Y)
	k, isLocal := c.localOf(x.X, ir.Words)
	switch x.Op {
	case token.ADD:
		if isLocal {
			return round32(x.T, func(m *Machine) float64 { return math.Float64frombits(m.n[k]) + b(m) })
		}
		return round32(x.T, func(m *Machine) float64 { return a(m) + b(m) })
	case token.SUB:
		if j, ok := c.localOf(x.Y, ir.Words); ok && isLocal {
			return round32(x.T, func(m *Machine) float64 { return math.Float64frombits(m.n[k]) - math.Float64frombits(m.n[j]) })
		}
		if isLocal {
			return round32(x.T, func(m *Machine) float64 { return math.Float64frombits(m.n[k]) - b(m) })
		}
		return round32(x.T, func(m *Machine) float64 { return a(m) - b(m) })
	case token.MUL:
		if f := c.product(x); f != nil {
			return f
		}
		return round32(x.T, func(m *Machine) float64 { return a(m) * b(m) })
	}
	return round32(x.T, func(m *Machine) float64 { return a(m) / b(m) })
}

func (c *fnCompiler) convertF(x *ir.Convert) exprF {
	from := x.X.Type()
	switch {
	case from.Float():
		return round32(x.T, c.F(x.X))
	case from.Unsigned() && from.Bits() == 64:
		v := c.I(x.X)
		if x.T.Kind == ir.Float32 {
			return func(m *Machine) float64 { return float64(float32(uint64(v(m)))) }
		}
		return func(m *Machine) float64 { return float64(uint64(v(m))) }
	}
	if k, ok := c.localOf(x.X, ir.Words); ok && x.T.Kind == ir.Float64 {
		return func(m *Machine) float64 { return float64(int64(m.n[k])) }
	}
	v := c.I(x.X)
	if x.T.Kind == ir.Float32 {
		return func(m *Machine) float64 { return float64(float32(v(m))) }
	}
	return func(m *Machine) float64 { return float64(v(m)) }
}

func (c *fnCompiler) extremeF(x *ir.Builtin) exprF {
	a := c.F(x.Args[0])
	for _, y := range x.Args[1:] {
		p, q := a, c.F(y)
		if x.Name == "min" {
			a = func(m *Machine) float64 { return min(p(m), q(m)) }
		} else {
			a = func(m *Machine) float64 { return max(p(m), q(m)) }
		}
	}
	return a
}
