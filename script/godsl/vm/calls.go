package vm

import (
	"github.com/theseus-run/theseus/script/godsl/ir"
)

// localRef is a register that the compiler itself uses as an expression.
type localRef struct {
	ir.Typed
	k uint8
}

// A call is how the arguments of one call get into the callee's window.
// Arguments that call something themselves go through temporaries of the
// caller first, because their calls use the same free registers.
type arguments struct {
	pre   []exec
	words []wordArg
	texts []textArg
	views []viewArg
	refs  []refArg
}

type (
	wordArg struct {
		k uint8
		x exprI
	}
	textArg struct {
		k uint8
		x exprS
	}
	viewArg struct {
		k uint8
		x exprL
	}
	refArg struct {
		k uint8
		x exprR
	}
)

// params returns where a function of type t expects its arguments, given
// their types with the receiver.
func paramSlots(results []*ir.Type, args []ir.Expr) []slots {
	var at ir.Layout
	for _, r := range results {
		at = at.Add(r.Slots)
	}
	var list []slots
	for _, a := range args {
		list = append(list, at)
		at = at.Add(a.Type().Slots)
	}
	return list
}

func (c *fnCompiler) arguments(to []slots, args []ir.Expr) *arguments {
	out := &arguments{}
	for i, x := range args {
		t := x.Type()
		if t.Class() == ir.Mixed {
			p, pre := c.place(x)
			if !p.reg || calls(x) || t.Arrays {
				tmp := c.newTemp(t)
				move := c.copyPlace(tmp, p, t)
				if pre != nil {
					out.pre = append(out.pre, pre)
				}
				out.pre = append(out.pre, move)
				p = tmp
			} else if pre != nil {
				out.pre = append(out.pre, pre)
			}
			out.spread(to[i], p, t.Slots)
			continue
		}
		if calls(x) {
			tmp := c.newTemp(t)
			out.pre = append(out.pre, c.store(tmp, x))
			out.spread(to[i], tmp, t.Slots)
			continue
		}
		k := to[i]
		switch t.Class() {
		case ir.Words:
			out.words = append(out.words, wordArg{uint8(k[0]), c.word(x)})
		case ir.Strings:
			out.texts = append(out.texts, textArg{uint8(k[1]), c.S(x)})
		case ir.Views:
			out.views = append(out.views, viewArg{uint8(k[2]), c.ownedL(x)})
		case ir.Refs:
			out.refs = append(out.refs, refArg{uint8(k[3]), c.R(x)})
		}
	}
	return out
}

// spread moves a value that is in registers slot by slot.
func (a *arguments) spread(to slots, from place, l ir.Layout) {
	for i := range l[0] {
		k := uint8(from.base[0] + i)
		a.words = append(a.words, wordArg{uint8(to[0] + i), func(m *Machine) int64 { return int64(m.n[k]) }})
	}
	for i := range l[1] {
		k := uint8(from.base[1] + i)
		a.texts = append(a.texts, textArg{uint8(to[1] + i), func(m *Machine) string { return m.s[k] }})
	}
	for i := range l[2] {
		k := uint8(from.base[2] + i)
		a.views = append(a.views, viewArg{uint8(to[2] + i), func(m *Machine) View { return m.l[k] }})
	}
	for i := range l[3] {
		k := uint8(from.base[3] + i)
		a.refs = append(a.refs, refArg{uint8(to[3] + i), func(m *Machine) any { return m.r[k] }})
	}
}

// calls reports whether evaluating x may call something that uses registers.
func calls(x ir.Expr) bool {
	switch x := x.(type) {
	case nil, *ir.Const, *ir.Zero, *ir.VarRef, *ir.Closure, *placed, *localRef:
		return false
	case *ir.Retype:
		return calls(x.X)
	case *ir.Unary:
		return calls(x.X)
	case *ir.Binary:
		return calls(x.X) || calls(x.Y)
	case *ir.Compare:
		return calls(x.X) || calls(x.Y)
	case *ir.Logic:
		return calls(x.X) || calls(x.Y)
	case *ir.Convert:
		return calls(x.X)
	case *ir.Select:
		return calls(x.X)
	case *ir.Deref:
		return calls(x.X)
	case *ir.Index:
		return calls(x.X) || calls(x.I)
	case *ir.ToInterface:
		return calls(x.X)
	case *ir.TypeIs:
		return calls(x.X)
	case *ir.Assert:
		return calls(x.X)
	case *ir.MapIndex:
		return calls(x.X) || calls(x.K)
	}
	return true
}

// fill moves the arguments into the window of f and opens it.
func (a *arguments) fill(m *Machine, f *function, pos int32) {
	for _, p := range a.pre {
		p(m)
	}
	m.enter(pos)
	n, s, l, r := m.n, m.s, m.l, m.r
	tn, ts, tl, tr := m.tn, m.ts, m.tl, m.tr
	m.open(f)
	if len(a.words)+len(a.texts)+len(a.views)+len(a.refs) == 0 {
		return
	}
	// The arguments are read through the caller's windows.
	wn, ws, wl, wr := m.n, m.s, m.l, m.r
	en, es, el, er := m.tn, m.ts, m.tl, m.tr
	m.n, m.s, m.l, m.r = n, s, l, r
	m.tn, m.ts, m.tl, m.tr = tn, ts, tl, tr
	for i := range a.words {
		wn[a.words[i].k] = uint64(a.words[i].x(m))
	}
	for i := range a.texts {
		ws[a.texts[i].k] = a.texts[i].x(m)
	}
	for i := range a.views {
		wl[a.views[i].k] = a.views[i].x(m)
	}
	for i := range a.refs {
		wr[a.refs[i].k] = a.refs[i].x(m)
	}
	m.n, m.s, m.l, m.r = wn, ws, wl, wr
	m.tn, m.ts, m.tl, m.tr = en, es, el, er
}

// run runs the body of f, whose window is open. The result is in the window.
func (f *function) run(m *Machine) {
	if f.i != nil {
		m.n[0] = uint64(f.i(m))
		return
	}
	f.body(m)
}

// A target says what a call calls, at run time: the function, and for a
// literal what it captured.
type target func(*Machine) *Func

// callTo compiles a call whose results go to registers.
func (c *fnCompiler) callTo(p place, f *function, dynamic target, args *arguments, l ir.Layout, pos int32) exec {
	at := p.base
	if dynamic == nil {
		return func(m *Machine) ctl {
			saved := m.save()
			args.fill(m, f, pos)
			f.run(m)
			m.finish(&saved, at, l)
			return next
		}
	}
	return func(m *Machine) ctl {
		// Operands are evaluated before the function is known to be nil.
		fn := dynamic(m)
		saved := m.save()
		if fn == nil {
			for _, p := range args.pre {
				p(m)
			}
			m.nilPointer(pos)
		}
		args.fill(m, fn.fn, pos)
		m.caps = &fn.vals
		fn.fn.run(m)
		m.finish(&saved, at, l)
		return next
	}
}

// finish returns to the caller and hands it the results.
func (m *Machine) finish(saved *frame, at slots, l ir.Layout) {
	n, s, v, r := m.n, m.s, m.l, m.r
	m.restore(saved)
	switch l[0] {
	case 0:
	case 1:
		m.n[uint8(at[0])] = n[0]
	default:
		copy(m.n[at[0]:at[0]+l[0]], n[:l[0]])
	}
	if l[1] > 0 {
		copy(m.s[at[1]:at[1]+l[1]], s[:l[1]])
	}
	if l[2] > 0 {
		copy(m.l[at[2]:at[2]+l[2]], v[:l[2]])
	}
	if l[3] > 0 {
		copy(m.r[at[3]:at[3]+l[3]], r[:l[3]])
	}
}

// tupleTo compiles an expression into registers. It serves the forms that
// have no shorter way.
func (c *fnCompiler) tupleTo(p place, x ir.Expr) exec {
	switch x := x.(type) {
	case *ir.Call:
		if x.Fn.Native != "" {
			if e := c.nativeTo(p, x); e != nil {
				return e
			}
		}
		f := c.function(x.Fn)
		args := c.arguments(paramSlots(x.Fn.Type.Results, x.Args), x.Args)
		return c.callTo(p, f, nil, args, x.T.Slots, int32(x.P))
	case *ir.CallValue:
		fn := c.R(x.X)
		k := uint8(c.alloc(ir.Layout{ir.Refs: 1})[ir.Refs])
		args := c.arguments(paramSlots(x.X.Type().Results, x.Args), x.Args)
		call := c.callTo(p, nil, func(m *Machine) *Func { f, _ := m.r[k].(*Func); return f }, args, x.T.Slots, int32(x.P))
		return func(m *Machine) ctl {
			m.r[k] = fn(m)
			return call(m)
		}
	case *ir.CallMethod:
		return c.callMethodTo(p, x)
	case *ir.MapIndex:
		return c.mapIndexTo(p, x)
	case *ir.Assert:
		return c.assertTo(p, x)
	case *ir.Let:
		return c.letTo(p, x)
	case *ir.Builtin:
		return c.builtinTo(x)
	case *localRef:
		k, to := x.k, uint8(p.base[ir.Refs])
		return func(m *Machine) ctl { m.r[to] = m.r[k]; return next }
	}
	fail(x.Pos(), "an expression of type %s is not supported here (%T)", x.Type(), x)
	return nil
}

func (c *fnCompiler) letTo(p place, x *ir.Let) exec {
	var at slots
	for i, v := range x.Vars {
		s := c.alloc(v.T.Slots)
		if i == 0 {
			at = s
		}
		c.vars[v] = s
	}
	eval := c.tupleTo(place{reg: true, base: at}, x.X)
	if len(x.Vars) == 1 {
		eval = c.store(place{reg: true, base: at}, x.X)
	}
	in := c.into(p, x.In)
	return func(m *Machine) ctl {
		eval(m)
		return in(m)
	}
}

// into evaluates x into registers, or for the effect when x has no value.
func (c *fnCompiler) into(p place, x ir.Expr) exec {
	if x.Type().Kind == ir.Tuple {
		return c.tupleTo(p, x)
	}
	return c.store(p, x)
}

// callMethodTo calls a method of an interface value.
func (c *fnCompiler) callMethodTo(p place, x *ir.CallMethod) exec {
	recv := c.R(x.X)
	k := uint8(c.alloc(ir.Layout{ir.Refs: 1})[ir.Refs])
	var ft *ir.Type
	for _, w := range x.X.Type().Wants {
		if w.Name == x.Name {
			ft = w.Type
		}
	}
	// Arguments go to temporaries: where the parameters begin depends on the
	// receiver's layout.
	tmps := make([]place, len(x.Args))
	var fill []exec
	for i, a := range x.Args {
		tmps[i] = c.newTemp(a.Type())
		fill = append(fill, c.store(tmps[i], a))
	}
	first := ir.Layout{}
	if len(tmps) > 0 {
		first = tmps[0].base
	}
	var in, out ir.Layout
	for _, a := range x.Args {
		in = in.Add(a.Type().Slots)
	}
	for _, r := range ft.Results {
		out = out.Add(r.Slots)
	}
	if len(x.Args) > 1 { // temporaries of the arguments may lie apart
		block := c.alloc(in)
		at := block
		for i, a := range x.Args {
			fill = append(fill, c.copyPlace(place{reg: true, base: at}, tmps[i], a.Type()))
			at = at.Add(a.Type().Slots)
		}
		first = block
	}
	name, pos, at := x.Name, int32(x.P), p.base
	table := c.methods(name)
	return func(m *Machine) ctl {
		m.r[k] = recv(m)
		for _, f := range fill {
			f(m)
		}
		val := m.r[k]
		t := m.program.typeOf(val)
		if t == nil {
			m.nilPointer(pos)
		}
		f := table.find(t)
		saved := m.save()
		args := m.block(first, in)
		m.enter(pos)
		m.open(f)
		m.putArgs(val, t, out, &args, in)
		f.run(m)
		m.finish(&saved, at, out)
		return next
	}
}

// putArgs fills an open window for a method: the receiver, then the arguments.
func (m *Machine) putArgs(val any, t *ir.Type, out ir.Layout, args *Array, in ir.Layout) {
	b := m.block(out, t.Slots)
	m.unbox(val, &b)
	rest := m.block(out.Add(t.Slots), in)
	rest.set(args)
}

// A methodTable finds the function of a method by the receiver's type. It is
// complete once the program is compiled.
type methodTable struct {
	name string
	fns  map[*ir.Type]*function
}

func (t *methodTable) find(of *ir.Type) *function { return t.fns[of] }

// methods returns the table of a method name.
func (c *compiler) methods(name string) *methodTable {
	if t, ok := c.tables[name]; ok {
		return t
	}
	t := &methodTable{name: name, fns: map[*ir.Type]*function{}}
	c.tables[name] = t
	for _, typ := range c.ir.Types.All() {
		if fn := typ.Methods[name]; fn != nil {
			t.fns[typ] = c.function(fn)
		}
	}
	return t
}

// callI is a call with one integer result; the short forms have words only.
func (c *fnCompiler) callI(x *ir.Call) exprI {
	if x.Fn.Native != "" {
		if f := c.nativeI(x); f != nil {
			return f
		}
		t := c.viaTemp(x)
		return t.loadIAfter()
	}
	f := c.function(x.Fn)
	pos := int32(x.P)
	if len(x.Args) == 1 && x.Args[0].Type().Integer() && !calls(x.Args[0]) {
		return c.callOne(f, x, pos)
	}
	args := c.arguments(paramSlots(x.Fn.Type.Results, x.Args), x.Args)
	return func(m *Machine) int64 {
		saved := m.save()
		args.fill(m, f, pos)
		var r int64
		if f.i != nil {
			r = f.i(m)
		} else {
			f.body(m)
			r = int64(m.n[0])
		}
		m.restore(&saved)
		return r
	}
}

// callOne is the call of a function with one integer argument. A function
// that uses words only gets nothing but a window of them.
func (c *fnCompiler) callOne(f *function, x *ir.Call, pos int32) exprI {
	arg := c.I(x.Args[0])
	general := func(m *Machine) int64 {
		a := arg(m)
		saved := m.save()
		m.enter(pos)
		m.open(f)
		m.n[1] = uint64(a)
		f.run(m)
		r := int64(m.n[0])
		m.restore(&saved)
		return r
	}
	short := func(m *Machine, a int64) int64 {
		if m.fuel--; m.fuel < 0 {
			m.tick()
		}
		d := m.depth
		if d >= len(m.calls) {
			m.deeper(pos)
		}
		m.calls[d] = pos
		m.depth = d + 1
		n, tn := m.n, m.tn
		if tn+window > len(m.stackN) {
			m.growN()
		}
		w := (*[window]uint64)(m.stackN[tn:])
		m.tn = tn + int(f.size[0])
		m.n = w
		w[1] = uint64(a)
		var r int64
		if f.i != nil {
			r = f.i(m)
		} else {
			f.body(m)
			r = int64(w[0])
		}
		m.n, m.tn, m.depth = n, tn, d
		return r
	}
	return func(m *Machine) int64 {
		if f.words {
			return short(m, arg(m))
		}
		return general(m)
	}
}
