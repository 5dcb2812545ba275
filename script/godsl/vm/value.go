package vm

import (
	"github.com/theseus-run/theseus/script/godsl/ir"
)

// An Array is storage for elements of one type. Element i of a type with
// layout l begins at N[i*l[0]], S[i*l[1]] and so on; files that the type does
// not use are nil.
type Array struct {
	N []uint64
	S []string
	L []View
	R []any
}

// A View is a slice, an array or a pointer: elements Off to Off+Len of A. A
// pointer has the length 1. The zero View is nil.
type View struct {
	A             *Array
	Off, Len, Cap int32
}

// Dynamic values of interface type are Go values of type any:
//
//	bool, int, …, float64, string   of predeclared types, as themselves
//	word, text, view, ref           of other types of one slot
//	*boxed                          of structs
//	*Map                            of maps, with the type in the map
//
// All but *boxed and *Map compare with == and work as keys of a Go map.
type (
	word struct {
		t *ir.Type
		n uint64
	}
	text struct {
		t *ir.Type
		s string
	}
	view struct {
		t *ir.Type
		v View
	}
	ref struct {
		t *ir.Type
		r any
	}
	boxed struct {
		t *ir.Type
		a Array
	}
)

// A Func is a function value.
type Func struct {
	fn   *function
	vals Array // what a literal captured, in the layout of its captures
}

// nothing is the storage of all lists without elements.
var nothing Array

// newArray makes storage for n elements.
func newArray(l ir.Layout, n int) *Array {
	switch {
	case n == 0:
		return &nothing
	case l == ir.Layout{1} && n <= 4:
		a := &struct {
			Array
			buf [4]uint64
		}{}
		a.N = a.buf[:n:n]
		return &a.Array
	case l == ir.Layout{0, 1} && n <= 4:
		a := &struct {
			Array
			buf [4]string
		}{}
		a.S = a.buf[:n:n]
		return &a.Array
	}
	a := &Array{}
	a.make(l, n)
	return a
}

func (a *Array) make(l ir.Layout, n int) {
	if l[0] > 0 {
		a.N = make([]uint64, n*int(l[0]))
	}
	if l[1] > 0 {
		a.S = make([]string, n*int(l[1]))
	}
	if l[2] > 0 {
		a.L = make([]View, n*int(l[2]))
	}
	if l[3] > 0 {
		a.R = make([]any, n*int(l[3]))
	}
}

// part returns the n elements of a from i on; it shares a's storage.
func (a *Array) part(l ir.Layout, i, n int) Array {
	var p Array
	if l[0] > 0 {
		p.N = a.N[i*int(l[0]) : (i+n)*int(l[0])]
	}
	if l[1] > 0 {
		p.S = a.S[i*int(l[1]) : (i+n)*int(l[1])]
	}
	if l[2] > 0 {
		p.L = a.L[i*int(l[2]) : (i+n)*int(l[2])]
	}
	if l[3] > 0 {
		p.R = a.R[i*int(l[3]) : (i+n)*int(l[3])]
	}
	return p
}

// inner returns the slots from at on that a value of layout l takes.
func (a Array) inner(at, l ir.Layout) Array {
	var p Array
	if l[0] > 0 {
		p.N = a.N[at[0] : at[0]+l[0]]
	}
	if l[1] > 0 {
		p.S = a.S[at[1] : at[1]+l[1]]
	}
	if l[2] > 0 {
		p.L = a.L[at[2] : at[2]+l[2]]
	}
	if l[3] > 0 {
		p.R = a.R[at[3] : at[3]+l[3]]
	}
	return p
}

// set copies all slots of b over those of a.
func (a *Array) set(b *Array) {
	copy(a.N, b.N)
	copy(a.S, b.S)
	copy(a.L, b.L)
	copy(a.R, b.R)
}
