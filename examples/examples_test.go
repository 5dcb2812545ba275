package examples_test

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/examples"
)

// A file that lies in an example but is not embedded would be missing from what
// `theseus new` writes.
func TestEverythingIsEmbedded(t *testing.T) {
	for _, tmpl := range examples.Templates() {
		t.Run(tmpl.Name, func(t *testing.T) {
			seen := 0
			err := fs.WalkDir(os.DirFS(tmpl.Name), ".", func(name string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case d.IsDir() && name == ".theseus":
					return fs.SkipDir
				case d.IsDir():
					return nil
				}
				seen++
				want, err := os.ReadFile(path.Join(tmpl.Name, name))
				if err != nil {
					return err
				}
				got, err := fs.ReadFile(tmpl.Files, name)
				if err != nil {
					t.Errorf("%s is on disk but not embedded: %v", name, err)
				} else if !bytes.Equal(got, want) {
					t.Errorf("%s: the embedded content differs from the disk", name)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if seen < 4 {
				t.Errorf("%d files, want at least 4", seen)
			}
			if _, err := fs.Stat(tmpl.Files, ".theseus"); err == nil {
				t.Error(".theseus is embedded")
			}
		})
	}
}

func TestFind(t *testing.T) {
	if got, ok := examples.Find("shop"); !ok || got.Name != "shop" {
		t.Errorf("Find(shop) = %q, %v", got.Name, ok)
	}
	if got, ok := examples.Find("nothing"); ok {
		t.Errorf("Find(nothing) = %q, want none", got.Name)
	}
}

// Every path that a manifest, a workflow or an import names is there.
func TestReferencesExist(t *testing.T) {
	unit := regexp.MustCompile(`(?:handlers|workflows|jobs|middleware)/[\w/-]+\.(?:js|yaml)`)
	imported := regexp.MustCompile(`(?m)^import .* from "(\.[^"]+)";$`)
	for _, tmpl := range examples.Templates() {
		err := fs.WalkDir(tmpl.Files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			src, err := fs.ReadFile(tmpl.Files, name)
			if err != nil {
				return err
			}
			var refs []string
			switch {
			case path.Ext(name) == ".yaml" && !strings.HasPrefix(name, "config/"):
				refs = unit.FindAllString(string(src), -1)
			case path.Ext(name) == ".js":
				for _, m := range imported.FindAllStringSubmatch(string(src), -1) {
					refs = append(refs, path.Join(path.Dir(name), m[1]))
				}
			}
			for _, ref := range refs {
				if _, err := fs.Stat(tmpl.Files, ref); err != nil {
					t.Errorf("%s/%s names %s, which is not there", tmpl.Name, name, ref)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
