package yamldoc

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/script"
)

func TestDecodeAny(t *testing.T) {
	for _, c := range []struct {
		src  string
		want any
	}{
		{"", nil},
		{"# only\n", nil},
		{"---\na: 1\n...\n", map[string]any{"a": int64(1)}},
		{"a: 1.5\nb: yes\nc: true\nd: ~\ne:\nf: 1e3\n", map[string]any{"a": 1.5, "b": "yes", "c": true, "d": nil, "e": nil, "f": 1000.0}},
		{"a: 18446744073709551615\nb: 0x10\nc: 0o17\nd: -3\ne: 1_000\nf: +2\n",
			map[string]any{"a": uint64(18446744073709551615), "b": int64(16), "c": int64(15), "d": int64(-3), "e": "1_000", "f": int64(2)}},
		{"a: |\n  x\n   y\nb: >-\n  p\n  q\n", map[string]any{"a": "x\n y\n", "b": "p q"}},
		{"'a b': \"c\\n\"\n200: ok\ntrue: x\n", map[string]any{"a b": "c\n", "200": "ok", "true": "x"}},
		{"a: [1, {b: c}, []]\nd: {}\n", map[string]any{"a": []any{int64(1), map[string]any{"b": "c"}, []any{}}, "d": map[string]any{}}},
		{"a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\n", map[string]any{
			"a": map[string]any{"p": int64(1), "q": int64(2)}, "b": map[string]any{"p": int64(1), "q": int64(3)}, "c": map[string]any{"p": int64(1), "q": int64(2)}}},
		{"a: &x\n  p: 1\nb:\n  <<: *x\n  q: 3\n", map[string]any{"a": map[string]any{"p": int64(1)}, "b": map[string]any{"p": int64(1), "q": int64(3)}}},
		{"a: !!str 12\nb: !!int 3\n", map[string]any{"a": "12", "b": int64(3)}},
		{"GET /x/{id}: h.js\nGET /: public/\n", map[string]any{"GET /x/{id}": "h.js", "GET /": "public/"}},
		{"a:\n- 1\n- b: 2\n  c: 3\n-\n  - x\n", map[string]any{"a": []any{int64(1), map[string]any{"b": int64(2), "c": int64(3)}, []any{"x"}}}},
		{"a: b\r\nc: d\r\n", map[string]any{"a": "b", "c": "d"}},
		{"x: ''\ny: \"\"\n", map[string]any{"x": "", "y": ""}},
		{"just text", "just text"},
	} {
		got, err := DecodeAny("f.yaml", []byte(c.src))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("DecodeAny(%q) = %#v, %v, want %#v", c.src, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, src, want, hint string }{
		{"syntax", "a: [1, 2\nb: 3", "f.yaml:2:1: ',' or ']'", "close the ["},
		{"tab", "a:\n\tb: 1\n", "f.yaml:2:1: ", "spaces"},
		{"duplicate", "a: 1\nb: 2\na: 3\n", `f.yaml:3:1: duplicate key "a"`, "line 1"},
		{"duplicate flow", "x: {a: 1, a: 2}\n", `f.yaml:1:11: duplicate key "a"`, ""},
		{"python", "a: !!python/object:os.system x\n", "f.yaml:1:4: tag !!python/object:os.system is not supported", "remove"},
		{"include", "a: !include b.yaml\n", "f.yaml:1:4: tag !include is not supported", "remove"},
		{"second", "a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document", "one document"},
		{"after end", "a: 1\n...\nb: 2\n", "f.yaml:3:1: a second document", "one document"},
		{"directive", "%YAML 1.2\n---\na: 1\n", "f.yaml:1:1: YAML directives", "remove"},
		{"nul", "a: \x00\n", "f.yaml:1:4: this is a binary file", "UTF-8"},
		{"utf8", "a: 1\nb: \xff\n", "f.yaml:2:4: the text is not valid UTF-8", "UTF-8"},
		{"control", "a: \x1b[1m\n", "f.yaml:1:4: control character 0x1b", "escape"},
		{"alias", "a: *nope\n", "f.yaml:1:4: no anchor &nope", "&nope"},
		{"recursive", "a: &x [*x]\n", "f.yaml:1:8: no anchor &x", "&x"},
		{"explicit", "? a\n: b\n", `f.yaml:1:1: explicit keys`, "key: value"},
		{"zero", "zip: 01234\n", "f.yaml:1:6: number 01234 begins with 0", "octal"},
		{"inf", "a: .inf\n", "f.yaml:1:4: .inf is not a number", "finite"},
		{"merge", "a: &x 1\nb: {<<: *x}\n", "f.yaml:1:7: a merge key takes a map", "<<: *name"},
		{"list key", "[a]: 1\n", "f.yaml:1:4: ", ""},
		{"unicode column", "é: [1, ü, *q]\n", "f.yaml:1:13: no anchor &q", ""},
	} {
		_, err := Parse("f.yaml", []byte(c.src))
		all, ok := errors.AsType[Errors](err)
		if !ok {
			t.Errorf("%s: Parse = %v, want Errors", c.name, err)
			continue
		}
		if !strings.HasPrefix(all[0].Error(), c.want) || !strings.Contains(all[0].Hint, c.hint) {
			t.Errorf("%s: Parse = %q hint %q, want %q hint %q\n%s", c.name, all[0].Error(), all[0].Hint, c.want, c.hint, all[0].Frame)
		}
		if k := all[0].Kind; k != script.Syntax && k != script.Refused {
			t.Errorf("%s: kind %q", c.name, k)
		}
	}
}
