package workflow

import (
	"fmt"
	"math"
	"strings"

	"github.com/theseus-run/theseus/script"
)

// A field is one declared input.
type field struct {
	name     string
	typ      string
	optional bool
}

// typeNames are the types of inputs.
var typeNames = []string{"string", "int", "number", "bool", "object", "list", "any"}

// inputTypes says for each type whether a value is of it.
var inputTypes = map[string]func(v any) bool{
	"string": func(v any) bool { _, ok := v.(string); return ok },
	"bool":   func(v any) bool { _, ok := v.(bool); return ok },
	"object": func(v any) bool { _, ok := v.(map[string]any); return ok },
	"list":   func(v any) bool { _, ok := v.([]any); return ok },
	"number": func(v any) bool { _, ok := v.(float64); return ok },
	"int":    func(v any) bool { f, ok := v.(float64); return ok && f == math.Trunc(f) && math.Abs(f) <= 1<<53 },
	"any":    func(any) bool { return true },
}

// jsonType names the type of a JSON value in a message.
func jsonType(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "bool"
	case map[string]any:
		return "object"
	case []any:
		return "list"
	case float64:
		if v == math.Trunc(v) {
			return "number"
		}
		return fmt.Sprintf("number %v", v)
	}
	return fmt.Sprintf("%T", v)
}

// bind checks the argument of a call and returns the input that expressions
// see: the declared fields, or the whole argument when none is declared.
func (u *Unit) bind(args []script.Value) (any, error) {
	var in any
	if len(args) > 0 {
		// Through JSON, so that every number is a float64 and nothing is shared.
		if err := args[0].Decode(&in); err != nil {
			return nil, u.refused("input: " + err.Error())
		}
	}
	if u.anyInput {
		return in, nil
	}
	given, ok := in.(map[string]any)
	if !ok && in != nil {
		return nil, u.refused("input: want object, got " + jsonType(in))
	}
	out := make(map[string]any, len(u.input))
	var wrong []string
	for _, f := range u.input {
		v, has := given[f.name]
		switch {
		case (!has || v == nil) && f.optional:
			out[f.name] = nil
		case !has:
			wrong = append(wrong, fmt.Sprintf("input.%s: want %s, got nothing", f.name, f.typ))
		case !inputTypes[f.typ](v):
			wrong = append(wrong, fmt.Sprintf("input.%s: want %s, got %s", f.name, f.typ, jsonType(v)))
		default:
			out[f.name] = v
		}
	}
	if len(wrong) > 0 {
		return nil, u.refused(strings.Join(wrong, "; "))
	}
	return out, nil
}

func (u *Unit) refused(message string) error {
	return &script.Error{Kind: script.Refused, File: u.name, Message: message}
}
