package vm

import (
	"github.com/theseus-run/theseus/script/godsl/ir"
)

// L compiles an expression of slice, array or pointer type.
func (c *fnCompiler) L(x ir.Expr) exprL {
	switch x := x.(type) {
	case *ir.Zero:
		if t := x.T; t.Kind == ir.Array {
			return func(m *Machine) View { return m.newArrayValue(t) }
		}
		return func(*Machine) View { return View{} }
	case *ir.Retype:
		return c.L(x.X)
	case *ir.VarRef, *ir.GlobalRef, *ir.Index, *placed:
		p, _ := c.place(x)
		return p.loadL()
	case *ir.Deref:
		p, pre := c.place(x)
		return after(pre, p.loadL())
	case *ir.Select:
		p, pre := c.place(x)
		return after(pre, p.loadL())
	case *ir.Addr:
		return c.addrOf(x)
	case *ir.SliceOf:
		return c.sliceOf(x)
	case *ir.ListLit:
		return c.listLit(x)
	case *ir.Convert:
		return c.convertL(x)
	case *ir.Builtin:
		switch x.Name {
		case "append":
			return c.append(x)
		case "appendlist":
			return c.appendList(x)
		case "make":
			return c.makeSlice(x)
		case "new":
			return c.newPointer(x)
		}
	}
	t := c.viaTemp(x)
	return after(t.fill, t.loadL())
}

// addrOf compiles &x.
func (c *fnCompiler) addrOf(x *ir.Addr) exprL {
	elem := x.T.Elem
	if elem.Kind == ir.Array {
		return c.L(x.X)
	}
	inner := x.X
	for {
		r, ok := inner.(*ir.Retype)
		if !ok {
			break
		}
		inner = r.X
	}
	switch e := inner.(type) {
	case *ir.VarRef:
		if k, ok := c.caught[e.Var]; ok {
			at := k[ir.Views]
			return func(m *Machine) View { return m.caps.L[at] }
		}
		k := uint8(c.vars[e.Var][ir.Views])
		return func(m *Machine) View { return m.l[k] }
	case *ir.Index:
		addr := c.indexAddr(e)
		return func(m *Machine) View {
			a, i := addr(m)
			return View{A: a, Off: int32(i), Len: 1, Cap: 1}
		}
	case *ir.Deref:
		addr := c.derefAddr(e)
		return func(m *Machine) View {
			a, i := addr(m)
			return View{A: a, Off: int32(i), Len: 1, Cap: 1}
		}
	case *ir.Select, *ir.GlobalRef:
		if isPlace(e) {
			p, pre := c.place(e)
			if p.reg {
				fail(x.P, "the address of this value cannot be taken")
			}
			block := p.loadBlock(elem.Slots)
			return after(pre, func(m *Machine) View {
				m.Charge(cellBytes(elem.Slots))
				a := block(m)
				return View{A: &a, Len: 1, Cap: 1}
			})
		}
	}
	return c.cellOf(x.X)
}

// cellOf puts a value into storage of its own and returns the pointer.
func (c *fnCompiler) cellOf(x ir.Expr) exprL {
	t := x.Type()
	tmp := c.newTemp(t)
	fill := c.store(tmp, x)
	l, at, bytes := t.Slots, tmp.base, cellBytes(t.Slots)
	return func(m *Machine) View {
		fill(m)
		m.Charge(bytes)
		a := newArray(l, 1)
		b := m.block(at, l)
		a.set(&b)
		return View{A: a, Len: 1, Cap: 1}
	}
}

func (c *fnCompiler) newPointer(x *ir.Builtin) exprL {
	elem := x.T.Elem
	if len(x.Args) == 1 {
		if elem.Kind == ir.Array {
			return c.ownedL(x.Args[0])
		}
		return c.cellOf(x.Args[0])
	}
	if elem.Kind == ir.Array {
		return func(m *Machine) View { return m.newArrayValue(elem) }
	}
	return func(m *Machine) View { return m.newList(elem, 1, 1, 0) }
}

func (c *fnCompiler) sliceOf(x *ir.SliceOf) exprL {
	s, lo, hi, most := c.L(x.X), c.bound(x.Lo), c.bound(x.Hi), c.bound(x.Max)
	pos := int32(x.P)
	pointer := x.X.Type().Kind == ir.Pointer
	return func(m *Machine) View {
		v := s(m)
		if pointer && v.A == nil {
			m.nilPointer(pos)
		}
		i, j, k := int64(0), int64(v.Len), int64(v.Cap)
		if lo != nil {
			i = lo(m)
		}
		if hi != nil {
			j = hi(m)
		}
		if most != nil {
			if k = most(m); uint64(k) > uint64(v.Cap) {
				m.fail(pos, "slice bounds out of range [::%d] with capacity %d", k, v.Cap)
			}
			if uint64(j) > uint64(k) {
				m.fail(pos, "slice bounds out of range [:%d:%d]", j, k)
			}
		}
		if uint64(j) > uint64(k) {
			m.fail(pos, "slice bounds out of range [:%d] with capacity %d", j, k)
		}
		if uint64(i) > uint64(j) {
			m.fail(pos, "slice bounds out of range [%d:%d]", i, j)
		}
		return View{v.A, v.Off + int32(i), int32(j - i), int32(k - i)}
	}
}

func (c *fnCompiler) listLit(x *ir.ListLit) exprL {
	elem := x.T.Elem
	if x.Len > 1<<20 {
		fail(x.P, "a literal of %d elements is too long", x.Len)
	}
	n := int(x.Len)
	// The storage waits in a register while the elements are evaluated.
	t := c.alloc(ir.Layout{ir.Views: 1})
	k := uint8(t[ir.Views])
	var fill []exec
	for i, v := range x.Vals {
		at := elem.Slots
		for f := range at {
			at[f] *= int32(x.At[i])
		}
		if v, ok := v.(*ir.Zero); ok && v.T.Kind != ir.Array && !v.T.Arrays {
			continue
		}
		p := place{addr: func(m *Machine) (*Array, int) { return m.l[k].A, 0 }, at: at}
		c.scoped(func() { fill = append(fill, c.store(p, v)) })
	}
	return func(m *Machine) View {
		m.l[k] = m.newList(elem, n, n, 0)
		for _, f := range fill {
			f(m)
		}
		return m.l[k]
	}
}

func (c *fnCompiler) convertL(x *ir.Convert) exprL {
	if x.T.Kind == ir.Array {
		return c.L(x.X)
	}
	s := c.S(x.X)
	if x.T.Elem.Bits() == 8 {
		return func(m *Machine) View { return m.stringToBytes(s(m)) }
	}
	return func(m *Machine) View { return m.stringToRunes(s(m)) }
}

func (c *fnCompiler) makeSlice(x *ir.Builtin) exprL {
	elem := x.T.Elem
	n := c.I(x.Args[0])
	capacity := n
	if len(x.Args) > 1 {
		capacity = c.I(x.Args[1])
	}
	two := len(x.Args) > 1
	pos := int32(x.P)
	return func(m *Machine) View {
		l := n(m)
		k := l
		if two {
			k = capacity(m)
		}
		if l < 0 || l > 1<<31-1 {
			m.fail(pos, "makeslice: len out of range")
		}
		if k < l || k > 1<<31-1 {
			m.fail(pos, "makeslice: cap out of range")
		}
		return m.newList(elem, int(l), int(k), pos)
	}
}

// grow returns s with room for n more elements.
func (m *Machine) grow(elem *ir.Type, s View, n int) View {
	need := int64(s.Len) + int64(n)
	if need <= int64(s.Cap) {
		return s
	}
	capacity := elem.GrownCap(int64(s.Cap), need)
	if capacity > 1<<31-1 {
		capacity = max(need, 1<<31-1)
	}
	out := m.newList(elem, int(s.Len), int(capacity), 0)
	switch m.Work(int(s.Len) / 32); {
	case s.Len == 0:
	case elem.Class() == ir.Words:
		copy(out.A.N, s.A.N[s.Off:s.Off+s.Len])
	case elem.Class() == ir.Strings:
		copy(out.A.S, s.A.S[s.Off:s.Off+s.Len])
	default:
		m.copyElems(elem, out, s)
	}
	return out
}

func (c *fnCompiler) append(x *ir.Builtin) exprL {
	elem := x.T.Elem
	s := c.L(x.Args[0])
	switch elem.Class() {
	case ir.Words:
		v := c.word(x.Args[1])
		return func(m *Machine) View {
			val := s(m)
			n := v(m)
			if val.Len == val.Cap {
				val = m.grow(elem, val, 1)
			}
			val.A.N[val.Off+val.Len] = uint64(n)
			val.Len++
			return val
		}
	case ir.Strings:
		v := c.S(x.Args[1])
		return func(m *Machine) View {
			val := s(m)
			str := v(m)
			if val.Len == val.Cap {
				val = m.grow(elem, val, 1)
			}
			val.A.S[val.Off+val.Len] = str
			val.Len++
			return val
		}
	}
	tmp := c.newTemp(elem)
	fill := c.store(tmp, x.Args[1])
	l, at := elem.Slots, tmp.base
	k := uint8(c.alloc(ir.Layout{ir.Views: 1})[ir.Views])
	return func(m *Machine) View {
		m.l[k] = s(m)
		fill(m)
		val := m.l[k]
		if val.Len == val.Cap {
			val = m.grow(elem, val, 1)
		}
		a := val.A.part(l, int(val.Off+val.Len), 1)
		b := m.block(at, l)
		a.set(&b)
		val.Len++
		return val
	}
}

func (c *fnCompiler) appendList(x *ir.Builtin) exprL {
	elem := x.T.Elem
	s := c.L(x.Args[0])
	k := uint8(c.alloc(ir.Layout{ir.Views: 1})[ir.Views])
	var list exprL
	if x.Args[1].Type().Kind == ir.String {
		str := c.S(x.Args[1])
		list = func(m *Machine) View { return m.stringToBytes(str(m)) }
	} else {
		list = c.L(x.Args[1])
	}
	return func(m *Machine) View {
		m.l[k] = s(m)
		more := list(m)
		val := m.l[k]
		if more.Len == 0 {
			return val
		}
		m.Work(int(more.Len) / 16)
		val = m.grow(elem, val, int(more.Len))
		m.copyElems(elem, View{val.A, val.Off + val.Len, more.Len, more.Len}, more)
		val.Len += more.Len
		return val
	}
}

func (c *fnCompiler) copyCall(x *ir.Builtin) exprI {
	to := c.L(x.Args[0])
	elem := x.Args[0].Type().Elem
	if x.Args[1].Type().Kind == ir.String {
		s := c.S(x.Args[1])
		return func(m *Machine) int64 {
			v := to(m)
			str := s(m)
			n := min(int(v.Len), len(str))
			m.Work(n / 16)
			for i := range n {
				v.A.N[int(v.Off)+i] = uint64(str[i])
			}
			return int64(n)
		}
	}
	from := c.L(x.Args[1])
	return func(m *Machine) int64 {
		v := to(m)
		w := from(m)
		m.Work(int(min(v.Len, w.Len)) / 16)
		return int64(m.copyElems(elem, v, w))
	}
}
