package lib

import (
	"go/ast"
	"go/types"
	"testing"
)

// Every function without a body has its native, and no native is left over.
func TestNativesAreComplete(t *testing.T) {
	l := New()
	left := Natives()
	for _, path := range Paths() {
		if _, err := l.Import(path); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		p, _ := l.Import(path)
		src := l.Source(p)
		for _, f := range src.Files {
			for _, d := range f.Decls {
				fd, ok := d.(*ast.FuncDecl)
				if !ok || fd.Body != nil {
					continue
				}
				name := src.Info.Defs[fd.Name].(*types.Func).FullName()
				if lowered[name] {
					continue
				}
				if left[name] == nil {
					t.Errorf("%s has no native", name)
				}
				delete(left, name)
			}
		}
	}
	for name := range left {
		t.Errorf("native %s has no declaration", name)
	}
}

// lowered are the functions that the compiler replaces at the call.
var lowered = map[string]bool{"errors.As": true, "sort.Slice": true, "sort.SliceStable": true}

func TestImportRefusesOthers(t *testing.T) {
	if _, err := New().Import("os"); err == nil || Has("os") || !Has("strings") {
		t.Error("os can be imported")
	}
}
