package vm

import (
	"math"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// store returns the statement that sets the slots of p to the value of x. p
// holds nothing yet that anybody else sees.
func (c *fnCompiler) store(p place, x ir.Expr) exec {
	t := x.Type()
	switch t.Class() {
	case ir.Words:
		return c.storeWord(p, x)
	case ir.Strings:
		v := c.S(x)
		if p.reg {
			k := uint8(p.base[1])
			return func(m *Machine) ctl { m.s[k] = v(m); return next }
		}
		addr, s, d := p.addr, int(p.stride[1]), int(p.at[1])
		return func(m *Machine) ctl {
			val := v(m)
			a, i := addr(m)
			a.S[i*s+d] = val
			return next
		}
	case ir.Views:
		v := c.ownedL(x)
		if p.reg {
			k := uint8(p.base[2])
			return func(m *Machine) ctl { m.l[k] = v(m); return next }
		}
		addr, s, d := p.addr, int(p.stride[2]), int(p.at[2])
		return func(m *Machine) ctl {
			val := v(m)
			a, i := addr(m)
			a.L[i*s+d] = val
			return next
		}
	case ir.Refs:
		v := c.R(x)
		if p.reg {
			k := uint8(p.base[3])
			return func(m *Machine) ctl { m.r[k] = v(m); return next }
		}
		addr, s, d := p.addr, int(p.stride[3]), int(p.at[3])
		return func(m *Machine) ctl {
			val := v(m)
			a, i := addr(m)
			a.R[i*s+d] = val
			return next
		}
	}
	return c.storeBlock(p, x)
}

func (c *fnCompiler) storeWord(p place, x ir.Expr) exec {
	t := x.Type()
	if !p.reg {
		v := c.word(x)
		addr, s, d := p.addr, int(p.stride[0]), int(p.at[0])
		return func(m *Machine) ctl {
			val := v(m)
			a, i := addr(m)
			a.N[i*s+d] = uint64(val)
			return next
		}
	}
	k := uint8(p.base[0])
	if n, ok := constBits(x); ok {
		return func(m *Machine) ctl { m.n[k] = n; return next }
	}
	switch {
	case t.Float():
		v := c.F(x)
		return func(m *Machine) ctl { m.n[k] = math.Float64bits(v(m)); return next }
	case t.Kind == ir.Bool:
		v := c.B(x)
		return func(m *Machine) ctl { m.n[k] = bit(v(m)); return next }
	}
	v := c.I(x)
	return func(m *Machine) ctl { m.n[k] = uint64(v(m)); return next }
}

func constBits(x ir.Expr) (uint64, bool) {
	switch x := x.(type) {
	case *ir.Const:
		return x.Bits, x.T.Class() == ir.Words
	case *ir.Zero:
		return 0, x.T.Class() == ir.Words
	case *ir.Retype:
		return constBits(x.X)
	}
	return 0, false
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// word returns the bits of any value of class Words.
func (c *fnCompiler) word(x ir.Expr) exprI {
	switch t := x.Type(); {
	case t.Float():
		v := c.F(x)
		return func(m *Machine) int64 { return int64(math.Float64bits(v(m))) }
	case t.Kind == ir.Bool:
		v := c.B(x)
		return func(m *Machine) int64 { return int64(bit(v(m))) }
	}
	return c.I(x)
}

// ownedL is L with a copy of arrays that belong to somebody else.
func (c *fnCompiler) ownedL(x ir.Expr) exprL {
	v := c.L(x)
	t := x.Type()
	if t.Kind != ir.Array || !isPlace(x) {
		return v
	}
	return func(m *Machine) View { return m.cloneArray(t, v(m)) }
}

func (c *fnCompiler) storeBlock(p place, x ir.Expr) exec {
	t := x.Type()
	switch e := x.(type) {
	case *ir.StructLit:
		if p.reg {
			return c.fields(p, e)
		}
	case *ir.Zero:
		if p.reg {
			at, l := p.base, t.Slots
			return func(m *Machine) ctl {
				b := m.block(at, l)
				clear(b.N)
				clear(b.S)
				clear(b.L)
				clear(b.R)
				if t.Arrays {
					m.initArrays(t, &b)
				}
				return next
			}
		}
	case *ir.Retype:
		if !isPlace(e) {
			return c.storeBlock(p, e.X)
		}
	case *ir.Call, *ir.CallValue, *ir.CallMethod, *ir.MapIndex, *ir.Assert, *ir.Let:
		if p.reg {
			return c.tupleTo(p, x)
		}
	}
	src, pre := c.place(x)
	move := c.copyPlace(p, src, t)
	if pre == nil {
		return move
	}
	return sequence([]exec{pre, move})
}

// fields evaluates a struct literal into registers.
func (c *fnCompiler) fields(p place, x *ir.StructLit) exec {
	var list []exec
	for i, f := range x.Fields {
		if ft := x.T.Fields[i]; f == nil {
			list = append(list, c.store(place{reg: true, base: p.base.Add(ft.At)}, &ir.Zero{Typed: ir.Typed{T: ft.Type, P: x.P}}))
		}
	}
	for _, i := range x.Order {
		list = append(list, c.store(place{reg: true, base: p.base.Add(x.T.Fields[i].At)}, x.Fields[i]))
	}
	return sequence(list)
}

// copyPlace copies a value of type t.
func (c *fnCompiler) copyPlace(to, from place, t *ir.Type) exec {
	if t.Class() != ir.Mixed || t.Slots.Total() == 1 && !t.Arrays {
		return copySlot(to, from, t)
	}
	dst, src := to.loadBlock(t.Slots), from.loadBlock(t.Slots)
	arrays := t.Arrays
	return func(m *Machine) ctl {
		b := src(m)
		a := dst(m)
		a.set(&b)
		if arrays {
			m.cloneArrays(t, &a)
		}
		return next
	}
}

func copySlot(to, from place, t *ir.Type) exec {
	l := t.Slots
	switch {
	case l[0] == 1:
		v, set := from.loadI(), to.setI()
		return func(m *Machine) ctl { set(m, v(m)); return next }
	case l[1] == 1:
		v, dst := from.loadS(), to.loadBlock(l)
		return func(m *Machine) ctl { x := v(m); dst(m).S[0] = x; return next }
	case l[2] == 1:
		v, dst := from.loadL(), to.loadBlock(l)
		array := t.Kind == ir.Array
		return func(m *Machine) ctl {
			x := v(m)
			if array {
				x = m.cloneArray(t, x)
			}
			dst(m).L[0] = x
			return next
		}
	}
	v, dst := from.loadR(), to.loadBlock(l)
	return func(m *Machine) ctl { x := v(m); dst(m).R[0] = x; return next }
}

func (p place) setI() func(*Machine, int64) {
	if p.reg {
		k := uint8(p.base[0])
		return func(m *Machine, v int64) { m.n[k] = uint64(v) }
	}
	addr, s, d := p.addr, int(p.stride[0]), int(p.at[0])
	return func(m *Machine, v int64) {
		a, i := addr(m)
		a.N[i*s+d] = uint64(v)
	}
}

// assign is store to a place that may be seen by others: an array keeps its
// storage, and a struct is complete before the first field changes.
func (c *fnCompiler) assign(p place, x ir.Expr) exec {
	t := x.Type()
	if t.Kind == ir.Array {
		v, dst := c.L(x), p.loadL()
		return func(m *Machine) ctl {
			from := v(m)
			to := dst(m)
			if from.A != to.A || from.Off != to.Off {
				m.copyElems(t.Elem, to, from)
			}
			return next
		}
	}
	if t.Class() == ir.Mixed && p.reg && !isPlace(x) {
		tmp := c.newTemp(t)
		return sequence([]exec{c.store(tmp, x), c.copyPlace(p, tmp, t)})
	}
	return c.store(p, x)
}

// cloneArray returns a copy of an array value.
func (m *Machine) cloneArray(t *ir.Type, v View) View {
	out := m.newArrayValue(t)
	m.copyElems(t.Elem, out, v)
	return out
}

// copyElems copies elements between slices or arrays, which may overlap.
func (m *Machine) copyElems(elem *ir.Type, to, from View) int {
	n := int(min(to.Len, from.Len))
	if n == 0 {
		return 0
	}
	a := to.A.part(elem.Slots, int(to.Off), n)
	b := from.A.part(elem.Slots, int(from.Off), n)
	a.set(&b)
	if elem.Arrays {
		for i := range n {
			e := a.part(elem.Slots, i, 1)
			m.cloneArrays(elem, &e)
		}
	}
	return n
}

// newArrayValue returns the zero value of an array type.
func (m *Machine) newArrayValue(t *ir.Type) View {
	v := m.newList(t.Elem, int(t.Len), int(t.Len), 0)
	return v
}

// newList makes storage for a slice or array.
func (m *Machine) newList(elem *ir.Type, n, capacity int, pos int32) View {
	if int64(capacity) > 1<<31-1 {
		m.fail(pos, "makeslice: len out of range")
	}
	m.Charge(96 + int64(capacity)*max(1, elem.Slots.Bytes()))
	a := newArray(elem.Slots, capacity)
	if elem.Arrays {
		for i := range capacity {
			e := a.part(elem.Slots, i, 1)
			m.initArrays(elem, &e)
		}
	}
	return View{A: a, Len: int32(n), Cap: int32(capacity)}
}

// initArrays gives the arrays in one value their storage.
func (m *Machine) initArrays(t *ir.Type, a *Array) {
	m.eachArray(t, ir.Layout{}, func(at *ir.Type, k int32) { a.L[k] = m.newArrayValue(at) })
}

// missingArrays is initArrays for the arrays that have no storage yet.
func (m *Machine) missingArrays(t *ir.Type, a *Array) {
	m.eachArray(t, ir.Layout{}, func(at *ir.Type, k int32) {
		if a.L[k].A == nil {
			a.L[k] = m.newArrayValue(at)
		}
	})
}

// cloneArrays makes the arrays in one value, just copied, its own.
func (m *Machine) cloneArrays(t *ir.Type, a *Array) {
	m.eachArray(t, ir.Layout{}, func(at *ir.Type, k int32) { a.L[k] = m.cloneArray(at, a.L[k]) })
}

func (m *Machine) eachArray(t *ir.Type, at ir.Layout, f func(*ir.Type, int32)) {
	switch {
	case t.Kind == ir.Array:
		f(t, at[ir.Views])
	case t.Kind == ir.Struct && t.Arrays:
		for _, fd := range t.Fields {
			m.eachArray(fd.Type, at.Add(fd.At), f)
		}
	}
}
