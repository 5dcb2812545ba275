package difftest

import (
	"fmt"
	"strings"
)

// expr returns an expression of type t.
func (g *gen) expr(t *typ, depth int) string {
	if depth <= 0 || g.chance(20) {
		return g.leaf(t)
	}
	if g.chance(15) {
		if x, ok := g.call(t, depth-1); ok {
			return x
		}
	}
	if g.chance(15) {
		if x, ok := g.part(t); ok {
			return x
		}
	}
	switch t.kind {
	case "int":
		return g.intExpr(t, depth)
	case "float":
		return fmt.Sprintf("(%s %s %s)", g.expr(t, depth-1), []string{"+", "-", "*", "/"}[g.n(4)], g.variableOr(t))
	case "string":
		return g.stringExpr(t, depth)
	case "bool":
		return g.boolExpr(t, depth)
	case "slice":
		return g.sliceExpr(t, depth)
	case "map":
		if g.chance(20) {
			return fmt.Sprintf("maps.Clone(%s)", g.leaf(t))
		}
		return g.leaf(t)
	}
	return g.leaf(t)
}

// leaf returns a variable or a literal.
func (g *gen) leaf(t *typ) string {
	if g.chance(60) {
		if v, ok := g.pick(func(u *typ) bool { return u.name == t.name }); ok {
			return v.name
		}
	}
	return g.value(t)
}

// variableOr returns something that is not a constant, so that the compiler
// has nothing to complain about.
func (g *gen) variableOr(t *typ) string {
	if v, ok := g.pick(func(u *typ) bool { return u.name == t.name }); ok {
		return v.name
	}
	return fmt.Sprintf("func() %s { return %s }()", t.name, g.literal(t))
}

// value returns a literal, typed.
func (g *gen) value(t *typ) string {
	switch t.kind {
	case "int", "float", "string", "bool":
		return g.variableOr(t)
	case "slice", "array":
		n := t.n
		if t.kind == "slice" {
			n = g.n(4)
			if g.chance(10) {
				return fmt.Sprintf("%s(nil)", t.name)
			}
		}
		var xs []string
		for range n {
			xs = append(xs, g.literalOrLeaf(t.elem))
		}
		return fmt.Sprintf("%s{%s}", t.name, strings.Join(xs, ", "))
	case "map":
		if g.chance(10) {
			return fmt.Sprintf("%s(nil)", t.name)
		}
		var xs []string
		seen := map[string]bool{}
		for range g.n(4) {
			k := g.literal(t.key)
			if !seen[k] {
				seen[k] = true
				xs = append(xs, k+": "+g.literalOrLeaf(t.elem))
			}
		}
		return fmt.Sprintf("%s{%s}", t.name, strings.Join(xs, ", "))
	case "struct":
		var xs []string
		for _, f := range t.fields {
			if g.chance(70) {
				xs = append(xs, f.name+": "+g.literalOrLeaf(f.t))
			}
		}
		return fmt.Sprintf("%s{%s}", t.name, strings.Join(xs, ", "))
	case "ptr":
		if g.chance(15) {
			return fmt.Sprintf("(%s)(nil)", t.name)
		}
		return "&" + g.value(t.elem)
	case "error":
		switch g.n(3) {
		case 0:
			return "nil"
		case 1:
			return fmt.Sprintf("errors.New(%q)", g.word())
		}
		return fmt.Sprintf("fmt.Errorf(\"%s: %%w\", errors.New(%q))", g.word(), g.word())
	}
	return "nil"
}

func (g *gen) literalOrLeaf(t *typ) string {
	switch t.kind {
	case "int", "float", "string", "bool":
		if g.chance(60) {
			return g.literal(t)
		}
	}
	return g.leaf(t)
}

func (g *gen) word() string {
	return []string{"", "a", "bc", "Zürich", "x y", "hello", "0", "日本"}[g.n(8)]
}

// literal returns a constant that fits t.
func (g *gen) literal(t *typ) string {
	switch t.kind {
	case "int":
		big := int64(1) << (t.bits - 2)
		switch g.n(6) {
		case 0:
			if t.uns {
				return fmt.Sprint(uint64(big)*3 + 1)
			}
			return fmt.Sprint(-big*2 + int64(g.n(2)))
		case 1:
			return fmt.Sprint(big + int64(g.n(9)))
		}
		n := g.n(20)
		if !t.uns {
			n -= 5
		}
		return fmt.Sprint(n)
	case "float":
		return []string{"0", "1.5", "-2.25", "1e10", "0.1", "3"}[g.n(6)]
	case "string":
		return fmt.Sprintf("%q", g.word())
	}
	return []string{"true", "false"}[g.n(2)]
}

func (g *gen) nonNegative(depth int) string {
	return fmt.Sprintf("int(uint16(%s))", g.expr(intType, depth-1))
}

func (g *gen) intExpr(t *typ, depth int) string {
	x := g.expr(t, depth-1)
	switch g.n(12) {
	case 0, 1, 2:
		return fmt.Sprintf("(%s %s %s)", x, []string{"+", "-", "*"}[g.n(3)], g.variableOr(t))
	case 3:
		return fmt.Sprintf("(%s %s %s)", x, []string{"&", "|", "^", "&^"}[g.n(4)], g.variableOr(t))
	case 4:
		op := []string{"/", "%"}[g.n(2)]
		if g.chance(50) {
			return fmt.Sprintf("(%s %s %d)", x, op, 1+g.n(9))
		}
		return fmt.Sprintf("(%s %s (%s|1))", x, op, g.variableOr(t))
	case 5:
		return fmt.Sprintf("(%s %s %d)", g.variableOr(t), []string{"<<", ">>"}[g.n(2)], g.n(t.bits))
	case 6:
		return fmt.Sprintf("(%s %s uint8(%s))", g.variableOr(t), []string{"<<", ">>"}[g.n(2)], g.nonNegative(1))
	case 7:
		from := g.basic()
		if from.kind == "int" {
			return fmt.Sprintf("%s(%s)", t.name, g.expr(from, depth-1))
		}
		if from.kind == "string" {
			return fmt.Sprintf("%s(len(%s))", t.name, g.expr(from, depth-1))
		}
	case 8:
		return fmt.Sprintf("(%s%s)", []string{"-", "^"}[g.n(2)], "("+x+")")
	case 9:
		return fmt.Sprintf("%s(%s, %s)", []string{"min", "max"}[g.n(2)], x, g.variableOr(t))
	case 10:
		if s, ok := g.pick(func(u *typ) bool {
			return u.kind == "slice" || u.kind == "map" || u.kind == "string"
		}); ok {
			return fmt.Sprintf("%s(len(%s))", t.name, s.name)
		}
	case 11:
		return fmt.Sprintf("%s(strings.%s(%s, %q))", t.name, []string{"Index", "Count", "LastIndex"}[g.n(3)], g.expr(stringType, depth-1), g.word())
	}
	return fmt.Sprintf("(%s + %d)", x, g.n(9))
}

func (g *gen) stringExpr(t *typ, depth int) string {
	s := g.expr(stringType, depth-1)
	x := ""
	switch g.n(10) {
	case 0, 1:
		return fmt.Sprintf("(%s + %s)", g.expr(t, depth-1), g.expr(t, depth-1))
	case 2:
		x = fmt.Sprintf("strconv.Itoa(%s)", g.expr(intType, depth-1))
	case 3:
		x = fmt.Sprintf("strings.%s(%s)", []string{"ToUpper", "ToLower", "TrimSpace"}[g.n(3)], s)
	case 4:
		x = fmt.Sprintf("strings.ReplaceAll(%s, %q, %q)", s, g.word(), g.word())
	case 5:
		b := g.anyTyp(1)
		if b.kind == "ptr" || b.kind == "func" {
			b = intType
		}
		x = fmt.Sprintf("fmt.Sprintf(%q, %s)", []string{"%v", "%d", "%q", "%T", "%5v|", "%x", "%+v", "%#v"}[g.n(8)], g.showExpr(b, depth-1))
	case 6:
		x = fmt.Sprintf("string([]byte(%s))", s)
	case 7:
		x = fmt.Sprintf("string([]rune(%s))", s)
	case 8:
		x = fmt.Sprintf("strings.Join(strings.Split(%s, %q), %q)", s, g.word(), g.word())
	default:
		v := g.variableOr(stringType)
		x = fmt.Sprintf("%s[min(%d, len(%s)):]", v, g.n(4), v)
	}
	if t.name != "string" {
		return fmt.Sprintf("%s(%s)", t.name, x)
	}
	return x
}

// showExpr is an expression whose printed form has no addresses in it.
func (g *gen) showExpr(t *typ, depth int) string {
	if t.addresses() || strings.Contains(t.name, g.prefix) { // names of types have their package in front
		return "1"
	}
	return g.expr(t, depth)
}

func (g *gen) boolExpr(t *typ, depth int) string {
	x := ""
	switch g.n(7) {
	case 0:
		x = fmt.Sprintf("(%s && %s)", g.expr(boolType, depth-1), g.expr(boolType, depth-1))
	case 1:
		x = fmt.Sprintf("(%s || %s)", g.expr(boolType, depth-1), g.expr(boolType, depth-1))
	case 2:
		x = "!" + g.expr(boolType, depth-1)
	case 3:
		u := g.basic()
		if u.kind != "bool" {
			x = fmt.Sprintf("(%s %s %s)", g.expr(u, depth-1), []string{"<", "<=", ">", ">=", "==", "!="}[g.n(6)], g.variableOr(u))
			break
		}
		x = fmt.Sprintf("(%s == %s)", g.expr(u, depth-1), g.variableOr(u))
	case 4:
		x = fmt.Sprintf("strings.%s(%s, %q)", []string{"Contains", "HasPrefix", "HasSuffix", "EqualFold"}[g.n(4)], g.expr(stringType, depth-1), g.word())
	case 5:
		u := g.basic()
		x = fmt.Sprintf("(any(%s) == any(%s))", g.expr(u, depth-1), g.variableOr(g.basic()))
	default:
		x = fmt.Sprintf("(%s %s %s)", g.expr(intType, depth-1), []string{"<", "==", ">="}[g.n(3)], g.variableOr(intType))
	}
	if t.name != "bool" {
		return fmt.Sprintf("%s(%s)", t.name, x)
	}
	return x
}

func (g *gen) sliceExpr(t *typ, depth int) string {
	x := g.leaf(t)
	switch g.n(5) {
	case 0:
		return fmt.Sprintf("append(%s(nil), %s...)", t.name, x)
	case 1:
		return fmt.Sprintf("append(%s, %s)", x, g.expr(t.elem, depth-1))
	case 2:
		return fmt.Sprintf("slices.Clone(%s)", x)
	case 3:
		return fmt.Sprintf("make(%s, %d, %d)", t.name, g.n(3), 3+g.n(3))
	}
	return x
}

// part returns a field or element of type t.
func (g *gen) part(t *typ) (string, bool) {
	v, ok := g.pick(func(u *typ) bool {
		switch u.kind {
		case "array", "map":
			return u.elem.name == t.name
		case "slice":
			return u.elem.name == t.name && g.chance(25) // may be out of range
		case "struct":
			for _, f := range u.fields {
				if f.t.name == t.name {
					return true
				}
			}
		case "ptr":
			for _, f := range u.elem.fields {
				if f.t.name == t.name {
					return g.chance(40) // may be nil
				}
			}
		}
		return false
	})
	if !ok {
		return "", false
	}
	switch v.t.kind {
	case "array":
		return fmt.Sprintf("%s[%s%%%d]", v.name, g.nonNegative(1), v.t.n), true
	case "map":
		return fmt.Sprintf("%s[%s]", v.name, g.expr(v.t.key, 1)), true
	case "slice":
		return fmt.Sprintf("%s[%d]", v.name, g.n(3)), true
	}
	s := v.t
	if s.kind == "ptr" {
		s = s.elem
	}
	for _, f := range s.fields {
		if f.t.name == t.name {
			return v.name + "." + f.name, true
		}
	}
	return "", false
}

// call returns a call with one result of type t.
func (g *gen) call(t *typ, depth int) (string, bool) {
	for _, f := range g.funcs {
		if len(f.results) == 1 && f.results[0].name == t.name && g.chance(50) {
			return g.callOf(f, depth), true
		}
	}
	for _, m := range g.methods {
		if m.results[0].name != t.name {
			continue
		}
		if v, ok := g.pick(func(u *typ) bool { return u.name == m.recv.name }); ok {
			return fmt.Sprintf("%s.%s(%s)", v.name, m.name, g.expr(m.params[0], depth-1)), true
		}
	}
	return "", false
}

func (g *gen) callOf(f function, depth int) string {
	var xs []string
	for _, p := range f.params {
		xs = append(xs, g.expr(p, depth-1))
	}
	return fmt.Sprintf("%s(%s)", f.name, strings.Join(xs, ", "))
}
