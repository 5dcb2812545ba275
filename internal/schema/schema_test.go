package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/theseus-run/theseus/internal/yamldoc"
)

const shop = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["url", "retries"],
  "additionalProperties": false,
  "properties": {
    "url": {"type": "string", "format": "uri", "description": "Where to pay."},
    "retries": {"type": "integer", "minimum": 0, "maximum": 5},
    "mode": {"enum": ["test", "live"]},
    "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}},
    "old": false,
    "kind": {"const": "shop"},
    "id": {"type": "string", "pattern": "^[a-z]+$"},
    "either": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"run": {"type": "string"}}, "additionalProperties": false}]}
  },
  "$defs": {"rule": {"type": "object", "properties": {"from": {"type": "number"}}, "required": ["from"], "additionalProperties": false}}
}`

func TestValidate(t *testing.T) {
	s, err := Compile("config/pay.schema.json", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ src, want string }{
		{"url: https://a.b\nretries: 3\nrules: [{from: 1.5}, {from: 2}]\neither: x\n", ""},
		{"url: https://a.b\n", `1:1: key "retries" is missing | `},
		{"url: 5\nretries: 9\n", `1:6: want a string, got number 5 | put it in quotes: "5"; 2:10: 9 is too large | use at most 5`},
		{"url: https://a.b\nretries: 1.5\nrtries: 2\n", `2:10: want a whole number, got number 1.5 | ; 3:1: unknown key "rtries" | did you mean "retries"?`},
		{"url: https://a.b\nretries: 1\nmode: lve\n", `3:7: "lve" is not one of the known values | did you mean "live"?`},
		{"url: https://a.b\nretries: 1\nrules:\n  - from: 1\n  - form: 2\n", `5:5: key "from" is missing in rules[1] | ; 5:5: unknown key "form" | did you mean "from"?`},
		{"url: https://a.b\nretries: 1\nold: 1\n", `3:1: old is not allowed here | remove it`},
		{"url: https://a.b\nretries: 1\nkind: x\nid: X1\n", `3:7: "x" is not shop | write shop; 4:5: "X1" does not have the right form | it must match ^[a-z]+$`},
		{"url: '::'\nretries: 1\n", `1:6: "::" is not a valid uri | where to pay`},
		{"url: https://a.b\nretries: 1\neither: {rn: x}\n", `3:10: unknown key "rn" | did you mean "run"?`},
		{"url: https://a.b\nretries: 1\neither: [1]\n", `3:9: want a string or a map, got a list | `},
		{"~\n", `1:1: want a map, got null | `},
		{"", `want a map, got null | `},
	} {
		doc, err := yamldoc.Parse("config/pay.yaml", []byte(c.src))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range yamldoc.Flatten("", s.Validate(doc)) {
			got = append(got, strings.TrimSpace(strings.TrimPrefix(e.Error(), "config/pay.yaml:"))+" | "+e.Hint)
		}
		if g := strings.Join(got, "; "); g != c.want {
			t.Errorf("%q:\ngot  %s\nwant %s", c.src, g, c.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"not json", "{\n  \"a\": 1,,\n}", "s.json:2:10: this is not JSON"},
		{"truncated", "{", "s.json"},
		{"not a schema", `{"type": "strng"}`, "s.json: this is not a JSON Schema"},
		{"bad pattern", `{"pattern": "("}`, "s.json: this is not a JSON Schema"},
		{"remote", `{"$ref": "https://example.com/x.json"}`, "s.json: the schema refers to another file"},
		{"file", `{"$ref": "file:///etc/passwd"}`, "s.json: the schema refers to another file"},
		{"relative", `{"$ref": "other.json"}`, "s.json: the schema refers to another file"},
		{"dialect", `{"$schema": "https://example.com/meta"}`, "s.json: the schema refers to another file"},
		{"dangling", `{"$ref": "#/$defs/none"}`, "s.json: this is not a JSON Schema"},
		{"large", `"` + strings.Repeat("a", MaxBytes) + `"`, "s.json: the schema has"},
		{"deep", strings.Repeat(`{"not":`, 100_000), "s.json: the schema has"},
		{"deep small", strings.Repeat(`{"not":`, 100) + "{}" + strings.Repeat("}", 100), "s.json: the schema is nested deeper"},
	} {
		s, err := Compile("s.json", []byte(c.src))
		if err == nil || s != nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: Compile = %v, want %s", c.name, err, c.want)
		}
	}
}

// A schema whose branches double at each level ends at the budget.
func TestSteps(t *testing.T) {
	defs := map[string]any{"d40": map[string]any{"type": "object"}}
	for i := range 40 {
		ref := map[string]any{"$ref": fmt.Sprintf("#/$defs/d%d", i+1)}
		defs[fmt.Sprintf("d%d", i)] = map[string]any{"allOf": []any{ref, ref}}
	}
	src, err := json.Marshal(map[string]any{"$defs": defs, "$ref": "#/$defs/d0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a: 1\n", "text\n"} {
		s, err := Compile("s.json", src)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := yamldoc.Parse("c.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err == nil || !strings.Contains(err.Error(), "more than 1000000 steps") {
			t.Errorf("%q: Validate = %v", text, err)
		}
	}
	if s, err := Compile("s.json", []byte(`{"$ref": "#"}`)); err == nil {
		doc, _ := yamldoc.Parse("c.yaml", []byte("a: 1\n"))
		if err := s.Validate(doc); err == nil {
			t.Error("a schema that is only itself accepts")
		}
	}
}

func TestConcurrentValidate(t *testing.T) {
	s, err := Compile("s.json", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yamldoc.Parse("c.yaml", []byte("url: https://a.b\nretries: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := s.Validate(doc); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestGenerate(t *testing.T) {
	type inner struct {
		N int `json:"n,omitempty" jsonschema:"minimum=1"`
	}
	type outer struct {
		Name string           `json:"name" jsonschema_description:"What it is called."`
		In   map[string]inner `json:"in,omitempty"`
	}
	text, err := Generate(outer{}, "https://theseus.run/schema/x.json", "x")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile("x.json", text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yamldoc.Parse("x.yaml", []byte("in: {a: {n: 0}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Validate(doc))
	if got != "x.yaml:1:1: key \"name\" is missing\nx.yaml:1:13: 0 is too small" {
		t.Errorf("Validate = %s\n%s", got, text)
	}
}
