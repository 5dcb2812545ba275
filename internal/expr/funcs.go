package expr

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A function is one that expressions can call.
type function struct {
	name     string
	min, max int // arguments; max < 0 for any number
	call     func(s *state, args []any) (any, error)
}

// arity says how many arguments f takes.
func (f *function) arity() string {
	noun := func(n int) string {
		if n == 1 {
			return "1 argument"
		}
		return fmt.Sprintf("%d arguments", n)
	}
	switch {
	case f.max < 0:
		return "at least " + noun(f.min)
	case f.min == f.max:
		return noun(f.min)
	}
	return fmt.Sprintf("%d to %s", f.min, noun(f.max))
}

// standard are the functions of the package doc.
var standard = map[string]*function{
	"length":     {min: 1, max: 1, call: length},
	"len":        {min: 1, max: 1, call: length},
	"upper":      {min: 1, max: 1, call: onText(strings.ToUpper)},
	"lower":      {min: 1, max: 1, call: onText(strings.ToLower)},
	"trim":       {min: 1, max: 1, call: onText(strings.TrimSpace)},
	"first":      {min: 1, max: 1, call: element(0)},
	"last":       {min: 1, max: 1, call: element(-1)},
	"keys":       {min: 1, max: 1, call: keys},
	"values":     {min: 1, max: 1, call: values},
	"default":    {min: 2, max: 2, call: orElse},
	"join":       {min: 1, max: 2, call: join},
	"split":      {min: 2, max: 2, call: split},
	"contains":   {min: 2, max: 2, call: operator("contains")},
	"startsWith": {min: 2, max: 2, call: operator("startsWith")},
	"endsWith":   {min: 2, max: 2, call: operator("endsWith")},
	"replace":    {min: 3, max: 3, call: replace},
	"round":      {min: 1, max: 2, call: round},
	"floor":      {min: 1, max: 1, call: onNumber(math.Floor)},
	"ceil":       {min: 1, max: 1, call: onNumber(math.Ceil)},
	"abs":        {min: 1, max: 1, call: onNumber(math.Abs)},
	"min":        {min: 1, max: -1, call: extreme("<")},
	"max":        {min: 1, max: -1, call: extreme(">")},
	"sum":        {min: 1, max: 1, call: sum},
	"string":     {min: 1, max: 1, call: func(s *state, args []any) (any, error) { return s.text(args[0]) }},
	"number":     {min: 1, max: 1, call: toNumber},
	"int":        {min: 1, max: 1, call: truncate},
	"json":       {min: 1, max: 1, call: asJSON},
	"type":       {min: 1, max: 1, call: func(_ *state, args []any) (any, error) { return typeName(args[0]), nil }},
}

// functions returns all that expressions under opt can call.
func functions(opt *Options) map[string]*function {
	all := make(map[string]*function, len(standard)+len(opt.Funcs))
	for name, f := range standard {
		all[name] = &function{name, f.min, f.max, f.call}
	}
	for _, f := range opt.Funcs {
		all[f.Name] = &function{f.Name, f.Min, f.Max, func(s *state, args []any) (any, error) { return f.Call(s.vars, args) }}
	}
	return all
}

func operator(op string) func(*state, []any) (any, error) {
	return func(s *state, args []any) (any, error) { return operate(s, op, args[0], args[1]) }
}

// onText is a function of a text; nil stays nil.
func onText(f func(string) string) func(*state, []any) (any, error) {
	return func(s *state, args []any) (any, error) {
		switch x := args[0].(type) {
		case nil:
			return nil, nil
		case string:
			if err := s.charge(len(x)); err != nil {
				return nil, err
			}
			return f(x), nil
		}
		return nil, fmt.Errorf("expected a text, got %s", describe(args[0]))
	}
}

func onNumber(f func(float64) float64) func(*state, []any) (any, error) {
	return func(_ *state, args []any) (any, error) {
		x, ok := toFloat(args[0])
		if !ok {
			return nil, fmt.Errorf("expected a number, got %s", describe(args[0]))
		}
		return f(x), nil
	}
}

// listOf is v as a list; nil is the empty one.
func listOf(v any) ([]any, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case []any:
		return x, nil
	}
	if t, ok := tree(v); ok {
		if x, ok := t.([]any); ok {
			return x, nil
		}
	}
	return nil, fmt.Errorf("expected a list, got %s", describe(v))
}

// objectOf is v as an object; nil is the empty one.
func objectOf(v any) (map[string]any, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return x, nil
	}
	if t, ok := tree(v); ok {
		if x, ok := t.(map[string]any); ok {
			return x, nil
		}
	}
	return nil, fmt.Errorf("expected an object, got %s", describe(v))
}

func length(_ *state, args []any) (any, error) {
	switch x := args[0].(type) {
	case nil:
		return int64(0), nil
	case string:
		return int64(utf8.RuneCountInString(x)), nil
	case []any:
		return int64(len(x)), nil
	case map[string]any:
		return int64(len(x)), nil
	}
	if t, ok := tree(args[0]); ok {
		return length(nil, []any{t})
	}
	return nil, fmt.Errorf("%s has no length", describe(args[0]))
}

func element(i int64) func(*state, []any) (any, error) {
	return func(_ *state, args []any) (any, error) {
		list, err := listOf(args[0])
		if err != nil {
			return nil, err
		}
		return field(list, i)
	}
}

func keys(_ *state, args []any) (any, error) {
	m, err := objectOf(args[0])
	if err != nil {
		return nil, err
	}
	out := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k)
	}
	return out, nil
}

// values returns the values of an object, ordered by key.
func values(_ *state, args []any) (any, error) {
	m, err := objectOf(args[0])
	if err != nil {
		return nil, err
	}
	out := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out, nil
}

func orElse(_ *state, args []any) (any, error) {
	if args[0] == nil {
		return args[1], nil
	}
	return args[0], nil
}

func join(s *state, args []any) (any, error) {
	list, err := listOf(args[0])
	if err != nil {
		return nil, err
	}
	sep := ","
	if len(args) > 1 {
		var ok bool
		if sep, ok = args[1].(string); !ok {
			return nil, fmt.Errorf("the separator is a text, got %s", describe(args[1]))
		}
	}
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			if err := s.charge(len(sep)); err != nil {
				return nil, err
			}
			b.WriteString(sep)
		}
		text, err := s.text(v)
		if err != nil {
			return nil, err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func split(s *state, args []any) (any, error) {
	if args[0] == nil {
		return []any{}, nil
	}
	text, ok := args[0].(string)
	sep, ok2 := args[1].(string)
	if !ok || !ok2 {
		return nil, fmt.Errorf("expected two texts, got %s and %s", describe(args[0]), describe(args[1]))
	}
	n := strings.Count(text, sep) + 1
	if err := s.charge(16 * n); err != nil {
		return nil, err
	}
	out := make([]any, 0, n)
	for part := range strings.SplitSeq(text, sep) {
		out = append(out, part)
	}
	return out, nil
}

func replace(s *state, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	var part [3]string
	for i, a := range args {
		var ok bool
		if part[i], ok = a.(string); !ok {
			return nil, fmt.Errorf("expected three texts, got %s", describe(a))
		}
	}
	text, before, after := part[0], part[1], part[2]
	n := int64(strings.Count(text, before))
	grown := int64(len(text)) + n*int64(len(after)-len(before))
	if before == "" {
		grown = int64(len(text)) + n*int64(len(after))
	}
	if err := s.charge(int(min(grown, maxText+1))); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(text, before, after), nil
}

// round rounds half away from zero.
func round(_ *state, args []any) (any, error) {
	x, ok := toFloat(args[0])
	if !ok {
		return nil, fmt.Errorf("expected a number, got %s", describe(args[0]))
	}
	if len(args) == 1 {
		return math.Round(x), nil
	}
	digits, ok := toInt(args[1])
	if !ok || digits < 0 || digits > 15 {
		return nil, fmt.Errorf("the digits are a whole number from 0 to 15, got %s", describe(args[1]))
	}
	scale := math.Pow10(int(digits))
	if r := math.Round(x*scale) / scale; !math.IsInf(r, 0) && !math.IsNaN(r) {
		return r, nil
	}
	return x, nil
}

// extreme is min or max: of its arguments, or of one list.
func extreme(op string) func(*state, []any) (any, error) {
	return func(_ *state, args []any) (any, error) {
		if len(args) == 1 {
			list, err := listOf(args[0])
			if err != nil {
				return nil, err
			}
			if args = list; len(args) == 0 {
				return nil, nil
			}
		}
		best := args[0]
		if _, err := order(op, best, best); err != nil {
			return nil, err
		}
		for _, v := range args[1:] {
			better, err := order(op, v, best)
			if err != nil {
				return nil, err
			}
			if better == true {
				best = v
			}
		}
		return best, nil
	}
}

func sum(_ *state, args []any) (any, error) {
	list, err := listOf(args[0])
	if err != nil {
		return nil, err
	}
	var total any = int64(0)
	for _, v := range list {
		if total, err = arithmetic("+", total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func toNumber(_ *state, args []any) (any, error) {
	switch x := args[0].(type) {
	case nil:
		return nil, nil
	case bool:
		if x {
			return int64(1), nil
		}
		return int64(0), nil
	case string:
		text := strings.TrimSpace(x)
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, nil
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, fmt.Errorf("%s is not a number", describe(x))
		}
		return f, nil
	}
	if _, ok := toFloat(args[0]); ok {
		return args[0], nil
	}
	return nil, fmt.Errorf("expected a number or a text, got %s", describe(args[0]))
}

// truncate is the whole part of a number or of a text that is one.
func truncate(s *state, args []any) (any, error) {
	v, err := toNumber(s, args)
	if err != nil || v == nil {
		return v, err
	}
	if i, ok := toExact(v); ok {
		return i, nil
	}
	f, _ := toFloat(v)
	if math.IsNaN(f) || math.Abs(f) >= 1<<63 {
		return nil, errors.New("the number is too large")
	}
	return int64(f), nil
}

func asJSON(s *state, args []any) (any, error) {
	text, err := s.json(args[0])
	if err != nil {
		return nil, err
	}
	return text, s.charge(len(text))
}
