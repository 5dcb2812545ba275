package vm

import (
	"github.com/theseus-run/theseus/script/godsl/ir"
)

// closure compiles a function literal, or a declared function as a value.
func (c *fnCompiler) closure(x *ir.Closure) exprR {
	f := c.function(x.Fn)
	if len(x.Fn.Captures) == 0 {
		v := &Func{fn: f}
		return func(*Machine) any { return v }
	}
	var move []func(m *Machine, to *Array)
	for i, k := range x.Fn.Captures {
		at := f.caps[i]
		if k.Outer.Boxed {
			cell := c.cell(k.Outer)
			move = append(move, func(m *Machine, to *Array) { to.L[at[ir.Views]] = cell(m) })
			continue
		}
		l := k.Outer.T.Slots
		block := c.varPlace(k.Outer).loadBlock(l)
		move = append(move, func(m *Machine, to *Array) {
			b := block(m)
			a := to.inner(at, l)
			a.set(&b)
		})
	}
	l := f.capSum
	bytes := 128 + l.Bytes()
	return func(m *Machine) any {
		m.Charge(bytes)
		v := &Func{fn: f}
		v.vals.make(l, 1)
		for _, mv := range move {
			mv(m, &v.vals)
		}
		return v
	}
}

// cell returns the view of a boxed variable's storage.
func (c *fnCompiler) cell(v *ir.Var) exprL {
	if at, ok := c.caught[v]; ok {
		k := at[ir.Views]
		return func(m *Machine) View { return m.caps.L[k] }
	}
	k := uint8(c.vars[v][ir.Views])
	return func(m *Machine) View { return m.l[k] }
}

// bind compiles a method value: a function that has the receiver with it.
func (c *fnCompiler) bind(x *ir.Bind) exprR {
	pos := int32(x.P)
	ft := x.T
	var out, in ir.Layout
	for _, r := range ft.Results {
		out = out.Add(r.Slots)
	}
	for _, p := range ft.Params {
		in = in.Add(p.Slots)
	}
	size := out.Add(in)
	var params []slots
	at := out
	for _, p := range ft.Params {
		params = append(params, at)
		at = at.Add(p.Slots)
	}
	if x.Fn == nil {
		recv, table := c.R(x.X), c.methods(x.Name)
		return func(m *Machine) any {
			val := recv(m)
			t := m.program.typeOf(val)
			if t == nil {
				m.nilPointer(pos)
			}
			m.Charge(256)
			return bound(table.find(t), ft, params, size, out, in, t, func(m *Machine, b *Array) { m.unbox(val, b) })
		}
	}
	f := c.function(x.Fn)
	t := x.X.Type()
	tmp := c.newTemp(t)
	fill, block := c.store(tmp, x.X), tmp.loadBlock(t.Slots)
	return func(m *Machine) any {
		m.Charge(256)
		fill(m)
		var own Array
		own.make(t.Slots, 1)
		b := block(m)
		own.set(&b)
		return bound(f, ft, params, size, out, in, t, func(m *Machine, b *Array) {
			b.set(&own)
			if t.Arrays {
				m.cloneArrays(t, b)
			}
		})
	}
}

func bound(f *function, ft *ir.Type, params []slots, size, out, in ir.Layout, t *ir.Type, recv func(*Machine, *Array)) *Func {
	w := &function{name: f.name, typ: ft, size: size, params: params}
	w.body = func(m *Machine) ctl {
		args := m.block(out, in)
		results := m.block(ir.Layout{}, out)
		saved := m.save()
		m.open(f)
		b := m.block(out, t.Slots)
		recv(m, &b)
		rest := m.block(out.Add(t.Slots), in)
		rest.set(&args)
		f.run(m)
		got := m.block(ir.Layout{}, out)
		results.set(&got)
		m.restore(&saved)
		return returned
	}
	return &Func{fn: w}
}
