// Package difftest makes random programs of the language and compares what
// they do here with what they do when the Go toolchain compiles them.
//
// A program is a set of declarations whose names begin with a prefix, so that
// many fit into one package, with a function <prefix>Run() string. [Generate]
// makes one from a seed; the test of this package runs them.
package difftest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Generate returns the declarations of program seed.
func Generate(prefix string, seed uint64) string {
	g := &gen{rng: rand.New(rand.NewPCG(seed, 7)), prefix: prefix}
	g.program()
	return g.out.String()
}

// Imports are the packages that generated programs need.
var Imports = []string{"errors", "fmt", "maps", "slices", "sort", "strconv", "strings"}

// Header is the start of a file of generated programs.
func Header(pkg string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport (\n", pkg)
	for _, im := range Imports {
		fmt.Fprintf(&b, "\t%q\n", im)
	}
	b.WriteString(")\n\nvar (\n\t_ = errors.New\n\t_ = fmt.Sprint\n\t_ = maps.Clone[map[int]int]\n\t_ = slices.Sort[[]int]\n\t_ = sort.Ints\n\t_ = strconv.Itoa\n\t_ = strings.ToUpper\n)\n\n")
	return b.String()
}

// A typ is a type of the generated program.
type typ struct {
	name   string // as source
	kind   string // int, float, string, bool, slice, array, map, struct, ptr, func, any, error
	bits   int
	uns    bool
	elem   *typ
	key    *typ
	n      int
	fields []field
	named  bool
}

type field struct {
	name string
	t    *typ
}

type variable struct {
	name string
	t    *typ
	ro   bool
}

type function struct {
	name    string
	params  []*typ
	results []*typ
	recv    *typ // of a method
}

type gen struct {
	rng     *rand.Rand
	prefix  string
	out     strings.Builder
	indent  int
	vars    []variable
	funcs   []function
	methods []function
	structs []*typ
	nameds  []*typ
	next    int
	depth   int // of statements
	loops   int
	result  []*typ // of the function that is being written
	inFunc  bool
}

var basics = []*typ{
	{name: "int", kind: "int", bits: 64}, {name: "int", kind: "int", bits: 64}, {name: "int", kind: "int", bits: 64},
	{name: "int8", kind: "int", bits: 8}, {name: "int16", kind: "int", bits: 16}, {name: "int32", kind: "int", bits: 32}, {name: "int64", kind: "int", bits: 64},
	{name: "uint", kind: "int", bits: 64, uns: true}, {name: "uint8", kind: "int", bits: 8, uns: true}, {name: "uint16", kind: "int", bits: 16, uns: true},
	{name: "uint32", kind: "int", bits: 32, uns: true}, {name: "uint64", kind: "int", bits: 64, uns: true},
	{name: "float64", kind: "float", bits: 64}, {name: "float32", kind: "float", bits: 32},
	{name: "string", kind: "string"}, {name: "string", kind: "string"}, {name: "bool", kind: "bool"},
}

var (
	intType    = basics[0]
	stringType = basics[14]
	boolType   = basics[16]
	errorType  = &typ{name: "error", kind: "error"}
)

func (g *gen) n(k int) int       { return g.rng.IntN(k) }
func (g *gen) chance(p int) bool { return g.n(100) < p }
func (g *gen) fresh(s string) string {
	g.next++
	return fmt.Sprintf("%s%d", s, g.next)
}

func (g *gen) line(format string, args ...any) {
	g.out.WriteString(strings.Repeat("\t", g.indent))
	fmt.Fprintf(&g.out, format, args...)
	g.out.WriteByte('\n')
}

func (g *gen) program() {
	for range g.n(3) {
		t := &typ{name: g.prefix + g.fresh("T"), kind: "struct", named: true}
		for range 1 + g.n(4) {
			t.fields = append(t.fields, field{g.fresh("F"), g.anyTyp(1)})
		}
		g.line("type %s struct {", t.name)
		for _, f := range t.fields {
			g.line("\t%s %s", f.name, f.t.name)
		}
		g.line("}")
		g.structs = append(g.structs, t)
	}
	if g.chance(40) {
		base := basics[g.n(len(basics))]
		t := *base
		t.name, t.named = g.prefix+g.fresh("N"), true
		g.line("type %s %s", t.name, base.name)
		g.nameds = append(g.nameds, &t)
	}
	for _, s := range g.structs {
		if g.chance(60) {
			g.method(s)
		}
	}
	for range g.n(4) {
		g.function()
	}
	g.generic()
	g.line("func %sRun() string {", g.prefix)
	g.indent++
	g.vars, g.inFunc = nil, false
	g.line(`out := ""`)
	for range 5 + g.n(12) {
		g.stmt()
	}
	for _, v := range g.vars {
		g.line(`out += fmt.Sprintf("%%v;", %s)`, g.show(v.name, v.t))
	}
	g.line("return out")
	g.indent--
	g.line("}")
}

// generic declares two generic functions and makes them known.
func (g *gen) generic() {
	if !g.chance(30) {
		return
	}
	g.line("func %sPick[T any](c bool, a, b T) T {\n\tif c {\n\t\treturn a\n\t}\n\treturn b\n}", g.prefix)
	g.line("func %sFold[T int | int8 | uint16 | float64 | string](xs []T) T {\n\tvar s T\n\tfor _, x := range xs {\n\t\ts += x\n\t}\n\treturn s\n}", g.prefix)
}

// show returns an expression that prints v the same everywhere: pointers and
// functions would show addresses.
func (g *gen) show(x string, t *typ) string {
	switch {
	case t.kind == "func" || t.kind == "ptr":
		return x + " == nil"
	case t.addresses():
		return fmt.Sprintf("%q", t.kind)
	}
	return x
}

// addresses reports whether values of t print addresses.
func (t *typ) addresses() bool {
	switch t.kind {
	case "func", "ptr":
		return true
	case "slice", "array", "map":
		return t.elem.addresses()
	case "struct":
		for _, f := range t.fields {
			if f.t.addresses() {
				return true
			}
		}
	}
	return false
}

func (g *gen) basic() *typ {
	if len(g.nameds) > 0 && g.chance(10) {
		return g.nameds[g.n(len(g.nameds))]
	}
	return basics[g.n(len(basics))]
}

func (g *gen) keyTyp() *typ {
	if g.chance(50) {
		return stringType
	}
	return intType
}

func (g *gen) anyTyp(depth int) *typ {
	if depth <= 0 || g.chance(55) {
		return g.basic()
	}
	switch g.n(8) {
	case 0, 1, 2:
		e := g.anyTyp(depth - 1)
		return &typ{name: "[]" + e.name, kind: "slice", elem: e}
	case 3:
		e := g.anyTyp(depth - 1)
		n := 1 + g.n(4)
		return &typ{name: fmt.Sprintf("[%d]%s", n, e.name), kind: "array", elem: e, n: n}
	case 4, 5:
		k, e := g.keyTyp(), g.anyTyp(depth-1)
		return &typ{name: "map[" + k.name + "]" + e.name, kind: "map", key: k, elem: e}
	case 6:
		if len(g.structs) > 0 {
			s := g.structs[g.n(len(g.structs))]
			if g.chance(30) {
				return &typ{name: "*" + s.name, kind: "ptr", elem: s}
			}
			return s
		}
	}
	return g.basic()
}

func (g *gen) function() {
	f := function{name: g.prefix + g.fresh("f")}
	g.vars = nil
	var params []string
	for range g.n(4) {
		t := g.anyTyp(2)
		name := g.fresh("p")
		f.params = append(f.params, t)
		params = append(params, name+" "+t.name)
		g.vars = append(g.vars, variable{name, t, false})
	}
	for range 1 + g.n(2) {
		f.results = append(f.results, g.anyTyp(1))
	}
	if g.chance(20) {
		f.results = append(f.results, errorType)
	}
	g.body(fmt.Sprintf("func %s(%s) %s {", f.name, strings.Join(params, ", "), results(f.results)), f.results)
	g.funcs = append(g.funcs, f)
}

func results(list []*typ) string {
	if len(list) == 1 {
		return list[0].name
	}
	var names []string
	for _, t := range list {
		names = append(names, t.name)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

func (g *gen) method(s *typ) {
	f := function{name: g.fresh("M"), recv: s, results: []*typ{g.basic()}}
	recv := s.name
	if g.chance(50) {
		recv = "*" + s.name
	}
	g.vars = nil
	for _, fd := range s.fields {
		g.vars = append(g.vars, variable{"r." + fd.name, fd.t, false})
	}
	p := g.basic()
	f.params = []*typ{p}
	g.vars = append(g.vars, variable{"p", p, false})
	g.body(fmt.Sprintf("func (r %s) %s(p %s) %s {", recv, f.name, p.name, results(f.results)), f.results)
	g.methods = append(g.methods, f)
}

func (g *gen) body(head string, res []*typ) {
	g.line("%s", head)
	g.indent++
	g.result, g.inFunc = res, true
	for range 1 + g.n(5) {
		g.stmt()
	}
	g.ret()
	g.indent--
	g.line("}")
	g.inFunc = false
}

func (g *gen) ret() {
	var xs []string
	for _, t := range g.result {
		xs = append(xs, g.expr(t, 2))
	}
	g.line("return %s", strings.Join(xs, ", "))
}
