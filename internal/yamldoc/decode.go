package yamldoc

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/theseus-run/theseus/script"
)

// An Unmarshaler decodes itself from a node. Its error should be made with
// Node.Problem or Node.Decode, so that it carries a position; any other is
// reported at the node.
type Unmarshaler interface {
	UnmarshalYAML(n *Node) error
}

// An Option changes how Decode works.
type Option func(*decoder)

// AllowUnknown makes Decode pass over keys that the target does not know.
func AllowUnknown() Option { return func(d *decoder) { d.unknown = true } }

type decoder struct {
	unknown bool
	errs    Errors
}

// Decode stores the document in the value that into points to and returns all
// mistakes as Errors. On error the value is partly filled and not to be used.
//
// Struct fields are named by their yaml tag, else their json tag, else their
// name in lower case; "-" hides a field, and embedded structs count as part of
// the outer one. Unknown keys and values of another type are errors. Null
// leaves a field as it is. Types may implement [Unmarshaler] or
// encoding.TextUnmarshaler; an `any` gets plain data, see [DecodeAny].
func (d *Doc) Decode(into any, opts ...Option) error { return decode(d.Root(), into, opts) }

func decode(n *Node, into any, opts []Option) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("decode %s: the target is %T, not a pointer", n.doc.name, into)
	}
	var d decoder
	for _, o := range opts {
		o(&d)
	}
	d.value(n, v.Elem())
	return d.errs.Err()
}

func (d *decoder) fail(n *Node, hint, format string, args ...any) {
	d.errs = append(d.errs, n.Problem(script.Refused, fmt.Sprintf(format, args...), hint))
}

func (d *decoder) value(n *Node, v reflect.Value) {
	if v.CanAddr() {
		switch u := v.Addr().Interface().(type) {
		case Unmarshaler:
			if err := u.UnmarshalYAML(n); err != nil {
				d.foreign(n, err)
			}
			return
		case encoding.TextUnmarshaler:
			d.text(n, u)
			return
		}
	}
	if n.kind == Null {
		if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface || v.Kind() == reflect.Map || v.Kind() == reflect.Slice {
			v.SetZero()
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem())
	case reflect.Interface:
		if v.NumMethod() > 0 {
			d.fail(n, "", "cannot decode into %s", v.Type())
			return
		}
		v.Set(reflect.ValueOf(n.Any()))
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Slice, reflect.Array:
		d.list(n, v)
	default:
		d.scalar(n, v)
	}
}

// foreign records an error of an Unmarshaler.
func (d *decoder) foreign(n *Node, err error) {
	list := Flatten(n.doc.name, err)
	for _, e := range list {
		if e.Line == 0 {
			e = n.Problem(e.Kind, e.Message, e.Hint)
		}
		d.errs = append(d.errs, e)
	}
}

func (d *decoder) text(n *Node, u encoding.TextUnmarshaler) {
	switch n.kind {
	case Null:
		return
	case List, Map:
		d.fail(n, "", "want text, got %s", n.Describe())
		return
	}
	if err := u.UnmarshalText([]byte(n.text)); err != nil {
		d.fail(n, "", "%s: %v", n.Show(), err)
	}
}

func (d *decoder) structure(n *Node, v reflect.Value) {
	if n.kind != Map {
		d.fail(n, "", "want a map, got %s", n.Describe())
		return
	}
	fields := fieldsOf(v.Type())
	for _, e := range n.pairs {
		index, ok := fields[e.Key.text]
		if !ok {
			if !d.unknown {
				known := make([]string, 0, len(fields))
				for k := range fields {
					known = append(known, k)
				}
				d.fail(e.Key, DidYouMean(e.Key.text, known), "unknown key %q", e.Key.text)
			}
			continue
		}
		d.value(e.Value, v.FieldByIndex(index))
	}
}

// fieldsOf returns the index path of each field that a map may name.
func fieldsOf(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() {
			continue
		}
		tag, ok := f.Tag.Lookup("yaml")
		if !ok {
			tag = f.Tag.Get("json")
		}
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case name == "-", name == "" && f.Anonymous:
			continue
		case name == "":
			name = strings.ToLower(f.Name)
		}
		if _, hidden := out[name]; !hidden || len(f.Index) == 1 {
			out[name] = f.Index
		}
	}
	return out
}

func (d *decoder) mapping(n *Node, v reflect.Value) {
	if n.kind != Map {
		d.fail(n, "", "want a map, got %s", n.Describe())
		return
	}
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		d.fail(n, "", "cannot decode into %s", t)
		return
	}
	m := reflect.MakeMapWithSize(t, len(n.pairs))
	for _, e := range n.pairs {
		x := reflect.New(t.Elem()).Elem()
		d.value(e.Value, x)
		m.SetMapIndex(reflect.ValueOf(e.Key.text).Convert(t.Key()), x)
	}
	v.Set(m)
}

func (d *decoder) list(n *Node, v reflect.Value) {
	if n.kind != List {
		d.fail(n, "write [ … ], or one \"- \" a line", "want a list, got %s", n.Describe())
		return
	}
	if v.Kind() == reflect.Array {
		d.fail(n, "", "cannot decode into %s", v.Type())
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, x := range n.items {
		d.value(x, s.Index(i))
	}
	v.Set(s)
}

func (d *decoder) scalar(n *Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if n.kind == String {
			v.SetString(n.text)
			return
		}
		hint := ""
		if n.kind != List && n.kind != Map {
			hint = fmt.Sprintf("put it in quotes: %q", n.text)
		}
		d.fail(n, hint, "want a string, got %s", n.Describe())
	case reflect.Bool:
		if b, ok := n.value.(bool); ok {
			v.SetBool(b)
			return
		}
		d.fail(n, "", "want true or false, got %s", n.Describe())
	case reflect.Float32, reflect.Float64:
		switch x := n.value.(type) {
		case float64:
			v.SetFloat(x)
		case int64:
			v.SetFloat(float64(x))
		case uint64:
			v.SetFloat(float64(x))
		default:
			d.fail(n, "", "want a number, got %s", n.Describe())
		}
	default:
		d.integer(n, v)
	}
}

func (d *decoder) integer(n *Node, v reflect.Value) {
	switch {
	case v.CanInt():
		if x, ok := n.value.(int64); ok && !v.OverflowInt(x) {
			v.SetInt(x)
			return
		}
	case v.CanUint():
		if x, ok := n.value.(int64); ok && x >= 0 && !v.OverflowUint(uint64(x)) {
			v.SetUint(uint64(x))
			return
		}
		if x, ok := n.value.(uint64); ok && !v.OverflowUint(x) {
			v.SetUint(x)
			return
		}
	default:
		d.fail(n, "", "cannot decode into %s", v.Type())
		return
	}
	if n.kind == Number {
		d.fail(n, "", "want a whole number in range, got %s", n.Show())
		return
	}
	d.fail(n, "", "want a whole number, got %s", n.Describe())
}
