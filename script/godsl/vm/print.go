package vm

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// maxPrintDepth bounds how deep printing follows a value.
const maxPrintDepth = 50

// TypeName returns the dynamic type of an interface value as %T prints it.
func (m *Machine) TypeName(v any) string {
	if t := m.program.typeOf(v); t != nil {
		return t.String()
	}
	return "<nil>"
}

// Comparable reports whether == works on an interface value.
func (m *Machine) Comparable(v any) bool {
	t := m.program.typeOf(v)
	return t == nil || t.Comparable()
}

// Printable returns a Go value that package fmt prints as it prints v in Go.
func (m *Machine) Printable(v any) any {
	t := m.program.typeOf(v)
	if t == nil || t.Name == "" && t.Class() == ir.Words || t.Kind == ir.String && t.Name == "" {
		return v
	}
	if x, ok := v.(text); ok && t.Methods["String"] == nil && t.Methods["Error"] == nil {
		return namedText(x.s)
	}
	return printed{m, v, t}
}

// namedText is a string for fmt, as a string type of the language is.
type namedText string

// printed prints a value of the language. It implements fmt.Formatter.
type printed struct {
	m *Machine
	v any
	t *ir.Type
}

// Format implements fmt.Formatter.
func (p printed) Format(f fmt.State, verb rune) {
	pr := &printer{m: p.m, f: f, verb: verb}
	pr.any(p.v, 0)
}

type printer struct {
	m    *Machine
	f    fmt.State
	verb rune
}

func (p *printer) text(s string) {
	p.m.Charge(int64(len(s)))
	p.f.Write([]byte(s))
}

// leaf prints a Go value with the flags that were given.
func (p *printer) leaf(v any) {
	p.m.Charge(16)
	fmt.Fprintf(p.f, fmt.FormatString(p.f, p.verb), v)
}

func (p *printer) any(v any, depth int) {
	t := p.m.program.typeOf(v)
	if t == nil {
		if depth > 0 {
			p.text("<nil>")
		} else {
			p.leaf(v)
		}
		return
	}
	b := newArray(t.Slots, 1)
	p.m.unbox(v, b)
	p.value(t, b, v, depth)
}

// value prints the value in b; boxed is its form as an interface, if known.
func (p *printer) value(t *ir.Type, b *Array, boxed any, depth int) {
	p.m.Work(1)
	if depth > maxPrintDepth {
		p.m.fail(0, "a value nested deeper than %d levels cannot be printed", maxPrintDepth)
	}
	sharp := p.verb == 'v' && p.f.Flag('#')
	if t.Kind != ir.Interface && !sharp && p.method(t, b, boxed) {
		return
	}
	switch t.Class() {
	case ir.Words:
		p.word(t, b.N[0])
	case ir.Strings:
		p.leaf(b.S[0])
	case ir.Views:
		p.view(t, b.L[0], depth)
	case ir.Refs:
		p.ref(t, b.R[0], depth)
	default:
		p.fields(t, b, depth)
	}
}

func (p *printer) method(t *ir.Type, b *Array, boxed any) bool {
	if len(t.Methods) == 0 || !strings.ContainsRune("vsxXq", p.verb) {
		return false
	}
	if boxed == nil {
		boxed = p.m.boxValue(t, b)
	}
	for _, name := range []string{"Error", "String"} {
		if t.Kind == ir.Pointer && b.L[0].A == nil && t.Methods[name] != nil {
			p.text("<nil>")
			return true
		}
		if s, ok := p.m.callString(boxed, t, name); ok {
			p.leaf(s)
			return true
		}
	}
	return false
}

// boxValue makes the interface form of a value in its slots.
func (m *Machine) boxValue(t *ir.Type, b *Array) any {
	switch t.Class() {
	case ir.Words:
		return boxWord(t, b.N[0])
	case ir.Strings:
		return boxString(t, b.S[0])
	case ir.Views:
		if t.Kind != ir.Array {
			return view{t, b.L[0]}
		}
	case ir.Refs:
		if t.Kind == ir.Interface {
			return b.R[0]
		}
		return boxRef(t, b.R[0])
	}
	m.Charge(cellBytes(t.Slots))
	out := &boxed{t: t}
	out.a.make(t.Slots, 1)
	out.a.set(b)
	if t.Arrays {
		m.cloneArrays(t, &out.a)
	}
	return out
}

func (p *printer) word(t *ir.Type, n uint64) {
	under := t
	if t.Name != "" {
		under = p.m.program.basic[t.Kind]
	}
	if t.Kind == ir.Float32 {
		p.leaf(float32(math.Float64frombits(n)))
		return
	}
	p.leaf(boxWord(under, n))
}

func (p *printer) view(t *ir.Type, v View, depth int) {
	sharp := p.verb == 'v' && p.f.Flag('#')
	if t.Kind == ir.Pointer {
		switch k := t.Elem.Kind; {
		case v.A == nil && sharp:
			p.text("(" + t.String() + ")(nil)")
		case v.A == nil:
			p.text("<nil>")
		case depth == 0 && (k == ir.Struct || k == ir.Slice || k == ir.Array || k == ir.Map):
			p.text("&")
			if k == ir.Array {
				p.value(t.Elem, &Array{L: []View{v}}, nil, depth+1)
				return
			}
			b := v.A.part(t.Elem.Slots, int(v.Off), 1)
			p.value(t.Elem, &b, nil, depth+1)
		default:
			p.text("0xc000000000")
		}
		return
	}
	if t.Elem.Kind == ir.Uint8 && strings.ContainsRune("sqxX", p.verb) {
		p.leaf(p.m.bytesToString(v))
		return
	}
	open, sep, end := "[", " ", "]"
	if sharp {
		if t.Kind == ir.Slice && v.A == nil {
			p.text(t.String() + "(nil)")
			return
		}
		open, sep, end = t.String()+"{", ", ", "}"
	}
	p.text(open)
	for i := range int(v.Len) {
		if i > 0 {
			p.text(sep)
		}
		b := v.A.part(t.Elem.Slots, int(v.Off)+i, 1)
		p.value(t.Elem, &b, nil, depth+1)
	}
	p.text(end)
}

func (p *printer) fields(t *ir.Type, b *Array, depth int) {
	sharp := p.verb == 'v' && p.f.Flag('#')
	sep := " "
	if sharp {
		p.text(t.String())
		sep = ", "
	}
	p.text("{")
	for i, f := range t.Fields {
		if i > 0 {
			p.text(sep)
		}
		if p.verb == 'v' && (p.f.Flag('+') || sharp) {
			p.text(f.Name + ":")
		}
		e := b.inner(f.At, f.Type.Slots)
		p.value(f.Type, &e, nil, depth+1)
	}
	p.text("}")
}

func (p *printer) ref(t *ir.Type, r any, depth int) {
	sharp := p.verb == 'v' && p.f.Flag('#')
	switch t.Kind {
	case ir.Interface:
		if r == nil && sharp {
			p.text(t.String() + "(nil)")
			return
		}
		p.any(r, depth+1)
		return
	case ir.Func:
		if r == nil {
			p.text("<nil>")
			return
		}
		p.text("0x47b000")
		return
	}
	mp, _ := r.(*Map)
	open, colon, sep, end := "map[", ":", " ", "]"
	if sharp {
		if mp == nil {
			p.text(t.String() + "(nil)")
			return
		}
		open, sep, end = t.String()+"{", ", ", "}"
	}
	p.text(open)
	if mp != nil {
		p.m.own(mp)
		for n, i := range p.m.sortedEntries(mp) {
			if n > 0 {
				p.text(sep)
			}
			k := mp.keys.part(mp.t.Key.Slots, i, 1)
			v := mp.vals.part(mp.t.Elem.Slots, i, 1)
			p.value(mp.t.Key, &k, nil, depth+1)
			p.text(colon)
			p.value(mp.t.Elem, &v, nil, depth+1)
		}
	}
	p.text(end)
}

// sortedEntries returns the entries in the order in which fmt prints a map.
func (m *Machine) sortedEntries(mp *Map) []int {
	m.Charge(8 * int64(mp.n))
	m.Work(mp.n)
	var list []int
	for i := range mp.n {
		if !mp.gap(i) {
			list = append(list, i)
		}
	}
	kt := mp.t.Key
	slices.SortStableFunc(list, func(a, b int) int {
		p, q := mp.keys.part(kt.Slots, a, 1), mp.keys.part(kt.Slots, b, 1)
		return orderKeys(kt, &p, &q)
	})
	return list
}

func orderKeys(t *ir.Type, a, b *Array) int {
	switch {
	case t.Kind == ir.String:
		return strings.Compare(a.S[0], b.S[0])
	case t.Float():
		x, y := math.Float64frombits(a.N[0]), math.Float64frombits(b.N[0])
		switch {
		case x < y || x != x && y == y:
			return -1
		case x > y || y != y && x == x:
			return 1
		}
		return 0
	case t.Unsigned():
		return compareOrdered(a.N[0], b.N[0])
	case t.Class() == ir.Words:
		return compareOrdered(int64(a.N[0]), int64(b.N[0]))
	case t.Kind == ir.Struct:
		for _, f := range t.Fields {
			p, q := a.inner(f.At, f.Type.Slots), b.inner(f.At, f.Type.Slots)
			if c := orderKeys(f.Type, &p, &q); c != 0 {
				return c
			}
		}
	case t.Kind == ir.Array:
		for i := range int(t.Len) {
			p := a.L[0].A.part(t.Elem.Slots, int(a.L[0].Off)+i, 1)
			q := b.L[0].A.part(t.Elem.Slots, int(b.L[0].Off)+i, 1)
			if c := orderKeys(t.Elem, &p, &q); c != 0 {
				return c
			}
		}
	}
	return 0
}

func compareOrdered[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
