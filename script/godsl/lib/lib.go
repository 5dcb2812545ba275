// Package lib is the library of the language: the packages that a program may
// import. Each is a file of src, written in the language itself; functions
// without a body are Go functions of this package, which charge what they
// allocate and the work that they do.
//
// Start with [New]. A Library is safe for concurrent use.
package lib

import (
	"embed"
	"fmt"
	"go/token"
	"go/types"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/theseus-run/theseus/script/godsl/check"
	"github.com/theseus-run/theseus/script/godsl/ir"
)

//go:embed src/*.gods
var sources embed.FS

// paths are the import paths, with the file of each.
var paths = map[string]string{
	"cmp":             "cmp",
	"crypto/md5":      "md5",
	"crypto/sha1":     "sha1",
	"crypto/sha256":   "sha256",
	"crypto/sha512":   "sha512",
	"encoding/base64": "base64",
	"encoding/hex":    "hex",
	"encoding/json":   "json",
	"hash/crc32":      "crc32",
	"time":            "time",
	hostPath:          "host",
	"errors":          "errors",
	"fmt":             "fmt",
	"maps":            "maps",
	"math":            "math",
	"regexp":          "regexp",
	"slices":          "slices",
	"sort":            "sort",
	"strconv":         "strconv",
	"strings":         "strings",
	"unicode":         "unicode",
	"unicode/utf8":    "utf8",
}

// A Library holds the checked packages. Packages are checked when they are
// first imported.
type Library struct {
	mu      sync.Mutex
	fset    *token.FileSet
	byPath  map[string]*ir.Source
	byTypes map[*types.Package]*ir.Source
}

// New returns a library.
func New() *Library {
	return &Library{fset: token.NewFileSet(), byPath: make(map[string]*ir.Source), byTypes: make(map[*types.Package]*ir.Source)}
}

// Paths lists the packages that can be imported, sorted.
func Paths() []string { return slices.Sorted(maps.Keys(paths)) }

// Has reports whether the library has a package.
func Has(path string) bool { return paths[path] != "" }

// Import implements [types.Importer].
func (l *Library) Import(path string) (*types.Package, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.load(path)
	if err != nil {
		return nil, err
	}
	return s.Types, nil
}

// Source returns the source of an imported package, nil for others.
func (l *Library) Source(p *types.Package) *ir.Source {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byTypes[p]
}

// load checks a package; l.mu is held.
func (l *Library) load(name string) (*ir.Source, error) {
	if s, ok := l.byPath[name]; ok {
		return s, nil
	}
	file := paths[name]
	if file == "" {
		return nil, fmt.Errorf("package %s is not part of the library", name)
	}
	text, err := sources.ReadFile("src/" + file + ".gods")
	if err != nil {
		return nil, err
	}
	files, err := check.Parse(l.fset, []check.File{{Name: path.Base(name) + ".gods", Text: text}})
	if err != nil {
		return nil, fmt.Errorf("library: %w", err)
	}
	s, err := check.Types(l.fset, name, files, importer{l})
	if err != nil {
		return nil, fmt.Errorf("library: %w", err)
	}
	s.Library = true
	l.byPath[name] = s
	l.byTypes[s.Types] = s
	return s, nil
}

// importer is used while the lock is held.
type importer struct{ l *Library }

func (i importer) Import(path string) (*types.Package, error) {
	s, err := i.l.load(path)
	if err != nil {
		return nil, err
	}
	return s.Types, nil
}

// Natives returns the Go functions of the library by their full names.
func Natives() map[string]any {
	all := make(map[string]any)
	for _, group := range []map[string]any{textNatives(), numberNatives(), formatNatives(), regexpNatives(), dataNatives(), timeNatives(), hostNatives()} {
		maps.Copy(all, group)
	}
	return all
}
