package godsl

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

// corpus returns the files of Go's own tests that begin with the given
// directive. The tests come with the Go distribution; without them the test
// is skipped.
func corpus(t *testing.T, directive string) map[string][]byte {
	t.Helper()
	root := corpusRoot(t)
	files := make(map[string][]byte)
	for _, dir := range []string{".", "ken", "fixedbugs", "typeparam", "interface", "escape", "syntax", "range"} {
		matches, _ := filepath.Glob(filepath.Join(root, dir, "*.go"))
		for _, name := range matches {
			text, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			first, _, _ := bytes.Cut(text, []byte("\n"))
			if strings.TrimSpace(string(first)) == directive {
				rel, _ := filepath.Rel(root, name)
				files[rel] = text
			}
		}
	}
	if len(files) == 0 {
		t.Skip("this Go distribution has no test directory")
	}
	return files
}

func corpusRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("needs the Go toolchain")
	}
	return filepath.Join(strings.TrimSpace(string(out)), "test")
}

// unlike are programs that cannot run alike: initialisers with effects run
// when their variable is first used, os.Exit(0) is not the end, and whether
// pointers to values without size are equal is left open.
var unlike = map[string]bool{
	"fixedbugs/bug264.go": true, "fixedbugs/bug433.go": true, "fixedbugs/issue51913.go": true, "fixedbugs/bug236.go": true,
	"fixedbugs/issue18725.go": true, "fixedbugs/bug352.go": true, "zerosize.go": true,
}

// harmless are programs that the toolchain refuses for what cannot do harm
// here: a type that is never used and too large for an address space, and an
// interface that refers to itself without a name.
var harmless = map[string]bool{"fixedbugs/issue49814.go": true, "fixedbugs/issue16369.go": true}

var (
	fmtPrint = regexp.MustCompile(`\bfmt\.(Printf|Println|Print)\(`)
	osImport = regexp.MustCompile(`(?m)^(\s*|import )"os"$`)
)

var printCall = regexp.MustCompile(`\b(print|println)\(`)

// guarded compiles and turns a panic of the compiler into an error.
func guarded(c *Compiler, files []File) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			buf := make([]byte, 4096)
			err = fmt.Errorf("PANIC %v\n%s", r, buf[:runtime.Stack(buf, false)])
		}
	}()
	return c.Compile(files)
}

const printers = `package main
import "fmt"
func print_(a ...any) { panic("printed: " + fmt.Sprint(a...)) }
func Print_(a ...any) { fmt.Sprint(a...) }
func Println_(a ...any) { fmt.Sprintln(a...) }
func Printf_(f string, a ...any) { _ = fmt.Sprintf(f, a...) }
func exit_(n int) { if n != 0 { panic("exit") } }
func println_(a ...any) { panic("printed: " + fmt.Sprint(a...)) }
`

// Every program of Go's tests that is inside the subset runs as it does in Go:
// without a word and without a panic.
func TestCorpusRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("runs hundreds of programs")
	}
	c := NewCompiler()
	c.mutable = true
	ran, refused := 0, 0
	root := corpusRoot(t)
	for name, text := range corpus(t, "// run") {
		if _, err := os.Stat(filepath.Join(root, strings.TrimSuffix(name, ".go")+".out")); err == nil {
			continue
		}
		if unlike[name] {
			continue
		}
		text = printCall.ReplaceAll(text, []byte("${1}_("))
		text = fmtPrint.ReplaceAll(text, []byte("${1}_("))
		text = bytes.ReplaceAll(text, []byte("os.Exit("), []byte("exit_("))
		text = osImport.ReplaceAll(text, nil)
		files := []File{{Name: name, Text: text}, {Name: "printers.go", Text: []byte(printers)}}
		p, err := guarded(c, files)
		if err != nil {
			refused++
			if k := script.KindOf(err); k == script.Failed {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		f := p.code.Funcs["main"]
		if f == nil {
			continue
		}
		ran++
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = vm.NewMachine().Run(ctx, p.code, f, vm.Limits{Bytes: 1 << 30, Depth: 10000}, nil, nil, nil)
		cancel()
		if err != nil {
			err = p.places.trap(err)
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d ran, %d are outside the subset", ran, refused)
}

// No program that the toolchain refuses is accepted.
func TestCorpusErrors(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles hundreds of programs")
	}
	c := NewCompiler()
	n := 0
	for name, text := range corpus(t, "// errorcheck") {
		if harmless[name] {
			continue
		}
		n++
		if _, err := guarded(c, []File{{Name: name, Text: text}}); err == nil {
			t.Errorf("%s is accepted", name)
		} else if script.KindOf(err) == script.Failed {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d programs", n)
}
