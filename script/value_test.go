package script

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestValueForms(t *testing.T) {
	tests := []struct {
		v    Value
		text string
		tree any
	}{
		{Value{}, "null", nil}, {Of(nil), "null", nil}, {JSON(nil), "null", nil}, {JSON([]byte("null")), "null", nil},
		{Of("<é>"), `"<é>"`, "<é>"}, {JSON([]byte(`"x"`)), `"x"`, "x"}, {Of(7), "7", 7}, {JSON([]byte("7")), "7", 7.0},
		{JSON([]byte(`[1,{"a":null}]`)), `[1,{"a":null}]`, []any{1.0, map[string]any{"a": nil}}},
		{Of(map[string]any{"b": 1, "a": []any{true}}), `{"a":[true],"b":1}`, map[string]any{"b": 1, "a": []any{true}}},
		{Of(Of(1)), "1", 1}, {Of([]any{JSON([]byte(`{"x":"<"}`))}), `[{"x":"<"}]`, []any{JSON([]byte(`{"x":"<"}`))}},
	}
	for _, tt := range tests {
		text, err := tt.v.Text()
		if err != nil || string(text) != tt.text {
			t.Errorf("Text() = %s %v, want %s", text, err, tt.text)
		}
		if tree := tt.v.Tree(); !reflect.DeepEqual(tree, tt.tree) {
			t.Errorf("Tree() of %s = %#v, want %#v", tt.text, tree, tt.tree)
		}
		if tt.v.IsNull() != (tt.text == "null") {
			t.Errorf("IsNull() of %s", tt.text)
		}
		encoded, err := json.Marshal(map[string]any{"v": tt.v})
		if err != nil || !json.Valid(encoded) {
			t.Errorf("Marshal: %s %v", encoded, err)
		}
	}
}

func TestPlain(t *testing.T) {
	if s, ok := Of("x").Plain(); !ok || s != "x" {
		t.Errorf("%q %v", s, ok)
	}
	for _, v := range []Value{{}, Of(1), JSON([]byte(`"x"`))} {
		if s, ok := v.Plain(); ok {
			t.Errorf("%v: %q", v, s)
		}
	}
}

func TestParse(t *testing.T) {
	v, err := Parse([]byte(" {\"a\": 1}\n"))
	var into struct{ A int }
	if err != nil || v.Decode(&into) != nil || into.A != 1 {
		t.Errorf("%v %v", v, err)
	}
	for _, bad := range []string{"", "{", "1 2", "NaN", "'x'"} {
		if v, err := Parse([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "parse JSON: ") {
			t.Errorf("Parse(%q) = %v %v", bad, v, err)
		}
	}
	text := []byte("[1]")
	v, _ = Parse(text)
	text[1] = '2'
	if v.String() != "[1]" {
		t.Error("Parse shares the caller's memory")
	}
}

func TestValueUnmarshalCopies(t *testing.T) {
	var list []Value
	if err := json.Unmarshal([]byte(`[null, {"a":1}, "x"]`), &list); err != nil {
		t.Fatal(err)
	}
	if !list[0].IsNull() || list[1].String() != `{"a":1}` || list[2].Tree() != "x" {
		t.Errorf("%v", list)
	}
}

func TestValueString(t *testing.T) {
	if s := Of(strings.Repeat("x", 500)).String(); len(s) != 200+len("…") || !strings.HasSuffix(s, "…") {
		t.Errorf("%d %s", len(s), s)
	}
	if _, err := Of(math.Inf(1)).Text(); err == nil {
		t.Error("infinity has no JSON form")
	}
	if s := Of(make(chan int)).String(); !strings.Contains(s, "encode value") {
		t.Error(s)
	}
}
