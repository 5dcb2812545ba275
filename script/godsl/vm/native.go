package vm

import (
	"fmt"
	"math"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// Functions of the library are Go functions of one of the types below. The
// short ones are called without a window; the last one finds its arguments in
// its window, with [Machine.Word] and the like, and puts its results there.
type (
	nativeSS   = func(*Machine, string) string
	nativeSSS  = func(*Machine, string, string) string
	nativeSB   = func(*Machine, string) bool
	nativeSSB  = func(*Machine, string, string) bool
	nativeSSI  = func(*Machine, string, string) int64
	nativeIS   = func(*Machine, int64) string
	nativeIB   = func(*Machine, int64) bool
	nativeII   = func(*Machine, int64) int64
	nativeFF   = func(*Machine, float64) float64
	nativeFFF  = func(*Machine, float64, float64) float64
	nativeFB   = func(*Machine, float64) bool
	nativeWide = func(*Machine)
)

func (c *fnCompiler) nativeOf(x *ir.Call) any {
	if x.Fn.Native == "" {
		return nil
	}
	n, ok := c.natives[x.Fn.Native]
	if !ok {
		fail(x.P, "%s is not part of the library", x.Fn.Native)
	}
	return n
}

func (c *fnCompiler) nativeI(x *ir.Call) exprI {
	switch f := c.nativeOf(x).(type) {
	case nativeSSI:
		a, b := c.S(x.Args[0]), c.S(x.Args[1])
		return func(m *Machine) int64 {
			s := a(m)
			return f(m, s, b(m))
		}
	case nativeII:
		a := c.I(x.Args[0])
		return func(m *Machine) int64 { return f(m, a(m)) }
	}
	return nil
}

func (c *fnCompiler) nativeF(x *ir.Call) exprF {
	switch f := c.nativeOf(x).(type) {
	case nativeFF:
		a := c.F(x.Args[0])
		return func(m *Machine) float64 { return f(m, a(m)) }
	case nativeFFF:
		a, b := c.F(x.Args[0]), c.F(x.Args[1])
		return func(m *Machine) float64 {
			v := a(m)
			return f(m, v, b(m))
		}
	}
	return nil
}

func (c *fnCompiler) nativeB(x *ir.Call) exprB {
	switch f := c.nativeOf(x).(type) {
	case nativeSB:
		a := c.S(x.Args[0])
		return func(m *Machine) bool { return f(m, a(m)) }
	case nativeSSB:
		a, b := c.S(x.Args[0]), c.S(x.Args[1])
		return func(m *Machine) bool {
			s := a(m)
			return f(m, s, b(m))
		}
	case nativeIB:
		a := c.I(x.Args[0])
		return func(m *Machine) bool { return f(m, a(m)) }
	case nativeFB:
		a := c.F(x.Args[0])
		return func(m *Machine) bool { return f(m, a(m)) }
	}
	return nil
}

func (c *fnCompiler) nativeS(x *ir.Call) exprS {
	switch f := c.nativeOf(x).(type) {
	case nativeSS:
		a := c.S(x.Args[0])
		return func(m *Machine) string { return f(m, a(m)) }
	case nativeSSS:
		a, b := c.S(x.Args[0]), c.S(x.Args[1])
		return func(m *Machine) string {
			s := a(m)
			return f(m, s, b(m))
		}
	case nativeIS:
		a := c.I(x.Args[0])
		return func(m *Machine) string { return f(m, a(m)) }
	}
	return nil
}

// nativeTo compiles a call of a short native into registers; nil for the
// others, which are called like functions of the language.
func (c *fnCompiler) nativeTo(p place, x *ir.Call) exec {
	if _, wide := c.nativeOf(x).(nativeWide); wide {
		return nil
	}
	return c.store(p, x)
}

// native gives a library function the form of a compiled one.
func (c *fnCompiler) native() {
	f := c.out
	n, ok := c.natives[c.fn.Native]
	if !ok {
		fail(c.fn.Pos, "%s is not part of the library", c.fn.Native)
	}
	var call func(*Machine)
	switch n := n.(type) {
	case nativeSS:
		call = func(m *Machine) { m.s[0] = n(m, m.s[1]) }
	case nativeSSS:
		call = func(m *Machine) { m.s[0] = n(m, m.s[1], m.s[2]) }
	case nativeSB:
		call = func(m *Machine) { m.n[0] = bit(n(m, m.s[0])) }
	case nativeSSB:
		call = func(m *Machine) { m.n[0] = bit(n(m, m.s[0], m.s[1])) }
	case nativeSSI:
		call = func(m *Machine) { m.n[0] = uint64(n(m, m.s[0], m.s[1])) }
	case nativeIS:
		call = func(m *Machine) { m.s[0] = n(m, int64(m.n[0])) }
	case nativeIB:
		call = func(m *Machine) { m.n[0] = bit(n(m, int64(m.n[1]))) }
	case nativeII:
		call = func(m *Machine) { m.n[0] = uint64(n(m, int64(m.n[1]))) }
	case nativeFF:
		call = func(m *Machine) { m.n[0] = math.Float64bits(n(m, m.Float(1))) }
	case nativeFFF:
		call = func(m *Machine) { m.n[0] = math.Float64bits(n(m, m.Float(1), m.Float(2))) }
	case nativeFB:
		call = func(m *Machine) { m.n[0] = bit(n(m, m.Float(1))) }
	case nativeWide:
		call = n
	default:
		fail(c.fn.Pos, "native %s has the type %T", c.fn.Native, n)
	}
	f.body = func(m *Machine) ctl {
		call(m)
		return returned
	}
}

// Accessors for natives: slot k of the window, results first.

// Int returns a word as an integer.
func (m *Machine) Int(k int) int64 { return int64(m.n[k]) }

// SetInt sets a word.
func (m *Machine) SetInt(k int, v int64) { m.n[k] = uint64(v) }

// Bool returns a word as a bool.
func (m *Machine) Bool(k int) bool { return m.n[k] != 0 }

// SetBool sets a word to a bool.
func (m *Machine) SetBool(k int, v bool) { m.n[k] = bit(v) }

// Float returns a word as a float64.
func (m *Machine) Float(k int) float64 { return math.Float64frombits(m.n[k]) }

// SetFloat sets a word to a float64.
func (m *Machine) SetFloat(k int, v float64) { m.n[k] = math.Float64bits(v) }

// Str returns a string.
func (m *Machine) Str(k int) string { return m.s[k] }

// SetStr sets a string; it is not charged.
func (m *Machine) SetStr(k int, v string) { m.s[k] = v }

// View returns a slice or pointer.
func (m *Machine) View(k int) View { return m.l[k] }

// SetView sets a slice or pointer.
func (m *Machine) SetView(k int, v View) { m.l[k] = v }

// Ref returns a value of interface, map or func type.
func (m *Machine) Ref(k int) any { return m.r[k] }

// SetRef sets a value of interface, map or func type.
func (m *Machine) SetRef(k int, v any) { m.r[k] = v }

// Bytes returns the bytes of a []byte.
func (m *Machine) Bytes(v View) []byte { return []byte(m.bytesToString(v)) }

// FromBytes returns a []byte of the language.
func (m *Machine) FromBytes(b []byte) View { return m.stringToBytes(string(b)) }

// Strings returns the elements of a []string; they share its storage.
func (m *Machine) Strings(v View) []string {
	if v.Len == 0 {
		return nil
	}
	return v.A.S[v.Off : v.Off+v.Len]
}

// FromStrings charges and returns a []string of the language over list.
func (m *Machine) FromStrings(list []string) View {
	m.Charge(96 + 16*int64(len(list)))
	return View{A: &Array{S: list}, Len: int32(len(list)), Cap: int32(len(list))}
}

// Anys returns the elements of a []any; they share its storage.
func (m *Machine) Anys(v View) []any {
	if v.Len == 0 {
		return nil
	}
	return v.A.R[v.Off : v.Off+v.Len]
}

// Fail panics as the language does.
func (m *Machine) Fail(format string, args ...any) { m.fail(0, format, args...) }

// callMethodOn calls a method without arguments and with one string result.
func (m *Machine) callString(v any, t *ir.Type, name string) (string, bool) {
	table := m.program.texts[name]
	if table == nil {
		return "", false
	}
	f := table.find(t)
	if f == nil || len(f.typ.Params) != 0 || len(f.typ.Results) != 1 || f.typ.Results[0].Kind != ir.String {
		return "", false
	}
	saved := m.save()
	m.enter(0)
	m.open(f)
	m.putArgs(v, t, ir.Layout{ir.Strings: 1}, &Array{}, ir.Layout{})
	f.run(m)
	s := m.s[0]
	m.restore(&saved)
	return s, true
}

// PanicText returns what panic(v) says.
func (m *Machine) PanicText(v any) string {
	if v == nil {
		return "nil"
	}
	t := m.program.typeOf(v)
	if t == nil {
		return fmt.Sprint(v)
	}
	for _, name := range []string{"Error", "String"} {
		if s, ok := m.callString(v, t, name); ok {
			return s
		}
	}
	switch v := v.(type) {
	case string:
		return v
	case text:
		return v.s
	}
	if k, _ := unboxWord(v); k != ir.Invalid {
		return fmt.Sprint(v)
	}
	return "a value of type " + t.String()
}
