package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/theseus-run/theseus/script"
)

// maxText bounds the bytes of all texts that one evaluation makes.
const maxText = 8 << 20

// charge accounts for a text of n bytes before it is made.
func (s *state) charge(n int) error {
	if n > maxText || s.bytes > maxText-n {
		return fmt.Errorf("the texts made are larger than %d bytes", maxText)
	}
	s.bytes += n
	return nil
}

// field is v[key].
func field(v, key any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		k, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("a field is named by a text, got %s", typeName(key))
		}
		return v[k], nil
	case []any:
		if _, ok := key.(string); ok {
			return nil, fmt.Errorf("a list has no field %q", key)
		}
		i, ok := toInt(key)
		if !ok {
			return nil, fmt.Errorf("a list is indexed by a whole number, got %s", typeName(key))
		}
		if i < 0 {
			i += int64(len(v))
		}
		if i < 0 || i >= int64(len(v)) {
			return nil, nil
		}
		return v[i], nil
	case script.Value:
		return field(v.Tree(), key)
	}
	if t, ok := tree(v); ok {
		return field(t, key)
	}
	if k, ok := key.(string); ok {
		return nil, fmt.Errorf("%s has no field %q", typeName(v), k)
	}
	return nil, fmt.Errorf("%s has no elements", typeName(v))
}

// tree turns the typed maps, lists and structs that a host may hand in into the
// plain ones of the language.
func tree(v any) (any, bool) {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer:
	default:
		return nil, false
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	var t any
	if json.Unmarshal(text, &t) != nil {
		return nil, false
	}
	switch t.(type) {
	case map[string]any, []any:
		return t, true
	}
	return nil, false
}

// truth is v as a condition.
func truth(v any) (bool, error) {
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return false, fmt.Errorf("expected true or false, got %s", describe(v))
}

// operate is a op b for the operators that compute both sides.
func operate(s *state, op string, a, b any) (any, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "<", "<=", ">", ">=":
		return order(op, a, b)
	case "in":
		return contains(b, a)
	case "contains":
		return contains(a, b)
	case "startsWith":
		return affix(strings.HasPrefix, a, b)
	case "endsWith":
		return affix(strings.HasSuffix, a, b)
	case "+":
		x, okx := a.(string)
		y, oky := b.(string)
		if okx && oky {
			if err := s.charge(len(x) + len(y)); err != nil {
				return nil, err
			}
			return x + y, nil
		}
		if okx || oky {
			return nil, fmt.Errorf("can't add %s and %s; string(x) makes a text, number(x) a number", describe(a), describe(b))
		}
	}
	return arithmetic(op, a, b)
}

func affix(has func(s, part string) bool, a, b any) (any, error) {
	if a == nil {
		return false, nil
	}
	x, okx := a.(string)
	y, oky := b.(string)
	if !okx || !oky {
		return nil, fmt.Errorf("expected two texts, got %s and %s", describe(a), describe(b))
	}
	return has(x, y), nil
}

// contains reports whether list, map or text c has x in it; nil has nothing.
func contains(c, x any) (any, error) {
	switch c := c.(type) {
	case nil:
		return false, nil
	case string:
		part, ok := x.(string)
		if !ok {
			return nil, fmt.Errorf("a text contains texts, got %s", describe(x))
		}
		return strings.Contains(c, part), nil
	case []any:
		return slices.ContainsFunc(c, func(v any) bool { return equal(v, x) }), nil
	case map[string]any:
		k, ok := x.(string)
		if !ok {
			return nil, fmt.Errorf("the keys of an object are texts, got %s", describe(x))
		}
		_, has := c[k]
		return has, nil
	}
	if t, ok := tree(c); ok {
		return contains(t, x)
	}
	return nil, fmt.Errorf("%s contains nothing; expected a text, a list or an object", describe(c))
}

// order compares two numbers or two texts.
func order(op string, a, b any) (any, error) {
	var c int
	x, okx := a.(string)
	y, oky := b.(string)
	if okx && oky {
		c = strings.Compare(x, y)
	} else {
		m, okm := toFloat(a)
		n, okn := toFloat(b)
		if !okm || !okn {
			return nil, fmt.Errorf("can't compare %s %s %s%s", describe(a), op, describe(b), ifMissing(a, b))
		}
		i, oki := toExact(a)
		j, okj := toExact(b)
		switch {
		case oki && okj:
			c = compare(i, j)
		case m != m || n != n:
			return false, nil
		default:
			c = compare(m, n)
		}
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

func compare[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func ifMissing(a, b any) string {
	if a == nil || b == nil {
		return "; a missing value is nil, default(x, 0) replaces it"
	}
	return ""
}

// arithmetic is a op b for numbers: whole as long as both are and it fits.
func arithmetic(op string, a, b any) (any, error) {
	x, okx := toFloat(a)
	y, oky := toFloat(b)
	if !okx || !oky {
		return nil, fmt.Errorf("can't compute %s %s %s%s", describe(a), op, describe(b), ifMissing(a, b))
	}
	if i, ok := toExact(a); ok {
		if j, ok := toExact(b); ok {
			if v, ok := whole(op, i, j); ok {
				return v, nil
			}
		}
	}
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "**":
		return finite(math.Pow(x, y))
	case "/", "%":
		if y == 0 {
			return nil, errors.New("division by zero")
		}
		if op == "/" {
			return finite(x / y)
		}
		return finite(math.Mod(x, y))
	}
	return nil, fmt.Errorf("unknown operator %q", op)
}

func finite(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("the result is not a number")
	}
	return f, nil
}

// whole computes with whole numbers; ok is false when the result would not be one.
func whole(op string, a, b int64) (v int64, ok bool) {
	switch op {
	case "+":
		v = a + b
		return v, (v > a) == (b > 0)
	case "-":
		v = a - b
		return v, (v < a) == (b > 0)
	case "*":
		if a == 0 || b == 0 {
			return 0, true
		}
		v = a * b
		return v, v/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
	case "%":
		if b == 0 || b == -1 {
			return 0, b != 0
		}
		return a % b, true
	}
	return 0, false
}

// equal compares by value.
func equal(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case string:
		y, ok := b.(string)
		return ok && x == y
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			w, has := y[k]
			if !has || !equal(v, w) {
				return false
			}
		}
		return true
	}
	if i, ok := toExact(a); ok {
		if j, ok := toExact(b); ok {
			return i == j
		}
	}
	m, okm := toFloat(a)
	n, okn := toFloat(b)
	if okm || okn {
		return okm && okn && m == n
	}
	if t, ok := tree(a); ok {
		if u, ok := tree(b); ok {
			b = u
		}
		return equal(t, b)
	}
	return false
}

// toExact returns a number of one of Go's integer types.
func toExact(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case int32:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint64:
		return int64(n), n <= math.MaxInt64
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	}
	return 0, false
}

func toFloat(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	case bool, string, nil:
		return 0, false
	}
	if i, ok := toExact(v); ok {
		return float64(i), true
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}

// toInt returns a whole number of any type.
func toInt(v any) (int64, bool) {
	if i, ok := toExact(v); ok {
		return i, true
	}
	f, ok := toFloat(v)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// typeName is the type of v in the words of the language.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case bool:
		return "bool"
	case string:
		return "string"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	}
	if _, ok := toFloat(v); ok {
		return "number"
	}
	if t, ok := tree(v); ok {
		return typeName(t)
	}
	return fmt.Sprintf("%T", v)
}

// describe is v's type, with its value when that is short.
func describe(v any) string {
	switch x := v.(type) {
	case nil:
		return "nil"
	case bool:
		return strconv.FormatBool(x)
	case string:
		if len(x) <= 40 {
			return "string " + strconv.Quote(x)
		}
	}
	if f, ok := toFloat(v); ok {
		return "number " + formatFloat(f)
	}
	return typeName(v)
}
