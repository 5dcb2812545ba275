package yamldoc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/script"
)

type upper string

func (u *upper) UnmarshalText(text []byte) error {
	if len(text) > 5 {
		return errors.New("want at most 5 letters")
	}
	*u = upper(strings.ToUpper(string(text)))
	return nil
}

type ordered []string

func (o *ordered) UnmarshalYAML(n *Node) error {
	for _, e := range n.Entries() {
		if e.Key.Text() == "bad" {
			return e.Key.Problem(script.Refused, "bad key", "no hint")
		}
		*o = append(*o, e.Key.Text())
	}
	return nil
}

type Base struct {
	ID int `json:"id"`
}

type target struct {
	Base
	Name   string            `json:"name"`
	Routes map[string]string `yaml:"routes"`
	List   []float64         `json:"list"`
	On     *bool             `json:"on"`
	Any    any               `json:"any"`
	Small  int8              `json:"small"`
	Big    uint64            `json:"big"`
	Upper  upper             `json:"upper"`
	Order  ordered           `json:"order"`
	Hidden string            `json:"-"`
	Plain  string
}

func TestDecode(t *testing.T) {
	src := `id: 3
name: x
routes: {a: b}
list: [1, 2.5]
on: true
any: {k: [1, null]}
small: -3
big: 18446744073709551615
upper: abc
order: {z: 1, a: 2, m: 3}
plain: p
`
	var got target
	if err := Decode("f.yaml", []byte(src), &got); err != nil {
		t.Fatal(err)
	}
	on := true
	want := target{Base: Base{3}, Name: "x", Routes: map[string]string{"a": "b"}, List: []float64{1, 2.5}, On: &on,
		Any: map[string]any{"k": []any{int64(1), nil}}, Small: -3, Big: 18446744073709551615, Upper: "ABC", Order: ordered{"z", "a", "m"}, Plain: "p"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Decode = %+v, want %+v", got, want)
	}
}

// All mistakes of a file are reported together, in its order.
func TestDecodeErrors(t *testing.T) {
	src := `nmae: x
rotes: {}
name: 1.10
list: 3
on: yes
small: 300
big: -1
upper: abcdef
order: {bad: 1}
Hidden: x
routes: [a]
id: [1]
`
	want := []string{
		`f.yaml:1:1: unknown key "nmae" | did you mean "name"?`,
		`f.yaml:2:1: unknown key "rotes" | did you mean "routes"?`,
		`f.yaml:3:7: want a string, got number 1.10 | put it in quotes: "1.10"`,
		`f.yaml:4:7: want a list, got number 3 | write [ … ], or one "- " a line`,
		`f.yaml:5:5: want true or false, got string "yes" | `,
		`f.yaml:6:8: want a whole number in range, got 300 | `,
		`f.yaml:7:6: want a whole number in range, got -1 | `,
		`f.yaml:8:8: "abcdef": want at most 5 letters | `,
		`f.yaml:9:9: bad key | no hint`,
		`f.yaml:10:1: unknown key "Hidden" | known: any, big, id, list, name, on, order, plain, routes, small, upper`,
		`f.yaml:11:9: want a map, got a list | `,
		`f.yaml:12:5: want a whole number, got a list | `,
	}
	var v target
	err := Decode("f.yaml", []byte(src), &v)
	var got []string
	for _, e := range Flatten("", err) {
		got = append(got, e.Error()+" | "+e.Hint)
		if e.Kind != script.Refused || e.Frame == "" {
			t.Errorf("%v: kind %q, frame %q", e, e.Kind, e.Frame)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if script.KindOf(err) != script.Refused {
		t.Errorf("KindOf = %q", script.KindOf(err))
	}
	if err := Decode("f.yaml", []byte("nope: 1\nname: x\n"), &v, AllowUnknown()); err != nil {
		t.Errorf("AllowUnknown: %v", err)
	}
}

func TestErrorsAreCut(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "x%d: 1\n", i)
	}
	list := Flatten("", Decode("f.yaml", []byte(b.String()), &struct{}{}))
	if len(list) != maxErrors || !strings.Contains(list[maxErrors-1].Hint, "80 more mistakes") {
		t.Errorf("%d errors, last hint %q", len(list), list[len(list)-1].Hint)
	}
}

func TestPositions(t *testing.T) {
	d, err := Parse("f.yaml", []byte("a: &x\n  b: [1, {c: ü, d: \"é\", e: 2}]\nf: *x\ng: |\n  text\nh:\n- 1\n-  k: v\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path        string
		line, col   int
		kline, kcol int
	}{
		{"a", 2, 3, 1, 1},
		{"a/b", 2, 6, 2, 3},
		{"a/b/0", 2, 7, 2, 7},
		{"a/b/1", 2, 10, 2, 10},
		{"a/b/1/c", 2, 14, 2, 11},
		{"a/b/1/d", 2, 21, 2, 18},
		{"a/b/1/e", 2, 30, 2, 27},
		{"f/b/0", 2, 7, 2, 7},
		{"g", 4, 4, 4, 1},
		{"h", 7, 1, 6, 1},
		{"h/1", 8, 4, 8, 4},
		{"h/1/k", 8, 7, 8, 4},
		{"h/1/missing", 8, 4, 8, 4},
		{"missing", 1, 1, 1, 1},
	} {
		path := strings.Split(c.path, "/")
		line, col := d.Position(path...)
		kline, kcol := d.KeyPosition(path...)
		if line != c.line || col != c.col || kline != c.kline || kcol != c.kcol {
			t.Errorf("%s at %d:%d key %d:%d, want %d:%d key %d:%d", c.path, line, col, kline, kcol, c.line, c.col, c.kline, c.kcol)
		}
	}
	if n := d.Find("a", "b", "1", "d"); n == nil || n.Text() != "é" || d.Find("a", "z") != nil || d.Find("a", "b", "9") != nil {
		t.Errorf("Find = %v", n)
	}
}

func TestSubstitute(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOST": "h", "EMPTY": "", "LOOP": "${HOST}"}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	src := `a: "${HOST}:${PORT:-80}"
b: "${EMPTY}x${EMPTY:-d}"
c: "$${HOST} ${{ input.sku }} $5 {}"
d: "${file:` + filepath.ToSlash(secret) + `}"
e: [ "${LOOP}", 3 ]
"${HOST}": "${UNSET:-}"
n: "${NUM:-12}"
p: &p "${HOST}"
q: *p
`
	d, err := Parse("f.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Substitute(lookup, ReadFile); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": "h:80", "b": "xd", "c": "${HOST} ${{ input.sku }} $5 {}", "d": "s3cret", "e": []any{"${HOST}", int64(3)},
		"${HOST}": "", "n": "12", "p": "h", "q": "h"}
	if got := d.Any(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v\nwant %#v", got, want)
	}
	if s := d.Find("d").Show(); strings.Contains(s, "s3cret") {
		t.Errorf("Show tells the secret: %s", s)
	}
}

func TestSubstituteErrors(t *testing.T) {
	src := "a: ${NOPE}\nb: ${bad name}\nc: \"${file:/no/such/file}\"\nd: \"x ${open\"\ne: ${file:rel}\n"
	d, err := Parse("f.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	err = d.Substitute(nil, ReadFile)
	want := []string{
		"f.yaml:1:4: environment variable NOPE is not set",
		`f.yaml:2:4: "${bad name}" is not a reference`,
		"f.yaml:3:4: cannot read file /no/such/file: ",
		`f.yaml:4:4: "${" without "}"`,
		"f.yaml:5:4: cannot read file rel: the path is not absolute",
	}
	list := Flatten("", err)
	for i, w := range want {
		if i >= len(list) || !strings.HasPrefix(list[i].Error(), w) {
			t.Fatalf("got %v\nwant %v", err, want)
		}
	}
	if d.Find("a").Text() != "${NOPE}" {
		t.Error("the document changed although a reference failed")
	}
	if _, err := ReadFile(t.TempDir()); err == nil {
		t.Error("a folder was read as a file")
	}
}

// Whatever the text is, reading it ends without a panic, and what is accepted
// has positions inside the text.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {y: z}]\n", "a: &x {p: 1}\nb: {<<: *x}\n", "- - a\n  - b\n- |\n  t\n", "\"a\\u00e9\": 'b'\n", "a: ${X}\n", "!!str a: !!int 3", "? a", "a:\n- b\n- c: d\n  e: f", "%YAML 1.2\n---\na", "a: >-\n\n  x\n", "<<: {a: b}", "&a : *a", "[a: b]", "{a, b: }"} {
		f.Add([]byte(s))
	}
	for _, s := range bombs() {
		f.Add([]byte(s[:min(len(s), 300)]))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := Parse("f.yaml", src)
		if err != nil {
			for _, e := range Flatten("", err) {
				if e.Message == "" || (e.Kind != script.Syntax && e.Kind != script.Refused) {
					t.Fatalf("error %#v", e)
				}
			}
			return
		}
		lines := strings.Count(string(src), "\n") + strings.Count(string(src), "\r") + 1
		var walk func(n *Node)
		walk = func(n *Node) {
			if n.line < 1 || n.line > lines+1 || n.col < 1 {
				t.Fatalf("%s at %d:%d of %d lines", n.Describe(), n.line, n.col, lines)
			}
			for _, x := range n.items {
				walk(x)
			}
			for _, e := range n.pairs {
				walk(e.Key)
				walk(e.Value)
			}
		}
		walk(d.Root())
		_ = d.Substitute(func(string) (string, bool) { return "v", true }, nil)
		var v target
		_ = d.Decode(&v)
		_ = d.Any()
	})
}
