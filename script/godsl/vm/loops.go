package vm

import (
	"go/token"
	"unicode/utf8"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// A turn is the body of a loop with its control: it says whether the loop
// goes on, and with what the loop ends otherwise.
type turn struct {
	body      exec
	brk, cont ctl
}

func (c *fnCompiler) turn(l *ir.Label, body []ir.Stmt) turn {
	k := c.label(l)
	return turn{c.list(body), k, k + 1}
}

// after says what a loop does when its body ended with k: go on, or end
// with a control.
func (t *turn) after(k ctl) (end bool, with ctl) {
	switch k {
	case t.cont:
		return false, next
	case t.brk:
		return true, next
	}
	return true, k
}

func (c *fnCompiler) forStmt(s *ir.For) exec {
	if e := c.countingLoop(s); e != nil {
		return e
	}
	t := c.turn(s.Label, s.Body)
	var cond exprB
	if s.Cond != nil {
		cond = c.B(s.Cond)
	}
	post := c.list(s.Post)
	if len(s.Fresh) > 0 {
		post = sequence([]exec{c.freshen(s.Fresh), post})
	}
	return func(m *Machine) ctl {
		for cond == nil || cond(m) {
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					return with
				}
			}
			post(m)
		}
		return next
	}
}

// countingLoop compiles for …; i < n; i++, with i and n integers in registers
// or n constant.
func (c *fnCompiler) countingLoop(s *ir.For) exec {
	cmp, ok := s.Cond.(*ir.Compare)
	if !ok || len(s.Fresh) > 0 || len(s.Post) != 1 || cmp.Op != token.LSS || cmp.X.Type().Kind != ir.Int {
		return nil
	}
	post, ok := s.Post[0].(*ir.Update)
	if !ok || post.Op != token.ADD {
		return nil
	}
	i, isLocal := c.localOf(cmp.X, ir.Words)
	j, same := c.localOf(post.L, ir.Words)
	step, isConst := constBits(post.R)
	if !isLocal || !same || i != j || !isConst {
		return nil
	}
	t := c.turn(s.Label, s.Body)
	if n, ok := constBits(cmp.Y); ok {
		return func(m *Machine) ctl {
			for int64(m.n[i]) < int64(n) {
				if m.fuel--; m.fuel < 0 {
					m.tick()
				}
				if k := t.body(m); k != next {
					if end, with := t.after(k); end {
						return with
					}
				}
				m.n[i] += step
			}
			return next
		}
	}
	if n, ok := c.localOf(cmp.Y, ir.Words); ok {
		return func(m *Machine) ctl {
			for int64(m.n[i]) < int64(m.n[n]) {
				if m.fuel--; m.fuel < 0 {
					m.tick()
				}
				if k := t.body(m); k != next {
					if end, with := t.after(k); end {
						return with
					}
				}
				m.n[i] += step
			}
			return next
		}
	}
	return nil
}

// freshen gives the next turn variables of its own.
func (c *fnCompiler) freshen(vars []*ir.Var) exec {
	var list []exec
	for _, v := range vars {
		k, t, bytes := uint8(c.vars[v][ir.Views]), v.T, cellBytes(v.T.Slots)
		list = append(list, func(m *Machine) ctl {
			m.Charge(bytes)
			a := newArray(t.Slots, 1)
			a.set(m.l[k].A)
			if t.Arrays {
				m.cloneArrays(t, a)
			}
			m.l[k] = View{A: a, Len: 1, Cap: 1}
			return next
		})
	}
	return sequence(list)
}

// loopVar declares the variable of a range loop and returns the statement
// that gives it storage, and the place to set.
func (c *fnCompiler) loopVar(v *ir.Var) (fresh exec, p place) {
	if v.Boxed {
		c.vars[v] = c.alloc(ir.Layout{ir.Views: 1})
		return c.newCell(v), c.varPlace(v)
	}
	c.vars[v] = c.alloc(v.T.Slots)
	return nil, c.varPlace(v)
}

// setter returns what stores a word or block into a loop variable.
func (c *fnCompiler) setWord(v *ir.Var) func(*Machine, int64) {
	if v == nil {
		return nil
	}
	fresh, p := c.loopVar(v)
	set := p.setI()
	if fresh == nil {
		return set
	}
	return func(m *Machine, n int64) {
		fresh(m)
		set(m, n)
	}
}

// setBlock returns what copies element i of an array into a loop variable.
func (c *fnCompiler) setBlock(v *ir.Var) func(*Machine, *Array, int) {
	if v == nil {
		return nil
	}
	fresh, p := c.loopVar(v)
	l := v.T.Slots
	if p.reg && !v.T.Arrays {
		return copyRegs(p.base, l)
	}
	dst, t := p.loadBlock(l), v.T
	return func(m *Machine, from *Array, i int) {
		if fresh != nil {
			fresh(m)
		}
		b := from.part(l, i, 1)
		a := dst(m)
		a.set(&b)
		if t.Arrays {
			m.cloneArrays(t, &a)
		}
	}
}

// copyRegs copies an element into registers.
func copyRegs(at slots, l ir.Layout) func(*Machine, *Array, int) {
	n, s, v, r := int(l[0]), int(l[1]), int(l[2]), int(l[3])
	if n <= 4 && s <= 4 && v+r == 0 {
		return copyFew(uint8(at[0]), uint8(at[1]), n, s)
	}
	return func(m *Machine, from *Array, i int) {
		if n > 0 {
			copy(m.n[at[0]:], from.N[i*n:i*n+n])
		}
		if s > 0 {
			copy(m.s[at[1]:], from.S[i*s:i*s+s])
		}
		if v > 0 {
			copy(m.l[at[2]:], from.L[i*v:i*v+v])
		}
		if r > 0 {
			copy(m.r[at[3]:], from.R[i*r:i*r+r])
		}
	}
}

// copyFew is copyRegs for small structs of words and strings, for which a call
// of memmove takes longer than the copies.
func copyFew(atN, atS uint8, n, s int) func(*Machine, *Array, int) {
	return func(m *Machine, from *Array, i int) {
		if n > 0 {
			k := atN
			for _, w := range from.N[i*n : i*n+n] {
				m.n[k] = w
				k++
			}
		}
		if s > 0 {
			k := atS
			for _, t := range from.S[i*s : i*s+s] {
				m.s[k] = t
				k++
			}
		}
	}
}

func (c *fnCompiler) rangeInt(s *ir.RangeInt) exec {
	n := c.I(s.N)
	set := c.setWord(s.Key)
	unsigned := s.N.Type().Unsigned()
	t := c.turn(s.Label, s.Body)
	return func(m *Machine) ctl {
		end := n(m)
		for i := int64(0); i < end || unsigned && uint64(i) < uint64(end); i++ {
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			if set != nil {
				set(m, i)
			}
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					return with
				}
			}
		}
		return next
	}
}

func (c *fnCompiler) rangeList(s *ir.RangeList) exec {
	switch t := s.X.Type(); t.Kind {
	case ir.String:
		return c.rangeString(s)
	case ir.Map:
		return c.rangeMap(s)
	case ir.Pointer:
		return c.rangeViews(s, t.Elem.Elem)
	default:
		return c.rangeViews(s, t.Elem)
	}
}

func (c *fnCompiler) rangeViews(s *ir.RangeList, elem *ir.Type) exec {
	v := c.L(s.X)
	if s.Val != nil {
		v = c.ownedL(s.X) // range goes over a copy of an array
	}
	fixed := int64(-1)
	if t := s.X.Type(); t.Kind == ir.Pointer {
		fixed = t.Elem.Len
	}
	pos := int32(s.Pos)
	hold := uint8(c.alloc(ir.Layout{ir.Views: 1})[ir.Views])
	key := c.setWord(s.Key)
	if s.Val != nil && elem.Class() == ir.Words {
		return c.rangeWords(s, v, key, hold, pos)
	}
	val := c.setBlock(s.Val)
	t := c.turn(s.Label, s.Body)
	return func(m *Machine) ctl {
		list := v(m)
		n := int(list.Len)
		if list.A == nil && fixed > 0 {
			if val != nil {
				m.nilPointer(pos)
			}
			n = int(fixed)
		}
		m.l[hold] = list
		for i := range n {
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			if key != nil {
				key(m, int64(i))
			}
			if val != nil {
				val(m, list.A, int(list.Off)+i)
			}
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					return with
				}
			}
		}
		return next
	}
}

func (c *fnCompiler) rangeWords(s *ir.RangeList, v exprL, key func(*Machine, int64), hold uint8, pos int32) exec {
	val := c.setWord(s.Val)
	t := c.turn(s.Label, s.Body)
	return func(m *Machine) ctl {
		list := v(m)
		for i := range int(list.Len) {
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			if key != nil {
				key(m, int64(i))
			}
			val(m, int64(list.A.N[int(list.Off)+i]))
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					return with
				}
			}
		}
		return next
	}
}

func (c *fnCompiler) rangeString(s *ir.RangeList) exec {
	str := c.S(s.X)
	key, val := c.setWord(s.Key), c.setWord(s.Val)
	t := c.turn(s.Label, s.Body)
	return func(m *Machine) ctl {
		text := str(m)
		for i := 0; i < len(text); {
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			r, n := utf8.DecodeRuneInString(text[i:])
			if key != nil {
				key(m, int64(i))
			}
			if val != nil {
				val(m, int64(r))
			}
			i += n
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					return with
				}
			}
		}
		return next
	}
}

func (c *fnCompiler) rangeMap(s *ir.RangeList) exec {
	r := c.R(s.X)
	key, val := c.setBlock(s.Key), c.setBlock(s.Val)
	t := c.turn(s.Label, s.Body)
	return func(m *Machine) ctl {
		mp, _ := r(m).(*Map)
		if mp == nil {
			return next
		}
		cu := m.cursor(mp)
		for {
			ki, at, ok := cu.next(m)
			if !ok {
				return next
			}
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			if key != nil {
				key(m, &cu.keys, ki)
			}
			if val != nil {
				val(m, &mp.vals, at)
			}
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					return with
				}
			}
		}
	}
}

// rangeFunc calls an iterator with the loop's body. The body runs in the
// window of the function that has the loop; calls that it makes use registers
// above those of the iterator.
func (c *fnCompiler) rangeFunc(s *ir.RangeFunc) exec {
	fn := c.R(s.X)
	yield := s.X.Type().Params[0]
	var sets []func(*Machine, *Array, int)
	var at []slots
	var from ir.Layout
	from[ir.Words] = 1 // the result of yield
	for i, p := range yield.Params {
		sets = append(sets, c.setBlock(s.Vars[i]))
		at = append(at, from)
		from = from.Add(p.Slots)
	}
	shape := &function{name: c.fn.Name, typ: yield, size: from}
	t := c.turn(s.Label, s.Body)
	params, pos := yield.Params, int32(s.Pos)
	return func(m *Machine) ctl {
		f, _ := fn(m).(*Func)
		if f == nil {
			m.nilPointer(pos)
		}
		home := m.save()
		result, done, active := next, false, true
		call := &Func{fn: shape}
		shaped := *shape
		call.fn = &shaped
		shaped.body = func(m *Machine) ctl {
			if !active {
				m.fail(pos, "range function continued iteration after whole loop exit")
			}
			if done {
				m.fail(pos, "range function continued iteration after function for loop body returned false")
			}
			in := m.save()
			var args [2]Array
			for i, p := range params {
				args[i] = m.block(at[i], p.Slots)
			}
			m.n, m.s, m.l, m.r, m.caps = home.n, home.s, home.l, home.r, home.caps
			for i, set := range sets {
				if set != nil {
					set(m, &args[i], 0)
				}
			}
			if m.fuel--; m.fuel < 0 {
				m.tick()
			}
			goOn := true
			if k := t.body(m); k != next {
				if end, with := t.after(k); end {
					goOn, done, result = false, true, with
				}
			}
			m.n, m.s, m.l, m.r, m.caps = in.n, in.s, in.l, in.r, in.caps
			m.n[0] = bit(goOn)
			return returned
		}
		m.enter(pos)
		m.open(f.fn)
		m.r[f.fn.params[0][ir.Refs]] = call
		m.caps = &f.vals
		f.fn.run(m)
		active = false
		m.restore(&home)
		return result
	}
}
