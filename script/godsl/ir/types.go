package ir

import (
	"fmt"
	"go/types"
	"sort"
	"strings"
)

// maxSlots bounds the slots of one value.
const maxSlots = 1000

// maxTypeDepth bounds how deep types nest; an interface that contains itself
// without a name never ends.
const maxTypeDepth = 200

// maxTypes bounds the types of a program.
const maxTypes = 10000

// maxArray bounds the length of an array.
const maxArray = 1 << 20

// Types interns the types of one program. It is not safe for concurrent use.
type Types struct {
	byKey   map[string]*Type
	all     []*Type
	depth   int
	goTypes map[*Type]types.Type // of named types and plain structs
}

// NewTypes returns an empty set.
func NewTypes() *Types {
	return &Types{byKey: make(map[string]*Type), goTypes: make(map[*Type]types.Type)}
}

// An env maps type parameters to the types of an instance.
type env map[*types.TypeParam]*Type

func (ts *Types) add(t *Type) *Type {
	t.ID = int32(len(ts.all))
	ts.all = append(ts.all, t)
	if t.Under == nil {
		t.Under = t
	}
	return t
}

// Of converts a type of go/types, with type parameters replaced by e.
func (ts *Types) Of(t types.Type, e env) *Type {
	if ts.depth++; ts.depth > maxTypeDepth {
		fail("a type nests deeper than %d levels", maxTypeDepth)
	}
	defer func() { ts.depth-- }()
	if len(ts.all) > maxTypes {
		fail("a program may have %d types", maxTypes)
	}
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		return ts.ofNamed(t, e)
	case *types.TypeParam:
		if r, ok := e[t]; ok {
			return r
		}
		fail("type parameter %s has no argument here", t)
	case *types.Basic:
		return ts.Basic(basicKind(t))
	case *types.Pointer:
		return ts.PointerTo(ts.Of(t.Elem(), e))
	case *types.Slice:
		return ts.SliceOf(ts.Of(t.Elem(), e))
	case *types.Array:
		return ts.ArrayOf(ts.Of(t.Elem(), e), t.Len())
	case *types.Map:
		return ts.MapOf(ts.Of(t.Key(), e), ts.Of(t.Elem(), e))
	case *types.Signature:
		return ts.ofSignature(t, e)
	case *types.Tuple:
		return ts.TupleOf(ts.ofTuple(t, e)...)
	case *types.Struct:
		return ts.ofStruct(t, e)
	case *types.Interface:
		return ts.ofInterface(t, e)
	}
	fail("type %s is not part of the language", t)
	return nil
}

func basicKind(t *types.Basic) Kind {
	switch t.Kind() {
	case types.Bool, types.UntypedBool:
		return Bool
	case types.Int, types.UntypedInt:
		return Int
	case types.Int8:
		return Int8
	case types.Int16:
		return Int16
	case types.Int32, types.UntypedRune:
		return Int32
	case types.Int64:
		return Int64
	case types.Uint:
		return Uint
	case types.Uint8:
		return Uint8
	case types.Uint16:
		return Uint16
	case types.Uint32:
		return Uint32
	case types.Uint64, types.Uintptr:
		return Uint64
	case types.Float32:
		return Float32
	case types.Float64, types.UntypedFloat:
		return Float64
	case types.String, types.UntypedString:
		return String
	case types.UntypedNil:
		return Interface
	}
	fail("type %s is not part of the language", t)
	return Invalid
}

// Basic returns a predeclared type, or the empty interface.
func (ts *Types) Basic(k Kind) *Type {
	if k == Interface {
		return ts.intern("any", func() *Type { return &Type{Kind: Interface, Slots: Layout{Refs: 1}} })
	}
	return ts.intern(kindNames[k], func() *Type {
		t := &Type{Kind: k}
		t.Slots[t.Class()] = 1
		return t
	})
}

func (ts *Types) intern(key string, make func() *Type) *Type {
	if t, ok := ts.byKey[key]; ok {
		return t
	}
	t := ts.add(make())
	ts.byKey[key] = t
	return t
}

// PointerTo returns *elem.
func (ts *Types) PointerTo(elem *Type) *Type {
	return ts.intern(fmt.Sprintf("*%d", elem.ID), func() *Type { return &Type{Kind: Pointer, Elem: elem, Slots: Layout{Views: 1}} })
}

// SliceOf returns []elem.
func (ts *Types) SliceOf(elem *Type) *Type {
	return ts.intern(fmt.Sprintf("[]%d", elem.ID), func() *Type { return &Type{Kind: Slice, Elem: elem, Slots: Layout{Views: 1}} })
}

// ArrayOf returns [n]elem.
func (ts *Types) ArrayOf(elem *Type, n int64) *Type {
	if n > maxArray {
		fail("an array may have %d elements; use a slice", maxArray)
	}
	return ts.intern(fmt.Sprintf("[%d]%d", n, elem.ID), func() *Type {
		return &Type{Kind: Array, Elem: elem, Len: n, Slots: Layout{Views: 1}, Arrays: true}
	})
}

// MapOf returns map[key]elem.
func (ts *Types) MapOf(key, elem *Type) *Type {
	return ts.intern(fmt.Sprintf("m[%d]%d", key.ID, elem.ID), func() *Type {
		return &Type{Kind: Map, Key: key, Elem: elem, Slots: Layout{Refs: 1}}
	})
}

// TupleOf returns the type of several values.
func (ts *Types) TupleOf(members ...*Type) *Type {
	return ts.intern("t"+ids(members), func() *Type {
		t := &Type{Kind: Tuple, Results: members}
		for _, m := range members {
			t.Slots = t.Slots.Add(m.Slots)
		}
		return t
	})
}

// FuncOf returns a function type.
func (ts *Types) FuncOf(params, results []*Type, variadic bool) *Type {
	return ts.intern(fmt.Sprintf("f%s%s%v", ids(params), ids(results), variadic), func() *Type {
		return &Type{Kind: Func, Params: params, Results: results, Variadic: variadic, Slots: Layout{Refs: 1}}
	})
}

func ids(list []*Type) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, t := range list {
		fmt.Fprintf(&b, "%d,", t.ID)
	}
	b.WriteByte(')')
	return b.String()
}

func (ts *Types) ofTuple(t *types.Tuple, e env) []*Type {
	var list []*Type
	for v := range t.Variables() {
		list = append(list, ts.Of(v.Type(), e))
	}
	return list
}

func (ts *Types) ofSignature(t *types.Signature, e env) *Type {
	return ts.FuncOf(ts.ofTuple(t.Params(), e), ts.ofTuple(t.Results(), e), t.Variadic())
}

func (ts *Types) ofStruct(t *types.Struct, e env) *Type {
	var fields []Field
	var key strings.Builder
	key.WriteString("s{")
	for i := range t.NumFields() {
		f := t.Field(i)
		ft := ts.Of(f.Type(), e)
		name := f.Name()
		if !f.Exported() && f.Pkg() != nil {
			fmt.Fprintf(&key, "%s.", f.Pkg().Path())
		}
		fmt.Fprintf(&key, "%s %d %v %q;", name, ft.ID, f.Embedded(), t.Tag(i))
		fields = append(fields, Field{Name: name, Tag: t.Tag(i), Type: ft, Embedded: f.Embedded()})
	}
	return ts.intern(key.String(), func() *Type {
		s := &Type{Kind: Struct, Fields: fields}
		ts.layout(s)
		if len(e) == 0 {
			ts.goTypes[s] = t
		}
		return s
	})
}

// goType returns the type of go/types that has t's methods, or nil.
func (ts *Types) goType(t *Type) types.Type {
	if g, ok := ts.goTypes[t]; ok {
		return g
	}
	if t.Kind == Pointer && t.Name == "" {
		if g := ts.goType(t.Elem); g != nil {
			return types.NewPointer(g)
		}
	}
	return nil
}

// layout places the fields of a struct.
func (ts *Types) layout(s *Type) {
	s.Slots = Layout{}
	for i := range s.Fields {
		f := &s.Fields[i]
		f.At = s.Slots
		f.Data, f.Tagged, f.OmitEmpty = dataName(f)
		s.Slots = s.Slots.Add(f.Type.Slots)
		s.Arrays = s.Arrays || f.Type.Arrays
	}
	if s.Slots.Total() > maxSlots {
		fail("a struct of more than %d values is not part of the language", maxSlots)
	}
}

func (ts *Types) ofInterface(t *types.Interface, e env) *Type {
	var wants []Want
	var key strings.Builder
	key.WriteString("i{")
	for i := range t.NumMethods() {
		m := t.Method(i)
		mt := ts.ofSignature(m.Type().(*types.Signature), e)
		wants = append(wants, Want{Name: m.Name(), Type: mt})
	}
	if len(wants) == 0 {
		return ts.Basic(Interface)
	}
	sort.Slice(wants, func(i, j int) bool { return wants[i].Name < wants[j].Name })
	for _, w := range wants {
		fmt.Fprintf(&key, "%s %d;", w.Name, w.Type.ID)
	}
	return ts.intern(key.String(), func() *Type {
		return &Type{Kind: Interface, Wants: wants, Slots: Layout{Refs: 1}}
	})
}

func (ts *Types) ofNamed(t *types.Named, e env) *Type {
	obj := t.Obj()
	key := fmt.Sprintf("n%p", obj)
	name := obj.Name()
	inner := e
	if args := t.TypeArgs(); args != nil {
		var list []*Type
		var names []string
		for a := range args.Types() {
			at := ts.Of(a, e)
			list = append(list, at)
			names = append(names, at.String())
		}
		key += ids(list)
		name += "[" + strings.Join(names, ",") + "]"
	}
	if obj.Pkg() != nil {
		name = obj.Pkg().Name() + "." + name
	}
	if n, ok := ts.byKey[key]; ok {
		return n
	}
	n := ts.add(&Type{Name: name})
	ts.byKey[key] = n
	ts.goTypes[n] = t
	// The class must be known before the members are visited: types recurse
	// through pointers, slices, maps and funcs.
	under := t.Underlying()
	n.Kind, n.Slots = shallow(under)
	u := ts.Of(under, inner)
	id, methods := n.ID, n.Methods
	*n = *u
	n.Name, n.ID, n.Methods, n.Under = name, id, methods, u
	return n
}

// shallow returns the kind of a type and, unless it is a struct, its layout.
func shallow(t types.Type) (Kind, Layout) {
	switch t := t.(type) {
	case *types.Pointer:
		return Pointer, Layout{Views: 1}
	case *types.Slice:
		return Slice, Layout{Views: 1}
	case *types.Map:
		return Map, Layout{Refs: 1}
	case *types.Signature:
		return Func, Layout{Refs: 1}
	case *types.Interface:
		return Interface, Layout{Refs: 1}
	case *types.Array:
		return Array, Layout{Views: 1}
	case *types.Struct:
		return Struct, Layout{}
	case *types.Basic:
		return basicKind(t), Layout{}
	}
	return Invalid, Layout{}
}

// All returns every type of the program.
func (ts *Types) All() []*Type { return ts.all }
