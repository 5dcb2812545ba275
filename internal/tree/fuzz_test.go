package tree

import (
	"io/fs"
	"testing"
)

// Whatever the paths are, New refuses them or makes a tree in which each can be
// opened, walked to, and told from the other.
func FuzzNew(f *testing.F) {
	f.Add("a/b.js", "a/c.js")
	f.Add("A", "a")
	f.Add("a", "a/b")
	f.Add("../x", "/y")
	f.Add("ſ", "S")
	f.Fuzz(func(t *testing.T, a, b string) {
		tr, err := New([]*File{{Path: a, Data: []byte("1")}, {Path: b, Data: []byte("2")}})
		if err != nil {
			return
		}
		found := 0
		err = fs.WalkDir(tr, ".", func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				found++
			}
			return err
		})
		if err != nil || found != 2 {
			t.Errorf("New(%q, %q) holds %d files: %v", a, b, found, err)
		}
		if got, err := tr.ReadFile(b); err != nil || string(got) != "2" {
			t.Errorf("ReadFile(%q) = %q, %v", b, got, err)
		}
	})
}
