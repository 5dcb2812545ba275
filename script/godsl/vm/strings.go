package vm

import (
	"go/token"
	"strings"
	"unicode/utf8"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// S compiles an expression of string type.
func (c *fnCompiler) S(x ir.Expr) exprS {
	switch x := x.(type) {
	case *ir.Const:
		s := x.Str
		if len(s) <= maxBoxed && !c.fn.Library {
			c.prog.boxed[s] = s
		}
		return func(*Machine) string { return s }
	case *ir.Zero:
		return func(*Machine) string { return "" }
	case *ir.Retype:
		return c.S(x.X)
	case *ir.VarRef, *ir.GlobalRef, *ir.Deref, *ir.Index, *placed, *localRef:
		p, _ := c.place(x)
		return p.loadS()
	case *ir.Select:
		p, pre := c.place(x)
		return after(pre, p.loadS())
	case *ir.Binary:
		return c.concat(x)
	case *ir.SliceOf:
		return c.substring(x)
	case *ir.Convert:
		return c.convertS(x)
	case *ir.Assert:
		if f := c.assertS(x); f != nil {
			return f
		}
	case *ir.Call:
		if f := c.nativeS(x); f != nil {
			return f
		}
	case *ir.Builtin:
		if x.Name == "min" || x.Name == "max" {
			return c.extremeS(x)
		}
	}
	t := c.viaTemp(x)
	return after(t.fill, t.loadS())
}

// concat flattens a + b + c, so that the text is copied once.
func (c *fnCompiler) concat(x *ir.Binary) exprS {
	parts := c.concatParts(x, nil)
	switch len(parts) {
	case 2:
		a, b := parts[0], parts[1]
		return func(m *Machine) string {
			s := a(m)
			t := b(m)
			m.Charge(int64(len(s) + len(t)))
			return s + t
		}
	case 3:
		a, b, d := parts[0], parts[1], parts[2]
		return func(m *Machine) string {
			s := a(m)
			t := b(m)
			u := d(m)
			m.Charge(int64(len(s) + len(t) + len(u)))
			return s + t + u
		}
	}
	return func(m *Machine) string {
		var few [12]string
		list := few[:0]
		n := 0
		for _, p := range parts {
			s := p(m)
			n += len(s)
			list = append(list, s)
		}
		return m.join(list, n)
	}
}

func (c *fnCompiler) concatParts(x ir.Expr, list []exprS) []exprS {
	if b, ok := x.(*ir.Binary); ok && b.Op == token.ADD {
		return c.concatParts(b.Y, c.concatParts(b.X, list))
	}
	return append(list, c.S(x))
}

func (m *Machine) join(list []string, n int) string {
	m.Charge(int64(n))
	switch len(list) {
	case 4:
		return list[0] + list[1] + list[2] + list[3]
	case 5:
		return list[0] + list[1] + list[2] + list[3] + list[4]
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range list {
		b.WriteString(s)
	}
	return b.String()
}

func (c *fnCompiler) substring(x *ir.SliceOf) exprS {
	s := c.S(x.X)
	lo, hi := c.bound(x.Lo), c.bound(x.Hi)
	pos := int32(x.P)
	return func(m *Machine) string {
		str := s(m)
		i, j := int64(0), int64(len(str))
		if lo != nil {
			i = lo(m)
		}
		if hi != nil {
			j = hi(m)
		}
		if uint64(j) > uint64(len(str)) {
			m.fail(pos, "slice bounds out of range [:%d] with length %d", j, len(str))
		}
		if uint64(i) > uint64(j) {
			m.fail(pos, "slice bounds out of range [%d:%d]", i, j)
		}
		return str[i:j]
	}
}

func (c *fnCompiler) bound(x ir.Expr) exprI {
	if x == nil {
		return nil
	}
	return c.I(x)
}

func (c *fnCompiler) convertS(x *ir.Convert) exprS {
	from := x.X.Type()
	if from.Integer() {
		v := c.I(x.X)
		unsigned := from.Unsigned()
		return func(m *Machine) string {
			n := v(m)
			if n < 0 || n > utf8.MaxRune || unsigned && uint64(n) > utf8.MaxRune {
				n = utf8.RuneError
			}
			m.Charge(4)
			return string(rune(n))
		}
	}
	v := c.L(x.X)
	if from.Elem.Bits() == 8 {
		return func(m *Machine) string { return m.bytesToString(v(m)) }
	}
	return func(m *Machine) string {
		s := v(m)
		m.Charge(int64(s.Len) * 4)
		b := make([]byte, 0, s.Len)
		for i := range s.Len {
			b = utf8.AppendRune(b, rune(int32(s.A.N[s.Off+i])))
		}
		return string(b)
	}
}

func (m *Machine) bytesToString(s View) string {
	if s.Len == 0 {
		return ""
	}
	m.Charge(int64(s.Len))
	b := make([]byte, s.Len)
	for i, n := range s.A.N[s.Off : s.Off+s.Len] {
		b[i] = byte(n)
	}
	return string(b)
}

func (m *Machine) stringToBytes(s string) View {
	m.Charge(96 + 8*int64(len(s)))
	a := &Array{N: make([]uint64, len(s))}
	for i := range len(s) {
		a.N[i] = uint64(s[i])
	}
	return View{A: a, Len: int32(len(s)), Cap: int32(len(s))}
}

func (m *Machine) stringToRunes(s string) View {
	m.Charge(96 + 8*int64(len(s)))
	a := &Array{N: make([]uint64, 0, len(s))}
	for _, r := range s {
		a.N = append(a.N, uint64(int64(r)))
	}
	return View{A: a, Len: int32(len(a.N)), Cap: int32(len(a.N))}
}

func (c *fnCompiler) extremeS(x *ir.Builtin) exprS {
	a := c.S(x.Args[0])
	for _, y := range x.Args[1:] {
		p, q := a, c.S(y)
		if x.Name == "min" {
			a = func(m *Machine) string { return min(p(m), q(m)) }
		} else {
			a = func(m *Machine) string { return max(p(m), q(m)) }
		}
	}
	return a
}
