package difftest

import (
	"fmt"
	"strings"
)

// stmt writes one statement. Every loop makes few turns, so that programs end.
func (g *gen) stmt() {
	if g.depth > 3 {
		g.assign()
		return
	}
	switch g.n(20) {
	case 0, 1, 2, 3:
		g.declare()
	case 4, 5, 6, 7:
		g.assign()
	case 8, 9:
		g.ifStmt()
	case 10:
		g.forStmt()
	case 11:
		g.rangeStmt()
	case 12:
		g.switchStmt()
	case 13:
		g.typeSwitch()
	case 14:
		g.closure()
	case 15:
		g.collect()
	case 16:
		g.multi()
	case 17:
		if !g.inFunc {
			g.line(`out += fmt.Sprintf(%q, %s)`, []string{"%v,", "%v|", "<%v>"}[g.n(3)], g.expr(g.basic(), 3))
			return
		}
		g.assign()
	case 18:
		g.mapStmt()
	case 19:
		g.alias()
	}
}

// scope writes statements in braces; what they declare is gone afterwards.
func (g *gen) scope(head, tail string, f func()) {
	mark := len(g.vars)
	g.line("%s", head)
	g.indent++
	g.depth++
	f()
	g.depth--
	g.indent--
	g.vars = g.vars[:mark]
	g.line("%s", tail)
}

func (g *gen) some() {
	for range 1 + g.n(3) {
		g.stmt()
	}
}

func (g *gen) add(name string, t *typ) {
	g.line("_ = %s", name)
	g.vars = append(g.vars, variable{name, t, false})
}

func (g *gen) declare() {
	t := g.anyTyp(2)
	name := g.fresh("v")
	switch g.n(3) {
	case 0:
		g.line("var %s %s", name, t.name)
	case 1:
		g.line("var %s %s = %s", name, t.name, g.expr(t, 3))
	default:
		g.line("%s := %s(%s)", name, paren(t), g.expr(t, 3))
	}
	g.add(name, t)
}

func paren(t *typ) string {
	if t.kind == "ptr" || t.kind == "func" {
		return "(" + t.name + ")"
	}
	return t.name
}

// pick returns a variable of a kind.
func (g *gen) pick(ok func(*typ) bool) (variable, bool) {
	var list []variable
	for _, v := range g.vars {
		if ok(v.t) {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return variable{}, false
	}
	return list[g.n(len(list))], true
}

func (g *gen) assign() {
	v, ok := g.pick(func(t *typ) bool { return true })
	if !ok || v.ro {
		g.declareIn()
		return
	}
	x, t := v.name, v.t
	for range g.n(3) {
		switch t.kind {
		case "struct":
			f := t.fields[g.n(len(t.fields))]
			x, t = x+"."+f.name, f.t
		case "array":
			x, t = fmt.Sprintf("%s[%d]", x, g.n(t.n)), t.elem
		case "slice":
			if g.chance(80) {
				g.scope(fmt.Sprintf("if len(%s) > 0 {", x), "}", func() {
					i := fmt.Sprintf("(%s)%%len(%s)", g.index(), x)
					g.set(fmt.Sprintf("%s[%s]", x, i), t.elem)
				})
				return
			}
		}
	}
	g.set(x, t)
}

func (g *gen) index() string { return g.nonNegative(2) }

func (g *gen) declareIn() {
	t := g.basic()
	name := g.fresh("v")
	g.line("%s := %s(%s)", name, t.name, g.expr(t, 2))
	g.add(name, t)
}

func (g *gen) set(x string, t *typ) {
	if t.kind == "int" && g.chance(40) {
		op := []string{"+=", "-=", "*=", "^=", "|=", "&=", "&^="}[g.n(7)]
		if g.chance(20) {
			g.line("%s%s", x, []string{"++", "--"}[g.n(2)])
			return
		}
		g.line("%s %s %s", x, op, g.expr(t, 2))
		return
	}
	if t.kind == "string" && g.chance(40) {
		g.scope(fmt.Sprintf("if len(%s) < 100 {", x), "}", func() { g.line("%s += %s", x, g.expr(t, 2)) })
		return
	}
	if t.kind == "slice" && g.chance(50) {
		g.line("%s = append(%s, %s)", x, x, g.expr(t.elem, 2))
		return
	}
	g.line("%s = %s", x, g.expr(t, 3))
}

func (g *gen) ifStmt() {
	g.scope("if "+g.expr(boolType, 3)+" {", "} else {", g.some)
	g.indent++
	mark := len(g.vars)
	g.depth++
	g.some()
	if g.inFunc && g.loops == 0 && g.chance(15) {
		g.ret()
	}
	g.depth--
	g.vars = g.vars[:mark]
	g.indent--
	g.line("}")
}

func (g *gen) forStmt() {
	if g.loops >= 2 {
		g.assign()
		return
	}
	g.loops++
	defer func() { g.loops-- }()
	i := g.fresh("i")
	label := ""
	if g.chance(20) {
		label = g.fresh("L")
		g.line("%s:", label)
	}
	head := fmt.Sprintf("for %s := 0; %s < %d; %s++ {", i, i, 1+g.n(5), i)
	if g.chance(30) {
		head = fmt.Sprintf("for %s := range %d {", i, 1+g.n(5))
	}
	g.scope(head, "}", func() {
		g.line("_ = %s", i)
		g.vars = append(g.vars, variable{i, intType, true})
		g.some()
		switch g.n(5) {
		case 0:
			g.line("if %s { break }", g.expr(boolType, 2))
		case 1:
			g.line("if %s { continue }", g.expr(boolType, 2))
		}
		if label != "" {
			g.line("if %s { %s %s }", g.expr(boolType, 2), []string{"break", "continue"}[g.n(2)], label)
		}
		g.some()
	})
}

func (g *gen) rangeStmt() {
	if g.loops >= 2 {
		g.assign()
		return
	}
	g.loops++
	defer func() { g.loops-- }()
	k, v := g.fresh("k"), g.fresh("e")
	x, ok := g.pick(func(t *typ) bool { return t.kind == "slice" || t.kind == "array" || t.kind == "string" })
	if !ok {
		return
	}
	elem := x.t.elem
	over := x.name
	if x.t.kind == "string" {
		elem = &typ{name: "int32", kind: "int", bits: 32}
		if x.t.named {
			over = "string(" + over + ")"
		}
		over = fmt.Sprintf("%s[:min(len(%s), 6)]", over, over)
	} else if x.t.kind == "slice" {
		over = fmt.Sprintf("%s[:min(len(%s), 5)]", over, over)
	}
	seq := g.chance(25) && x.t.kind == "slice"
	if seq {
		over = "slices.All(" + over + ")"
	}
	g.scope(fmt.Sprintf("for %s, %s := range %s {", k, v, over), "}", func() {
		g.line("_, _ = %s, %s", k, v)
		g.vars = append(g.vars, variable{k, intType, true}, variable{v, elem, false})
		g.some()
		if g.chance(20) {
			g.line("if %s { %s }", g.expr(boolType, 2), []string{"break", "continue"}[g.n(2)])
		}
	})
}

func (g *gen) switchStmt() {
	t := g.basic()
	if t.kind == "bool" || t.kind == "float" {
		g.scope("switch {", "}", func() {
			for range 1 + g.n(3) {
				g.caseBody(g.expr(boolType, 2))
			}
		})
		return
	}
	seen := map[string]bool{}
	g.scope(fmt.Sprintf("switch %s {", g.expr(t, 2)), "}", func() {
		for range 1 + g.n(3) {
			c := g.literal(t)
			if !seen[c] {
				seen[c] = true
				g.caseBody(c)
			}
		}
		g.line("default:")
		g.some()
	})
}

func (g *gen) caseBody(c string) {
	mark := len(g.vars)
	g.line("case %s:", c)
	g.some()
	g.vars = g.vars[:mark]
}

func (g *gen) typeSwitch() {
	t := g.basic()
	x := g.fresh("x")
	g.line("var %s any = %s(%s)", x, t.name, g.expr(t, 2))
	y := g.fresh("y")
	g.scope(fmt.Sprintf("switch %s := %s.(type) {", y, x), "}", func() {
		seen := map[string]bool{}
		for range 3 {
			ct := g.basic()
			if seen[ct.name] {
				continue
			}
			seen[ct.name] = true
			mark := len(g.vars)
			g.line("case %s:", ct.name)
			g.line("_ = %s", y)
			g.vars = append(g.vars, variable{y, ct, false})
			g.some()
			g.vars = g.vars[:mark]
		}
		g.line("default:")
		g.line("_ = %s", y)
	})
}

func (g *gen) closure() {
	v, ok := g.pick(func(t *typ) bool { return t.kind == "int" || t.kind == "string" })
	if !ok || v.ro || strings.Contains(v.name, ".") {
		g.assign()
		return
	}
	f := g.fresh("fn")
	p := g.fresh("q")
	mark := len(g.vars)
	inFunc, res, loops := g.inFunc, g.result, g.loops
	g.line("%s := func(%s %s) %s {", f, p, v.t.name, v.t.name)
	g.indent++
	g.depth++
	g.loops = 2
	g.vars = append(g.vars, variable{p, v.t, false})
	g.result, g.inFunc = []*typ{v.t}, true
	g.some()
	g.set(v.name, v.t)
	g.ret()
	g.inFunc, g.result, g.loops = inFunc, res, loops
	g.depth--
	g.indent--
	g.line("}")
	g.vars = g.vars[:mark]
	g.line("%s = %s(%s)", v.name, f, g.expr(v.t, 2))
}

// collect makes functions in a loop and calls them afterwards: each has the
// loop's variable of its own turn.
func (g *gen) collect() {
	fs, i := g.fresh("fs"), g.fresh("i")
	if g.inFunc {
		g.assign()
		return
	}
	g.line("var %s []func() int", fs)
	g.line("for %s := 0; %s < 3; %s++ {", i, i, i)
	g.line("\t%s = append(%s, func() int { %s += %d; return %s })", fs, fs, i, g.n(3), i)
	g.line("}")
	g.line("for _, f := range %s { out += fmt.Sprint(f(), f(), \",\") }", fs)
}

// multi calls a function with several results.
func (g *gen) multi() {
	if len(g.funcs) == 0 {
		g.declare()
		return
	}
	f := g.funcs[g.n(len(g.funcs))]
	var names []string
	for range f.results {
		names = append(names, g.fresh("r"))
	}
	g.line("%s := %s", strings.Join(names, ", "), g.callOf(f, 2))
	for i, t := range f.results {
		if t.kind == "error" {
			g.line("_ = %s", names[i])
			continue
		}
		g.add(names[i], t)
	}
}

func (g *gen) mapStmt() {
	m, ok := g.pick(func(t *typ) bool { return t.kind == "map" })
	if !ok {
		g.declare()
		return
	}
	switch g.n(5) {
	case 0, 1:
		g.scope(fmt.Sprintf("if %s != nil {", m.name), "}", func() {
			g.line("%s[%s] = %s", m.name, g.expr(m.t.key, 1), g.expr(m.t.elem, 2))
		})
	case 2:
		g.line("delete(%s, %s)", m.name, g.expr(m.t.key, 1))
	case 3:
		v, ok := g.fresh("v"), g.fresh("ok")
		g.line("%s, %s := %s[%s]", v, ok, m.name, g.expr(m.t.key, 1))
		g.add(v, m.t.elem)
		g.add(ok, boolType)
	case 4:
		n := g.fresh("n")
		g.line("%s := 0", n)
		g.line("for k := range %s { %s += len(fmt.Sprint(k)) }", m.name, n)
		g.add(n, intType)
	}
}

// alias makes two names for one storage, and swaps elements.
func (g *gen) alias() {
	s, ok := g.pick(func(t *typ) bool { return t.kind == "slice" })
	if !ok {
		g.declare()
		return
	}
	switch g.n(3) {
	case 0:
		v := g.fresh("v")
		g.line("%s := %s[:len(%s)/2]", v, s.name, s.name)
		g.add(v, s.t)
	case 1:
		g.line("if len(%s) > 1 { %s[0], %s[1] = %s[1], %s[0] }", s.name, s.name, s.name, s.name, s.name)
	case 2:
		v := g.fresh("v")
		g.line("%s := append(%s[:len(%s):len(%s)], %s...)", v, s.name, s.name, s.name, s.name)
		g.line("if len(%s) > 8 { %s = %s[:8] }", v, v, v)
		g.add(v, s.t)
	}
}
