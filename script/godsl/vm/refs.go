package vm

import (
	"math"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// R compiles an expression of map, func or interface type.
func (c *fnCompiler) R(x ir.Expr) exprR {
	switch x := x.(type) {
	case *ir.Zero:
		return func(*Machine) any { return nil }
	case *ir.Retype:
		return c.R(x.X)
	case *ir.VarRef, *ir.GlobalRef, *ir.Deref, *ir.Index, *placed, *localRef:
		p, _ := c.place(x)
		return p.loadR()
	case *ir.Select:
		p, pre := c.place(x)
		return after(pre, p.loadR())
	case *ir.ToInterface:
		return c.box(x)
	case *ir.Assert:
		if !x.OK && x.To.Kind == ir.Interface {
			return c.assertInterface(x)
		}
		if !x.OK && x.To.Class() == ir.Refs {
			return c.assertRef(x)
		}
	case *ir.Closure:
		return c.closure(x)
	case *ir.Bind:
		return c.bind(x)
	case *ir.MapLit:
		return c.mapLit(x)
	case *ir.MapIndex:
		if !x.OK && x.X.Type().Key.Kind == ir.String {
			return c.stringIndexR(x)
		}
	case *ir.Builtin:
		if x.Name == "make" {
			return c.makeMap(x)
		}
	}
	t := c.viaTemp(x)
	return after(t.fill, t.loadR())
}

// box compiles the conversion of a concrete value to an interface.
func (c *fnCompiler) box(x *ir.ToInterface) exprR {
	t := x.X.Type()
	switch t.Class() {
	case ir.Words:
		if n, ok := constBits(x.X); ok {
			v := boxWord(t, n)
			return func(*Machine) any { return v }
		}
		v := c.word(x.X)
		if t.Name == "" && t.Kind == ir.Int {
			return func(m *Machine) any { m.Charge(8); return int(v(m)) }
		}
		if t.Name == "" && t.Kind == ir.Float64 {
			f := c.F(x.X)
			return func(m *Machine) any { m.Charge(8); return f(m) }
		}
		return func(m *Machine) any { m.Charge(16); return boxWord(t, uint64(v(m))) }
	case ir.Strings:
		if k, ok := x.X.(*ir.Const); ok {
			v := boxString(t, k.Str)
			return func(*Machine) any { return v }
		}
		v := c.S(x.X)
		return func(m *Machine) any { m.Charge(16); return boxString(t, v(m)) }
	case ir.Views:
		v := c.ownedL(x.X)
		if t.Kind == ir.Array {
			return func(m *Machine) any { m.Charge(32); return &boxed{t, Array{L: []View{v(m)}}} }
		}
		return func(m *Machine) any { m.Charge(32); return view{t, v(m)} }
	case ir.Refs:
		v := c.R(x.X)
		return func(m *Machine) any { m.Charge(32); return boxRef(t, v(m)) }
	}
	block, l, bytes := c.block(x.X), t.Slots, cellBytes(t.Slots)
	return func(m *Machine) any {
		m.Charge(bytes)
		b := &boxed{t: t}
		b.a.make(l, 1)
		from := block(m)
		b.a.set(&from)
		if t.Arrays {
			m.cloneArrays(t, &b.a)
		}
		return b
	}
}

func boxRef(t *ir.Type, v any) any {
	if mp, ok := v.(*Map); ok && mp.t == t {
		return mp
	}
	return ref{t, v}
}

func boxString(t *ir.Type, s string) any {
	if t.Name == "" {
		return s
	}
	return text{t, s}
}

func boxWord(t *ir.Type, n uint64) any {
	if t.Name != "" {
		return word{t, n}
	}
	switch t.Kind {
	case ir.Bool:
		return n != 0
	case ir.Int:
		return int(n)
	case ir.Int8:
		return int8(n)
	case ir.Int16:
		return int16(n)
	case ir.Int32:
		return int32(n)
	case ir.Int64:
		return int64(n)
	case ir.Uint:
		return uint(n)
	case ir.Uint8:
		return uint8(n)
	case ir.Uint16:
		return uint16(n)
	case ir.Uint32:
		return uint32(n)
	case ir.Uint64:
		return n
	case ir.Float32:
		return float32(math.Float64frombits(n))
	}
	return math.Float64frombits(n)
}

// unboxWord is the inverse of boxWord for values of predeclared types.
func unboxWord(v any) (ir.Kind, uint64) {
	switch v := v.(type) {
	case bool:
		return ir.Bool, bit(v)
	case int:
		return ir.Int, uint64(v)
	case int8:
		return ir.Int8, uint64(v)
	case int16:
		return ir.Int16, uint64(v)
	case int32:
		return ir.Int32, uint64(v)
	case int64:
		return ir.Int64, uint64(v)
	case uint:
		return ir.Uint, uint64(v)
	case uint8:
		return ir.Uint8, uint64(v)
	case uint16:
		return ir.Uint16, uint64(v)
	case uint32:
		return ir.Uint32, uint64(v)
	case uint64:
		return ir.Uint64, v
	case float32:
		return ir.Float32, math.Float64bits(float64(v))
	case float64:
		return ir.Float64, math.Float64bits(v)
	}
	return ir.Invalid, 0
}

// typeOf returns the dynamic type of an interface value, nil for nil.
func (p *Program) typeOf(v any) *ir.Type {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return p.basic[ir.String]
	case *Map:
		return v.t
	case word:
		return v.t
	case text:
		return v.t
	case view:
		return v.t
	case ref:
		return v.t
	case *boxed:
		return v.t
	}
	k, _ := unboxWord(v)
	if k == ir.Invalid {
		return nil
	}
	return p.basic[k]
}

// unbox writes the slots of an interface's value, whose type is known, to b.
func (m *Machine) unbox(v any, b *Array) {
	switch v := v.(type) {
	case string:
		b.S[0] = v
	case *Map:
		b.R[0] = v
	case word:
		b.N[0] = v.n
	case text:
		b.S[0] = v.s
	case view:
		b.L[0] = v.v
	case ref:
		b.R[0] = v.r
	case *boxed:
		b.set(&v.a)
		if v.t.Arrays {
			m.cloneArrays(v.t, b)
		}
	default:
		_, b.N[0] = unboxWord(v)
	}
}

func (c *fnCompiler) typeIs(x *ir.TypeIs) exprB {
	v := c.R(x.X)
	to := x.To
	if f := plainIs(v, to); f != nil {
		return f
	}
	if to.Kind == ir.Interface {
		return func(m *Machine) bool {
			t := m.program.typeOf(v(m))
			if t == nil {
				return false
			}
			_, ok := t.Implements(to)
			return ok
		}
	}
	return func(m *Machine) bool { return m.program.typeOf(v(m)) == to }
}

// assertInterface is x.(I).
func (c *fnCompiler) assertInterface(x *ir.Assert) exprR {
	v, to, pos := c.R(x.X), x.To, int32(x.P)
	return func(m *Machine) any {
		val := v(m)
		m.mustImplement(val, to, pos)
		return val
	}
}

func (m *Machine) mustImplement(val any, to *ir.Type, pos int32) {
	t := m.program.typeOf(val)
	if t == nil {
		m.fail(pos, "interface conversion: interface is nil, not %s", to)
	}
	if missing, ok := t.Implements(to); !ok {
		m.fail(pos, "interface conversion: %s is not %s: missing method %s", t, to, missing)
	}
}

func (c *fnCompiler) assertRef(x *ir.Assert) exprR {
	v, to, from, pos := c.R(x.X), x.To, x.X.Type(), int32(x.P)
	return func(m *Machine) any {
		switch val := v(m).(type) {
		case *Map:
			if val.t == to {
				return val
			}
			m.wrongType(from, val, to, pos)
		case ref:
			if val.t == to {
				return val.r
			}
			m.wrongType(from, val, to, pos)
		default:
			m.wrongType(from, val, to, pos)
		}
		return nil
	}
}

func (m *Machine) wrongType(from *ir.Type, v any, to *ir.Type, pos int32) {
	t := m.program.typeOf(v)
	if t == nil {
		m.fail(pos, "interface conversion: %s is nil, not %s", from, to)
	}
	m.fail(pos, "interface conversion: %s is %s, not %s", from, t, to)
}

// assertTo compiles an assertion into registers: the value, and whether it
// holds for the comma-ok form.
func (c *fnCompiler) assertTo(p place, x *ir.Assert) exec {
	v, to, from, pos := c.R(x.X), x.To, x.X.Type(), int32(x.P)
	at, l := p.base, to.Slots
	okAt := uint8(p.base[0] + l[0])
	holds := func(m *Machine, val any) bool { return m.program.typeOf(val) == to }
	if to.Kind == ir.Interface {
		holds = func(m *Machine, val any) bool {
			t := m.program.typeOf(val)
			if t == nil {
				return false
			}
			_, ok := t.Implements(to)
			return ok
		}
	}
	return func(m *Machine) ctl {
		val := v(m)
		b := m.block(at, l)
		ok := holds(m, val)
		switch {
		case ok && to.Kind == ir.Interface:
			b.R[0] = val
		case ok:
			m.unbox(val, &b)
		case !x.OK:
			m.wrongType(from, val, to, pos)
		default:
			m.zero(to, &b)
		}
		if x.OK {
			m.n[okAt] = bit(ok)
		}
		return next
	}
}

// zero clears the slots of a value.
func (m *Machine) zero(t *ir.Type, b *Array) {
	clear(b.N)
	clear(b.S)
	clear(b.L)
	clear(b.R)
	if t.Arrays {
		m.initArrays(t, b)
	}
}

// equalAny compares interface values.
func (m *Machine) equalAny(a, b any, pos int32) bool {
	switch p := a.(type) {
	case view:
		q, ok := b.(view)
		if !ok || p.t != q.t {
			return false
		}
		if p.t.Kind == ir.Slice {
			m.fail(pos, "comparing uncomparable type %s", p.t)
		}
		return samePointer(p.t, p.v, q.v)
	case *boxed:
		q, ok := b.(*boxed)
		if !ok || p.t != q.t {
			return false
		}
		if !p.t.Comparable() {
			m.fail(pos, "comparing uncomparable type %s", p.t)
		}
		m.nest(pos)
		same := m.equalBlocks(p.t, &p.a, &q.a, pos)
		m.nesting--
		return same
	case *Map, ref:
		if t := m.program.typeOf(a); t == m.program.typeOf(b) {
			m.fail(pos, "comparing uncomparable type %s", t)
		}
		return false
	case word:
		q, ok := b.(word)
		if !ok || p.t != q.t {
			return false
		}
		if p.t.Float() {
			return math.Float64frombits(p.n) == math.Float64frombits(q.n)
		}
		return p.n == q.n
	}
	switch b.(type) {
	case *Map, ref, view, *boxed:
		return false
	}
	return a == b
}

// maxCompared bounds how deep values nest that are compared or used as keys.
const maxCompared = 10000

func (m *Machine) nest(pos int32) {
	m.Work(1)
	if m.nesting++; m.nesting > maxCompared {
		m.fail(pos, "a value nested deeper than %d levels cannot be compared", maxCompared)
	}
}

func (m *Machine) equalArrays(t *ir.Type, a, b View, pos int32) bool {
	l := t.Elem.Slots
	for i := range int(t.Len) {
		p := a.A.part(l, int(a.Off)+i, 1)
		q := b.A.part(l, int(b.Off)+i, 1)
		if !m.equalBlocks(t.Elem, &p, &q, pos) {
			return false
		}
	}
	return true
}

// equalBlocks compares two values of type t in their slots.
func (m *Machine) equalBlocks(t *ir.Type, a, b *Array, pos int32) bool {
	switch t.Class() {
	case ir.Words:
		if t.Float() {
			return math.Float64frombits(a.N[0]) == math.Float64frombits(b.N[0])
		}
		return a.N[0] == b.N[0]
	case ir.Strings:
		return a.S[0] == b.S[0]
	case ir.Views:
		if t.Kind == ir.Array {
			return m.equalArrays(t, a.L[0], b.L[0], pos)
		}
		return samePointer(t, a.L[0], b.L[0])
	case ir.Refs:
		return m.equalAny(a.R[0], b.R[0], pos)
	}
	for _, f := range t.Fields {
		if f.Name == "_" {
			continue
		}
		p, q := a.inner(f.At, f.Type.Slots), b.inner(f.At, f.Type.Slots)
		if !m.equalBlocks(f.Type, &p, &q, pos) {
			return false
		}
	}
	return true
}
