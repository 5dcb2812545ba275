package script

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A Value is an immutable piece of data that crosses between the host and a
// script: null, bool, number, string, list or map with string keys. It holds a
// Go tree, JSON text or both; each engine takes the form that is cheap for it.
// The zero Value is null. Neither form may be changed once it is in a Value.
type Value struct {
	tree any
	text []byte
	kind form
}

type form uint8

const (
	isNull form = iota
	isTree
	isText
)

// Of returns v as a Value. v must be made of nil, bool, string, the numeric
// types, json.Number, []any, map[string]any, or types that encoding/json can
// encode. A Value is returned as it is.
func Of(v any) Value {
	switch v := v.(type) {
	case nil:
		return Value{}
	case Value:
		return v
	}
	return Value{kind: isTree, tree: v}
}

// JSON returns the Value with the given JSON text. The text must be valid and
// must not be changed afterwards; [Parse] is the checking form.
func JSON(text []byte) Value {
	if len(text) == 0 || string(text) == "null" {
		return Value{}
	}
	return Value{kind: isText, text: text}
}

// Parse returns the Value with the given JSON text after checking it.
func Parse(text []byte) (Value, error) {
	if !json.Valid(text) {
		var v any
		err := json.Unmarshal(text, &v)
		return Value{}, fmt.Errorf("parse JSON: %w", err)
	}
	return JSON(bytes.Clone(bytes.TrimSpace(text))), nil
}

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == isNull }

// Text returns v as JSON. The result must not be changed.
func (v Value) Text() ([]byte, error) {
	switch v.kind {
	case isNull:
		return []byte("null"), nil
	case isText:
		return v.text, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.tree); err != nil {
		return nil, fmt.Errorf("encode value: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Tree returns v as Go values: nil, bool, float64, string, []any and
// map[string]any for a value that came as JSON; what [Of] was given otherwise.
// The result must not be changed.
func (v Value) Tree() any {
	switch v.kind {
	case isNull:
		return nil
	case isText:
		var t any
		if json.Unmarshal(v.text, &t) != nil {
			return nil
		}
		return t
	}
	return v.tree
}

// Plain returns v's string when it is one that was made by [Of].
func (v Value) Plain() (string, bool) {
	if v.kind != isTree {
		return "", false
	}
	s, ok := v.tree.(string)
	return s, ok
}

// Decode stores v in the value that into points to, as encoding/json does.
func (v Value) Decode(into any) error {
	text, err := v.Text()
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) { return v.Text() }

// UnmarshalJSON implements json.Unmarshaler.
func (v *Value) UnmarshalJSON(text []byte) error {
	*v = JSON(bytes.Clone(text))
	return nil
}

// String returns v as JSON for messages, cut at 200 bytes.
func (v Value) String() string {
	text, err := v.Text()
	if err != nil {
		return err.Error()
	}
	if len(text) > 200 {
		return string(text[:200]) + "…"
	}
	return string(text)
}
