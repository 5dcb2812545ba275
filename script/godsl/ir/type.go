package ir

import (
	"fmt"
	"strings"
)

// A Kind is the shape of a type's underlying type.
type Kind uint8

// The kinds of types.
const (
	Invalid Kind = iota
	Bool
	Int
	Int8
	Int16
	Int32
	Int64
	Uint
	Uint8
	Uint16
	Uint32
	Uint64
	Float32
	Float64
	String
	Slice
	Array
	Struct
	Pointer
	Map
	Func
	Interface
	Tuple // of a call with several results, and of the comma-ok forms
)

// A Class says in which register file a value lives.
type Class uint8

// The classes. A struct is Mixed: its fields lie side by side in all files.
const (
	Words   Class = iota // bool, integers, floats: one uint64
	Strings              // string
	Views                // slice, array, pointer: a window on elements
	Refs                 // map, func, interface: one Go any
	Mixed                // struct and tuple
)

// A Layout counts slots in the four files, indexed by Class.
type Layout [4]int32

// Add returns the slots of l and m together.
func (l Layout) Add(m Layout) Layout {
	for i := range l {
		l[i] += m[i]
	}
	return l
}

// Total returns the number of slots in all files.
func (l Layout) Total() int { return int(l[0] + l[1] + l[2] + l[3]) }

// Bytes returns what one element of this layout occupies.
func (l Layout) Bytes() int64 {
	return int64(l[Words])*8 + int64(l[Strings])*16 + int64(l[Views])*24 + int64(l[Refs])*16
}

// A Type is one type of a program. Types are interned: two types of a program
// are identical when their pointers are equal. A Type is immutable once its
// program is lowered.
type Type struct {
	Kind     Kind
	Name     string // of a named type, with its package; empty otherwise
	ID       int32
	Under    *Type // the underlying type; itself when not named
	Elem     *Type // slice, array, pointer, map
	Key      *Type // map
	Len      int64 // array
	Fields   []Field
	Params   []*Type // func
	Results  []*Type // func; members of a tuple
	Variadic bool
	Methods  map[string]*Fn // of a concrete type that becomes an interface: all of its method set
	Wants    []Want         // of an interface, sorted by name
	Slots    Layout
	Arrays   bool // whether a value holds an array, which has storage of its own
}

// A Field is one field of a struct type.
type Field struct {
	Name     string
	Tag      string
	Type     *Type
	Embedded bool
	At       Layout // where the field begins in each file

	Data      string // name in data that crosses to the host; empty when the field does not cross
	Tagged    bool   // the json tag gives the name
	OmitEmpty bool   // an empty value does not cross
}

// A Want is a method that an interface asks for.
type Want struct {
	Name string
	Type *Type
}

// Class returns the register file of t's values.
func (t *Type) Class() Class {
	switch t.Kind {
	case String:
		return Strings
	case Slice, Array, Pointer:
		return Views
	case Map, Func, Interface:
		return Refs
	case Struct, Tuple:
		return Mixed
	}
	return Words
}

// Integer reports whether t is an integer type.
func (t *Type) Integer() bool { return t.Kind >= Int && t.Kind <= Uint64 }

// Unsigned reports whether t is an unsigned integer type.
func (t *Type) Unsigned() bool { return t.Kind >= Uint && t.Kind <= Uint64 }

// Float reports whether t is a floating-point type.
func (t *Type) Float() bool { return t.Kind == Float32 || t.Kind == Float64 }

// Bits returns the width of an integer type.
func (t *Type) Bits() int {
	switch t.Kind {
	case Int8, Uint8:
		return 8
	case Int16, Uint16:
		return 16
	case Int32, Uint32:
		return 32
	}
	return 64
}

var kindNames = [...]string{"invalid", "bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64",
	"float32", "float64", "string"}

// String returns t as Go source, as %T prints it.
func (t *Type) String() string { return t.text(0) }

func (t *Type) text(depth int) string {
	if depth > 20 {
		return "…"
	}
	if t.Name != "" {
		return t.Name
	}
	switch t.Kind {
	case Slice:
		return "[]" + t.Elem.text(depth+1)
	case Array:
		return fmt.Sprintf("[%d]%s", t.Len, t.Elem.text(depth+1))
	case Pointer:
		return "*" + t.Elem.text(depth+1)
	case Map:
		return "map[" + t.Key.text(depth+1) + "]" + t.Elem.text(depth+1)
	case Func:
		return "func" + t.signature(depth+1)
	case Tuple:
		return list(t.Results, false, depth+1)
	case Struct:
		if len(t.Fields) == 0 {
			return "struct {}"
		}
		var parts []string
		for _, f := range t.Fields {
			part := f.Name + " " + f.Type.text(depth+1)
			if f.Embedded {
				part = f.Type.text(depth + 1)
			}
			if f.Tag != "" {
				part += fmt.Sprintf(" %q", f.Tag)
			}
			parts = append(parts, part)
		}
		return "struct { " + strings.Join(parts, "; ") + " }"
	case Interface:
		if len(t.Wants) == 0 {
			return "interface {}"
		}
		var parts []string
		for _, w := range t.Wants {
			parts = append(parts, w.Name+w.Type.signature(depth+1))
		}
		return "interface { " + strings.Join(parts, "; ") + " }"
	}
	return kindNames[t.Kind]
}

func (t *Type) signature(depth int) string {
	s := list(t.Params, t.Variadic, depth)
	switch len(t.Results) {
	case 0:
		return s
	case 1:
		return s + " " + t.Results[0].text(depth)
	}
	return s + " " + list(t.Results, false, depth)
}

func list(types []*Type, variadic bool, depth int) string {
	parts := make([]string, len(types))
	for i, t := range types {
		if variadic && i == len(types)-1 {
			parts[i] = "..." + t.Elem.text(depth)
			continue
		}
		parts[i] = t.text(depth)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// Implements reports whether values of the concrete type t have all methods
// of the interface type i, and names one that is missing.
func (t *Type) Implements(i *Type) (missing string, ok bool) {
	for _, w := range i.Wants {
		m := t.Methods[w.Name]
		if m == nil || m.Type != w.Type {
			return w.Name, false
		}
	}
	return "", true
}

// Comparable reports whether == works on every value of t; an interface is
// comparable here and decides by its dynamic type.
func (t *Type) Comparable() bool {
	switch t.Kind {
	case Slice, Map, Func:
		return false
	case Array:
		return t.Elem.Comparable()
	case Struct:
		for _, f := range t.Fields {
			if !f.Type.Comparable() {
				return false
			}
		}
	}
	return true
}
