package vm

import (
	"math"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// A place is where a value is: in registers, or in an array. The element is
// found at run time; where in the element the value begins is fixed.
type place struct {
	reg    bool
	base   slots                        // in registers
	addr   func(*Machine) (*Array, int) // in memory: array and number of the element
	stride ir.Layout                    // of the element
	at     ir.Layout                    // in the element
}

// isPlace reports whether x has a place of its own.
func isPlace(x ir.Expr) bool {
	switch x := x.(type) {
	case *ir.VarRef, *ir.GlobalRef, *ir.Deref, *placed, *localRef:
		return true
	case *ir.Index:
		return x.X.Type().Kind != ir.String
	case *ir.Select:
		return isPlace(x.X)
	case *ir.Retype:
		return isPlace(x.X)
	}
	return false
}

// place returns where x is. A value without a place is put into temporary
// registers first, by the closure in pre.
func (c *fnCompiler) place(x ir.Expr) (p place, pre exec) {
	switch x := x.(type) {
	case *ir.VarRef:
		return c.varPlace(x.Var), nil
	case *ir.GlobalRef:
		return c.globalPlace(x.Global), nil
	case *placed:
		return x.p, nil
	case *localRef:
		return place{reg: true, base: slots{ir.Refs: int32(x.k)}}, nil
	case *ir.Retype:
		if isPlace(x.X) {
			return c.place(x.X)
		}
	case *ir.Select:
		p, pre := c.place(x.X)
		f := x.X.Type().Fields[x.Index]
		if p.reg {
			p.base = p.base.Add(f.At)
		} else {
			p.at = p.at.Add(f.At)
		}
		return p, pre
	case *ir.Deref:
		if x.T.Kind == ir.Array { // a pointer to an array is the array's own view
			t := c.newTemp(x.X.Type())
			v, k, pos := c.L(x.X), uint8(t.base[ir.Views]), int32(x.P)
			return t, func(m *Machine) ctl {
				m.l[k] = v(m)
				if m.l[k].A == nil {
					m.nilPointer(pos)
				}
				return next
			}
		}
		return place{addr: c.derefAddr(x), stride: x.T.Slots}, nil
	case *ir.Index:
		if x.X.Type().Kind != ir.String {
			return place{addr: c.indexAddr(x), stride: x.T.Slots}, nil
		}
	}
	t := c.newTemp(x.Type())
	return t, c.store(t, x)
}

func (c *fnCompiler) varPlace(v *ir.Var) place {
	if at, ok := c.caught[v]; ok {
		if v.Boxed {
			k := at[ir.Views]
			return place{addr: func(m *Machine) (*Array, int) { return m.caps.L[k].A, 0 }, stride: v.T.Slots}
		}
		return place{addr: func(m *Machine) (*Array, int) { return m.caps, 0 }, at: at}
	}
	at, ok := c.vars[v]
	if !ok {
		fail(0, "variable %s of %s has no place", v.Name, c.fn.Name)
	}
	if v.Boxed {
		k := uint8(at[ir.Views])
		return place{addr: func(m *Machine) (*Array, int) { return m.l[k].A, 0 }, stride: v.T.Slots}
	}
	return place{reg: true, base: at}
}

func (c *fnCompiler) globalPlace(g *ir.Global) place {
	i := g.Index
	return place{addr: func(m *Machine) (*Array, int) {
		if !m.ready[i] {
			m.initGlobal(i)
		}
		return &m.globals, 0
	}, at: c.prog.globalAt[i]}
}

// initGlobal runs a variable's initialiser when it is first used.
func (m *Machine) initGlobal(i int) {
	f := m.program.globals[i]
	saved := m.save()
	m.enter(0)
	m.open(f)
	f.run(m)
	to := m.globals.inner(m.program.globalAt[i], m.program.globalT[i].Slots)
	from := m.block(f.result[0], m.program.globalT[i].Slots)
	to.set(&from)
	m.restore(&saved)
	m.ready[i] = true
}

// block is a run of registers seen as an array.
func (m *Machine) block(at slots, l ir.Layout) Array {
	var a Array
	if l[0] > 0 {
		a.N = m.n[at[0] : at[0]+l[0]]
	}
	if l[1] > 0 {
		a.S = m.s[at[1] : at[1]+l[1]]
	}
	if l[2] > 0 {
		a.L = m.l[at[2] : at[2]+l[2]]
	}
	if l[3] > 0 {
		a.R = m.r[at[3] : at[3]+l[3]]
	}
	return a
}

// newCell gives a shared variable storage of its own.
func (c *fnCompiler) newCell(v *ir.Var) exec {
	k, l, bytes := uint8(c.vars[v][ir.Views]), v.T.Slots, cellBytes(v.T.Slots)
	return func(m *Machine) ctl {
		m.Charge(bytes)
		m.l[k] = View{A: newArray(l, 1), Len: 1, Cap: 1}
		return next
	}
}

func cellBytes(l ir.Layout) int64 { return 96 + l.Bytes() }

func (m *Machine) nilPointer(pos int32) {
	m.fail(pos, "invalid memory address or nil pointer dereference")
}

func (c *fnCompiler) derefAddr(x *ir.Deref) func(*Machine) (*Array, int) {
	pos := int32(x.P)
	if k, ok := c.localOf(x.X, ir.Views); ok {
		return func(m *Machine) (*Array, int) {
			v := &m.l[k]
			if v.A == nil {
				m.nilPointer(pos)
			}
			return v.A, int(v.Off)
		}
	}
	p := c.L(x.X)
	return func(m *Machine) (*Array, int) {
		v := p(m)
		if v.A == nil {
			m.nilPointer(pos)
		}
		return v.A, int(v.Off)
	}
}

func (m *Machine) outOfRange(pos int32, i int64, n int) {
	if i < 0 {
		m.fail(pos, "index out of range [%d]", i)
	}
	m.fail(pos, "index out of range [%d] with length %d", i, n)
}

func (c *fnCompiler) indexAddr(x *ir.Index) func(*Machine) (*Array, int) {
	pos := int32(x.P)
	i := c.indexValue(x.I)
	check := x.X.Type().Kind == ir.Pointer
	if k, ok := c.localOf(x.X, ir.Views); ok && !check {
		if j, ok := c.localOf(x.I, ir.Words); ok && !x.I.Type().Unsigned() {
			return func(m *Machine) (*Array, int) {
				v, n := &m.l[k], int64(m.n[j])
				if uint64(n) >= uint64(v.Len) {
					m.outOfRange(pos, n, int(v.Len))
				}
				return v.A, int(v.Off) + int(n)
			}
		}
		return func(m *Machine) (*Array, int) {
			n := i(m)
			v := &m.l[k]
			if uint64(n) >= uint64(v.Len) {
				m.outOfRange(pos, n, int(v.Len))
			}
			return v.A, int(v.Off) + int(n)
		}
	}
	s := c.L(x.X)
	return func(m *Machine) (*Array, int) {
		v := s(m)
		n := i(m)
		if check && v.A == nil {
			m.nilPointer(pos)
		}
		if uint64(n) >= uint64(v.Len) {
			m.outOfRange(pos, n, int(v.Len))
		}
		return v.A, int(v.Off) + int(n)
	}
}

// indexValue makes large unsigned values negative, so that they are out of range.
func (c *fnCompiler) indexValue(x ir.Expr) exprI { return c.I(x) }

// localOf returns the register of x when it is an ordinary local variable.
func (c *fnCompiler) localOf(x ir.Expr, class ir.Class) (uint8, bool) {
	for {
		r, ok := x.(*ir.Retype)
		if !ok {
			break
		}
		x = r.X
	}
	if x.Type().Class() != class || !isPlace(x) {
		return 0, false
	}
	switch x.(type) {
	case *ir.VarRef, *ir.Select:
	default:
		return 0, false
	}
	if !regRoot(c, x) {
		return 0, false
	}
	p, _ := c.place(x)
	return uint8(p.base[class]), p.reg
}

// regRoot reports whether x is a variable in registers or a field of one.
func regRoot(c *fnCompiler, x ir.Expr) bool {
	for {
		switch e := x.(type) {
		case *ir.Select:
			x = e.X
		case *ir.Retype:
			x = e.X
		case *ir.VarRef:
			_, caught := c.caught[e.Var]
			return !caught && !e.Var.Boxed
		default:
			return false
		}
	}
}

// Loads, one for each class.

func (p place) loadI() exprI {
	if p.reg {
		k := uint8(p.base[0])
		return func(m *Machine) int64 { return int64(m.n[k]) }
	}
	addr, s, d := p.addr, int(p.stride[0]), int(p.at[0])
	if s == 1 && d == 0 {
		return func(m *Machine) int64 {
			a, i := addr(m)
			return int64(a.N[i])
		}
	}
	return func(m *Machine) int64 {
		a, i := addr(m)
		return int64(a.N[i*s+d])
	}
}

func (p place) loadF() exprF {
	if p.reg {
		k := uint8(p.base[0])
		return func(m *Machine) float64 { return math.Float64frombits(m.n[k]) }
	}
	addr, s, d := p.addr, int(p.stride[0]), int(p.at[0])
	return func(m *Machine) float64 {
		a, i := addr(m)
		return math.Float64frombits(a.N[i*s+d])
	}
}

func (p place) loadB() exprB {
	if p.reg {
		k := uint8(p.base[0])
		return func(m *Machine) bool { return m.n[k] != 0 }
	}
	addr, s, d := p.addr, int(p.stride[0]), int(p.at[0])
	return func(m *Machine) bool {
		a, i := addr(m)
		return a.N[i*s+d] != 0
	}
}

func (p place) loadS() exprS {
	if p.reg {
		k := uint8(p.base[1])
		return func(m *Machine) string { return m.s[k] }
	}
	addr, s, d := p.addr, int(p.stride[1]), int(p.at[1])
	return func(m *Machine) string {
		a, i := addr(m)
		return a.S[i*s+d]
	}
}

func (p place) loadL() exprL {
	if p.reg {
		k := uint8(p.base[2])
		return func(m *Machine) View { return m.l[k] }
	}
	addr, s, d := p.addr, int(p.stride[2]), int(p.at[2])
	return func(m *Machine) View {
		a, i := addr(m)
		return a.L[i*s+d]
	}
}

func (p place) loadR() exprR {
	if p.reg {
		k := uint8(p.base[3])
		return func(m *Machine) any { return m.r[k] }
	}
	addr, s, d := p.addr, int(p.stride[3]), int(p.at[3])
	return func(m *Machine) any {
		a, i := addr(m)
		return a.R[i*s+d]
	}
}

// loadBlock returns the slots of a struct where they are.
func (p place) loadBlock(l ir.Layout) func(*Machine) Array {
	if p.reg {
		at := p.base
		return func(m *Machine) Array { return m.block(at, l) }
	}
	addr, s, d := p.addr, p.stride, p.at
	return func(m *Machine) Array {
		a, i := addr(m)
		at := d
		for f := range at {
			at[f] += int32(i) * s[f]
		}
		return a.inner(at, l)
	}
}
