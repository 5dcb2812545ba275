package vm

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// maxNesting bounds how deep data that leaves the machine may nest.
const maxNesting = 200

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// Out turns values of the language into data of the host: nil, bool, the
// numbers, string, []any, []string for a slice of strings, and map[string]any.
type Out struct {
	M     *Machine
	Left  int64 // bytes of output that are left
	Limit int64
}

func (o *Out) take(n int) {
	if o.Left -= int64(n); o.Left < 0 {
		panic(&Trap{Kind: Output, Message: fmt.Sprintf("the result is larger than %d bytes", o.Limit)})
	}
}

// Value returns the data for the value of type t in b.
func (o *Out) Value(t *ir.Type, b Array) any { return o.value(t, &b, 0) }

func (o *Out) value(t *ir.Type, b *Array, depth int) any {
	if depth > maxNesting {
		o.M.fail(0, "the result nests deeper than %d levels", maxNesting)
	}
	switch t.Class() {
	case ir.Words:
		o.take(8)
		return o.word(t, b.N[0])
	case ir.Strings:
		return o.text(b.S[0])
	case ir.Views:
		return o.view(t, b.L[0], depth)
	case ir.Refs:
		if t.Kind == ir.Interface {
			return o.any(b.R[0], depth)
		}
		return o.mapping(t, b.R[0], depth)
	}
	o.take(2)
	out := make(map[string]any, len(t.Fields))
	for i := range t.Fields {
		f := &t.Fields[i]
		name, omit := f.Data, f.OmitEmpty
		if name == "" {
			continue
		}
		if omit {
			in := b.inner(f.At, f.Type.Slots)
			if isEmpty(f.Type, &in) {
				continue
			}
		}
		o.take(4 + len(name))
		switch f.Type.Class() {
		case ir.Words:
			o.take(8)
			out[name] = o.word(f.Type, b.N[f.At[0]])
		case ir.Strings:
			out[name] = o.text(b.S[f.At[1]])
		case ir.Views:
			out[name] = o.view(f.Type, b.L[f.At[2]], depth+1)
		default:
			in := b.inner(f.At, f.Type.Slots)
			out[name] = o.value(f.Type, &in, depth+1)
		}
	}
	return out
}

func isEmpty(t *ir.Type, b *Array) bool {
	switch t.Class() {
	case ir.Words:
		return b.N[0] == 0
	case ir.Strings:
		return b.S[0] == ""
	case ir.Views:
		return t.Kind != ir.Array && b.L[0].Len == 0 || t.Kind == ir.Array && t.Len == 0
	case ir.Refs:
		if mp, ok := b.R[0].(*Map); ok {
			return mp.len() == 0
		}
		return b.R[0] == nil
	}
	return false
}

// text returns s as data; constants of the program are data already.
func (o *Out) text(s string) any {
	o.take(2 + len(s))
	if len(s) <= maxBoxed {
		if v, ok := o.M.program.boxed[s]; ok {
			return v
		}
	}
	return s
}

// maxBoxed is how long the constants are that a program keeps as data.
const maxBoxed = 32

func (o *Out) word(t *ir.Type, n uint64) any {
	switch {
	case t.Kind == ir.Bool:
		return n != 0
	case t.Float():
		return math.Float64frombits(n)
	case t.Unsigned() && n > math.MaxInt64:
		return n
	}
	return int(n)
}

func (o *Out) any(v any, depth int) any {
	switch v := v.(type) {
	case nil:
		o.take(4)
		return nil
	case string:
		o.take(2 + len(v))
		return v
	case bool, int, float64:
		o.take(8)
		return v
	case *Map:
		return o.mapping(v.t, v, depth)
	}
	t := o.M.program.typeOf(v)
	if t == nil {
		o.M.fail(0, "a value of type %T cannot leave the rule", v)
	}
	if t.Methods["Error"] != nil {
		if s, ok := o.M.callString(v, t, "Error"); ok {
			o.take(2 + len(s))
			return s
		}
	}
	b := newArray(t.Slots, 1)
	o.M.unbox(v, b)
	return o.value(t, b, depth+1)
}

func (o *Out) view(t *ir.Type, v View, depth int) any {
	if t.Kind == ir.Pointer {
		if v.A == nil {
			o.take(4)
			return nil
		}
		if t.Elem.Kind == ir.Array {
			return o.view(t.Elem, v, depth+1)
		}
		b := v.A.part(t.Elem.Slots, int(v.Off), 1)
		return o.value(t.Elem, &b, depth+1)
	}
	if v.A == nil && t.Kind == ir.Slice {
		o.take(4)
		return nil
	}
	o.take(2 + 16*int(v.Len))
	if t.Elem.Kind == ir.String {
		list := o.M.Strings(v)
		for _, s := range list {
			o.take(len(s))
		}
		if list == nil {
			return []string{}
		}
		return list[:len(list):len(list)]
	}
	out := make([]any, v.Len)
	for i := range out {
		b := v.A.part(t.Elem.Slots, int(v.Off)+i, 1)
		out[i] = o.value(t.Elem, &b, depth+1)
	}
	return out
}

func (o *Out) mapping(t *ir.Type, r any, depth int) any {
	if depth > maxNesting {
		o.M.fail(0, "the result nests deeper than %d levels", maxNesting)
	}
	mp, _ := r.(*Map)
	if mp == nil {
		if t.Kind == ir.Func {
			o.M.fail(0, "a function cannot leave the rule")
		}
		o.take(4)
		return nil
	}
	o.M.own(mp)
	o.take(2)
	out := make(map[string]any, mp.live)
	for i := range mp.n {
		if mp.gap(i) {
			continue
		}
		k := mp.keys.part(mp.t.Key.Slots, i, 1)
		var name string
		switch {
		case mp.t.Key.Kind == ir.String:
			name = k.S[0]
		case mp.t.Key.Integer():
			name = fmt.Sprint(o.word(mp.t.Key, k.N[0]))
		default:
			o.M.fail(0, "a map with keys of type %s cannot leave the rule", mp.t.Key)
		}
		o.take(4 + len(name))
		v := mp.vals.part(mp.t.Elem.Slots, i, 1)
		out[name] = o.value(mp.t.Elem, &v, depth+1)
	}
	return out
}
