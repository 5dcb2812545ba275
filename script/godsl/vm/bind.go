package vm

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// A Binder moves data of the host, as encoding/json makes it, into the slots
// of one type. It is compiled once for the type and safe for concurrent use.
type Binder struct {
	bind func(m *Machine, a *Array, at ir.Layout, v any) *BindError
}

// A BindError says which part of the data does not fit.
type BindError struct {
	Path string // such as ".items[3].price"
	Want *ir.Type
	Got  any
	Why  string // more than the types; may be empty
}

// Error implements error.
func (e *BindError) Error() string {
	s := fmt.Sprintf("input%s: want %s, got %s", e.Path, e.Want, describe(e.Got))
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "a bool"
	case float64, int, json.Number:
		return fmt.Sprintf("the number %v", v)
	}
	return fmt.Sprintf("%T", v)
}

// Bind stores v in b.
func (x *Binder) Bind(m *Machine, b Array, v any) error {
	clear(b.N)
	clear(b.S)
	clear(b.L)
	clear(b.R)
	if err := x.bind(m, &b, ir.Layout{}, v); err != nil {
		return err
	}
	return nil
}

// NewBinder compiles the binder of t. The error says what data of the host
// cannot become.
func NewBinder(t *ir.Type) (*Binder, error) {
	b := &binderMaker{made: map[*ir.Type]*Binder{}}
	return b.of(t)
}

type binderMaker struct{ made map[*ir.Type]*Binder }

func (bm *binderMaker) of(t *ir.Type) (*Binder, error) {
	if b, ok := bm.made[t]; ok {
		return b, nil
	}
	out := &Binder{}
	bm.made[t] = out
	var err error
	switch {
	case t.Class() == ir.Words:
		out.bind = func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
			n, ok := bindWord(t, v)
			if !ok {
				return &BindError{Want: t, Got: v}
			}
			a.N[at[0]] = n
			return nil
		}
	case t.Kind == ir.String:
		out.bind = func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
			s, ok := v.(string)
			if !ok {
				return &BindError{Want: t, Got: v}
			}
			a.S[at[1]] = s
			return nil
		}
	case t.Kind == ir.Interface && len(t.Wants) == 0:
		out.bind = func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
			a.R[at[3]] = m.fromHost(v)
			return nil
		}
	case t.Kind == ir.Struct:
		out.bind, err = bm.structure(t)
	case t.Kind == ir.Slice:
		out.bind, err = bm.slice(t)
	case t.Kind == ir.Pointer:
		out.bind, err = bm.pointer(t)
	case t.Kind == ir.Map && t.Key.Kind == ir.String:
		out.bind, err = bm.mapping(t)
	default:
		return nil, fmt.Errorf("a value of type %s cannot be made of data", t)
	}
	return out, err
}

// bindWord converts a bool or number without loss.
func bindWord(t *ir.Type, v any) (uint64, bool) {
	switch v := v.(type) {
	case bool:
		return bit(v), t.Kind == ir.Bool
	case int:
		return bindInt(t, int64(v))
	case int64:
		return bindInt(t, v)
	case float64:
		if t.Float() {
			if t.Kind == ir.Float32 {
				v = float64(float32(v))
			}
			return math.Float64bits(v), true
		}
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return 0, false
		}
		return bindInt(t, int64(v))
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return bindInt(t, n)
		}
		if f, err := v.Float64(); err == nil && t.Float() {
			return math.Float64bits(f), true
		}
	}
	if k, n := unboxWord(v); k != ir.Invalid && k != ir.Bool {
		if k == ir.Float32 {
			return bindWord(t, math.Float64frombits(n))
		}
		if k >= ir.Uint && n > math.MaxInt64 {
			return n, t.Kind == ir.Uint64 || t.Kind == ir.Uint
		}
		return bindInt(t, int64(n))
	}
	return 0, false
}

func bindInt(t *ir.Type, n int64) (uint64, bool) {
	switch {
	case t.Float():
		return math.Float64bits(float64(n)), n <= 1<<53 && n >= -1<<53
	case !t.Integer():
		return 0, false
	case t.Unsigned():
		return uint64(n), n >= 0 && (t.Bits() == 64 || n < 1<<t.Bits())
	case t.Bits() < 64:
		half := int64(1) << (t.Bits() - 1)
		return uint64(n), n >= -half && n < half
	}
	return uint64(n), true
}

// A fieldBinder fills one field.
type fieldBinder struct {
	name, alt string
	t         *ir.Type
	at        ir.Layout
	class     ir.Class
	bind      *Binder
}

func (bm *binderMaker) structure(t *ir.Type) (func(*Machine, *Array, ir.Layout, any) *BindError, error) {
	var fields []fieldBinder
	for _, f := range t.Fields {
		name, tagged := f.Data, f.Tagged
		if name == "" {
			continue
		}
		fb := fieldBinder{name: name, t: f.Type, at: f.At, class: f.Type.Class()}
		if !tagged {
			fb.alt = strings.ToLower(name[:1]) + name[1:]
		}
		b, err := bm.of(f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		fb.bind = b
		fields = append(fields, fb)
	}
	return func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
		data, ok := v.(map[string]any)
		if !ok {
			return &BindError{Want: t, Got: v}
		}
		if t.Arrays {
			b := a.inner(at, t.Slots)
			m.missingArrays(t, &b)
		}
		for i := range fields {
			f := &fields[i]
			v, ok := data[f.name]
			if !ok {
				v = f.otherName(data)
			}
			switch x := v.(type) { // the usual cases, without a call
			case string:
				if f.class == ir.Strings {
					a.S[at[1]+f.at[1]] = x
					continue
				}
			case float64:
				if f.t.Kind == ir.Float64 {
					a.N[at[0]+f.at[0]] = math.Float64bits(x)
					continue
				}
			case int:
				if f.t.Kind == ir.Int {
					a.N[at[0]+f.at[0]] = uint64(x)
					continue
				}
			}
			if err := f.set(m, a, at, v); err != nil {
				err.Path = "." + f.name + err.Path
				return err
			}
		}
		return nil
	}, nil
}

// otherName looks for the field under its other spellings.
func (f *fieldBinder) otherName(data map[string]any) any {
	if f.alt != "" {
		if v, ok := data[f.alt]; ok {
			return v
		}
	}
	return foldedKey(data, f.name)
}

// foldedKey returns the value whose key differs from name in case only, as
// encoding/json finds it; of several the first in order.
func foldedKey(data map[string]any, name string) any {
	found := ""
	for k := range data {
		if len(k) == len(name) && (found == "" || k < found) && strings.EqualFold(k, name) {
			found = k
		}
	}
	if found == "" {
		return nil
	}
	return data[found]
}

// set fills the field; data that is missing or null leaves it as it is.
func (f *fieldBinder) set(m *Machine, b *Array, base ir.Layout, v any) *BindError {
	if v == nil {
		return nil
	}
	switch f.class {
	case ir.Words:
		n, ok := bindWord(f.t, v)
		if !ok {
			return &BindError{Want: f.t, Got: v}
		}
		b.N[base[0]+f.at[0]] = n
		return nil
	case ir.Strings:
		s, ok := v.(string)
		if !ok {
			return &BindError{Want: f.t, Got: v}
		}
		b.S[base[1]+f.at[1]] = s
		return nil
	}
	return f.bind.bind(m, b, base.Add(f.at), v)
}

func (bm *binderMaker) slice(t *ir.Type) (func(*Machine, *Array, ir.Layout, any) *BindError, error) {
	elem, err := bm.of(t.Elem)
	if err != nil {
		return nil, err
	}
	l := t.Elem.Slots
	return func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
		a.L[at[2]] = View{}
		switch list := v.(type) {
		case nil:
			return nil
		case []any:
			m.Work(len(list))
			out := m.newList(t.Elem, len(list), len(list), 0)
			e := ir.Layout{}
			for i, x := range list {
				if x != nil {
					if err := elem.bind(m, out.A, e, x); err != nil {
						err.Path = fmt.Sprintf("[%d]%s", i, err.Path)
						return err
					}
				}
				e = e.Add(l)
			}
			a.L[at[2]] = out
			return nil
		case []string:
			if t.Elem.Kind == ir.String {
				a.L[at[2]] = m.FromStrings(append([]string(nil), list...))
				return nil
			}
		case []byte:
			if t.Elem.Kind == ir.Uint8 {
				a.L[at[2]] = m.FromBytes(list)
				return nil
			}
		}
		return &BindError{Want: t, Got: v}
	}, nil
}

func (bm *binderMaker) pointer(t *ir.Type) (func(*Machine, *Array, ir.Layout, any) *BindError, error) {
	elem, err := bm.of(t.Elem)
	if err != nil {
		return nil, err
	}
	return func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
		a.L[at[2]] = View{}
		if v == nil {
			return nil
		}
		p := m.newList(t.Elem, 1, 1, 0)
		if err := elem.bind(m, p.A, ir.Layout{}, v); err != nil {
			return err
		}
		a.L[at[2]] = p
		return nil
	}, nil
}

func (bm *binderMaker) mapping(t *ir.Type) (func(*Machine, *Array, ir.Layout, any) *BindError, error) {
	elem, err := bm.of(t.Elem)
	if err != nil {
		return nil, err
	}
	dynamic := t.Elem.Kind == ir.Interface && t.Name == "" && t.Key.Name == ""
	return func(m *Machine, a *Array, at ir.Layout, v any) *BindError {
		a.R[at[3]] = nil
		data, ok := v.(map[string]any)
		if !ok {
			if v == nil {
				return nil
			}
			return &BindError{Want: t, Got: v}
		}
		m.Charge(256)
		if dynamic {
			a.R[at[3]] = &Map{t: t, host: data}
			return nil
		}
		mp := newMap(t)
		a.R[at[3]] = mp
		val := newArray(t.Elem.Slots, 1)
		for _, k := range sortedKeys(data) {
			m.zero(t.Elem, val)
			if x := data[k]; x != nil {
				if err := elem.bind(m, val, ir.Layout{}, x); err != nil {
					err.Path = fmt.Sprintf("[%q]%s", k, err.Path)
					return err
				}
			}
			key := Array{S: []string{k}}
			i := m.slot(mp, &key, 0)
			to := mp.vals.part(t.Elem.Slots, i, 1)
			to.set(val)
		}
		return nil
	}, nil
}
