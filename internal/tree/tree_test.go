package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTreeIsAFileSystem(t *testing.T) {
	tr := Of(map[string]string{
		"theseus.yaml": "app: x\n", "handlers/a.js": "a", "handlers/lib/b.js": "b",
		"handlers/lib/deep/er/c.js": "", "public/index.html": "<p>",
	})
	if err := fstest.TestFS(tr, "theseus.yaml", "handlers/lib/deep/er/c.js", "public/index.html"); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(Of(nil)); err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(tr, "handlers/a.js")
	if err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	if f, _ := tr.File("handlers/a.js"); string(f.Data) != "a" {
		t.Error("a caller of ReadFile changed the tree")
	}
	if _, err := tr.ReadFile("handlers"); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("ReadFile(handlers) = %v, want an error that says it is a folder", err)
	}
	if _, err := tr.Open("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open(../x) = %v, want fs.ErrInvalid", err)
	}
	var got []string
	for _, f := range tr.Under("handlers/lib") {
		got = append(got, f.Path)
	}
	if want := "[handlers/lib/b.js handlers/lib/deep/er/c.js]"; fmt.Sprint(got) != want {
		t.Errorf("Under(handlers/lib) = %v, want %v", got, want)
	}
}

// The digest is kept on disk: a change of its definition would orphan history.
func TestDigestDefinition(t *testing.T) {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	tr := Of(map[string]string{"b": "", "a": "x"})
	text := "theseus tree 1\n" + "a\x00" + Sum([]byte("x")) + "\n" + "b\x00" + empty + "\n"
	if want := Sum([]byte(text)); tr.Digest() != want {
		t.Errorf("Digest() = %s, want %s", tr.Digest(), want)
	}
	if Of(map[string]string{"a": "x"}).Digest() == Of(map[string]string{"ax": ""}).Digest() {
		t.Error("two different trees have one digest")
	}
}

func TestNewRefuses(t *testing.T) {
	deep := strings.Repeat("d/", MaxDepth) + "f"
	for _, c := range []struct {
		name, want string
		paths      []string
	}{
		{"twice", "a.js: is given twice", []string{"a.js", "a.js"}},
		{"case", "a.js: differs only in letter case from A.js", []string{"a.js", "A.js"}},
		{"case of a folder", "lib: differs only in letter case from Lib", []string{"lib/b.js", "Lib/a.js"}},
		{"case beyond ASCII", "differs only in letter case", []string{"ä.js", "Ä.js"}},
		{"Kelvin sign", "differs only in letter case", []string{"k.js", "\u212a.js"}},
		{"file and folder", "a: is both a file and a folder", []string{"a", "a/b"}},
		{"up", "../a: is not a relative path", []string{"../a"}},
		{"absolute", "/a: is not a relative path", []string{"/a"}},
		{"empty", "is not a relative path", []string{""}},
		{"control", `"a\nb": its name contains the control character U+000A`, []string{"a\nb"}},
		{"backslash", `a\b: its name contains a backslash`, []string{`a\b`}},
		{"UTF-8", `"a\xff": its name is not valid UTF-8`, []string{"a\xff"}},
		{"depth", "lies 33 folders deep; the limit is 32", []string{deep}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var files []*File
			for _, p := range c.paths {
				files = append(files, &File{Path: p})
			}
			_, err := New(files)
			if err == nil {
				t.Fatalf("New(%q) succeeded", c.paths)
			}
			if e := (*FileError)(nil); !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New(%q) = %v, want a FileError with a hint saying %q", c.paths, err, c.want)
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var files []*File
	for i := range 10_000 {
		files = append(files, &File{Path: fmt.Sprintf("bad\x01%d", i)})
	}
	_, err := New(files)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) > maxProblems+1 {
		t.Errorf("New of 10,000 bad names returns more than %d problems", maxProblems)
	}
}

func TestDiff(t *testing.T) {
	a := Of(map[string]string{"a": "1", "b": "1", "c": "1"})
	b := Of(map[string]string{"b": "2", "c": "1", "d": "1"})
	text := func(changes []Change) string {
		var s []string
		for _, c := range changes {
			if (c.Old == nil) != (c.Op == Added) || (c.New == nil) != (c.Op == Removed) {
				t.Errorf("change %+v has the wrong sides", c)
			}
			s = append(s, string(c.Op)+" "+c.Path)
		}
		return strings.Join(s, ", ")
	}
	for _, c := range []struct {
		a, b *Tree
		want string
	}{
		{a, b, "removed a, changed b, added d"},
		{a, a, ""},
		{nil, nil, ""},
		{nil, a, "added a, added b, added c"},
		{b, nil, "removed b, removed c, removed d"},
	} {
		if got := text(Diff(c.a, c.b)); got != c.want {
			t.Errorf("Diff = %q, want %q", got, c.want)
		}
	}
}

// A tree whose content has changed, which nobody may do, is told from a whole one.
func TestVerify(t *testing.T) {
	t.Parallel()
	tr := Of(map[string]string{"a": "one", "b": "two"})
	if err := tr.Verify(); err != nil {
		t.Fatal(err)
	}
	f, _ := tr.File("b")
	f.Data[0] ^= 1
	if err := tr.Verify(); err == nil || !strings.Contains(err.Error(), "b does not have the digest") {
		t.Errorf("a bit is wrong: %v", err)
	}
	f.Data[0] ^= 1
	f.Path = "c"
	if err := tr.Verify(); err == nil {
		t.Error("a name is wrong, and it is not noticed")
	}
}
