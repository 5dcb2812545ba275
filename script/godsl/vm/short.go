package vm

import (
	"go/token"
	"math"
	"slices"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// This file has the forms that rules are full of, each compiled to one closure.

// oneOf is x == "a" || x == "b" || … of a local string.
func (c *fnCompiler) oneOf(x *ir.Logic) exprB {
	if x.Op != token.LOR {
		return nil
	}
	var list []string
	var local ir.Expr
	var k uint8
	var walk func(ir.Expr) bool
	walk = func(e ir.Expr) bool {
		switch e := e.(type) {
		case *ir.Logic:
			return e.Op == token.LOR && walk(e.X) && walk(e.Y)
		case *ir.Compare:
			word, isConst := e.Y.(*ir.Const)
			j, isLocal := c.localOf(e.X, ir.Strings)
			if e.Op != token.EQL || !isConst || !isLocal || local != nil && j != k {
				return false
			}
			local, k = e.X, j
			list = append(list, word.Str)
			return true
		}
		return false
	}
	if !walk(x) {
		return nil
	}
	return func(m *Machine) bool { return slices.Contains(list, m.s[k]) }
}

// product is a*b of floats in registers, where a may be a converted integer.
func (c *fnCompiler) product(x *ir.Binary) exprF {
	j, ok := c.localOf(x.Y, ir.Words)
	if !ok || x.T.Kind != ir.Float64 {
		return nil
	}
	if k, ok := c.localOf(x.X, ir.Words); ok {
		return func(m *Machine) float64 { return math.Float64frombits(m.n[k]) * math.Float64frombits(m.n[j]) }
	}
	if conv, ok := x.X.(*ir.Convert); ok && conv.X.Type().Integer() && !conv.X.Type().Unsigned() && conv.T.Kind == ir.Float64 {
		if k, ok := c.localOf(conv.X, ir.Words); ok {
			return func(m *Machine) float64 { return float64(int64(m.n[k])) * math.Float64frombits(m.n[j]) }
		}
	}
	return nil
}

// plainType reports whether values of t are themselves in an interface.
func plainType(t *ir.Type, k ir.Kind) bool { return t.Name == "" && t.Kind == k }

// assertI, assertF, assertB and assertS are x.(T) for the usual types of data.

func (c *fnCompiler) assertI(x *ir.Assert) exprI {
	if x.OK || !plainType(x.To, ir.Int) {
		return nil
	}
	v, to, from, pos := c.R(x.X), x.To, x.X.Type(), int32(x.P)
	return func(m *Machine) int64 {
		val := v(m)
		n, ok := val.(int)
		if !ok {
			m.wrongType(from, val, to, pos)
		}
		return int64(n)
	}
}

func (c *fnCompiler) assertF(x *ir.Assert) exprF {
	if x.OK || !plainType(x.To, ir.Float64) {
		return nil
	}
	v, to, from, pos := c.R(x.X), x.To, x.X.Type(), int32(x.P)
	return func(m *Machine) float64 {
		val := v(m)
		f, ok := val.(float64)
		if !ok {
			m.wrongType(from, val, to, pos)
		}
		return f
	}
}

func (c *fnCompiler) assertB(x *ir.Assert) exprB {
	if x.OK || !plainType(x.To, ir.Bool) {
		return nil
	}
	v, to, from, pos := c.R(x.X), x.To, x.X.Type(), int32(x.P)
	return func(m *Machine) bool {
		val := v(m)
		b, ok := val.(bool)
		if !ok {
			m.wrongType(from, val, to, pos)
		}
		return b
	}
}

func (c *fnCompiler) assertS(x *ir.Assert) exprS {
	if x.OK || !plainType(x.To, ir.String) {
		return nil
	}
	v, to, from, pos := c.R(x.X), x.To, x.X.Type(), int32(x.P)
	return func(m *Machine) string {
		val := v(m)
		s, ok := val.(string)
		if !ok {
			m.wrongType(from, val, to, pos)
		}
		return s
	}
}

// plainIs tests for the usual types of data.
func plainIs(v exprR, to *ir.Type) exprB {
	if to.Name != "" {
		return nil
	}
	switch to.Kind {
	case ir.Int:
		return func(m *Machine) bool { _, ok := v(m).(int); return ok }
	case ir.Float64:
		return func(m *Machine) bool { _, ok := v(m).(float64); return ok }
	case ir.String:
		return func(m *Machine) bool { _, ok := v(m).(string); return ok }
	case ir.Bool:
		return func(m *Machine) bool { _, ok := v(m).(bool); return ok }
	}
	return nil
}
