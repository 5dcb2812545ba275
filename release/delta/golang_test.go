package delta

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Two releases of a program: the second has a function more, one that is
// inlined, and another type with methods.
const (
	firstRelease = `package main

import (
	"fmt"
	"os"
	"sort"
)

type greeter interface{ greet(who string) string }

type polite struct{ words []string }

func (p *polite) greet(who string) string { return fmt.Sprint(p.words, who) }

//MORE

func main() {
	var g greeter = &polite{os.Args}
	sort.Strings(os.Args)
	for _, a := range os.Args {
		fmt.Println(g.greet(a))
	}
	//CALL
}
`
	more = `
type rude struct{ volume float64; next *rude }

func (r *rude) greet(who string) string { defer fmt.Println("gone"); return fmt.Sprintf("%s! %g", who, r.volume) }

func small(n int) int { return n*3 + len(os.Args) }

func release() map[string]greeter {
	return map[string]greeter{"a": &rude{volume: float64(small(4))}, "b": &polite{}}
}
`
	call = `for k, v := range release() { fmt.Fprintln(os.Stderr, k, v.greet(k)) }`
)

// platform is what a program is built for, and what is to be found in it.
type platform struct {
	goos, goarch string
	flags        []string
	table        bool // the function table can be derived
	signed       bool // so can digests of pages
	ratio        int  // a patch is at most 1/ratio of one without prediction
}

var platforms = []platform{
	{goos: "linux", goarch: "amd64", flags: []string{"-ldflags=-s -w"}, table: true, ratio: 5},
	{goos: "linux", goarch: "amd64", flags: []string{"-ldflags=-s -w", "-buildmode=pie"}, table: true, ratio: 5},
	{goos: "linux", goarch: "arm64", flags: []string{"-ldflags=-s -w"}, table: true, ratio: 5},
	{goos: "windows", goarch: "amd64", flags: []string{"-ldflags=-s -w"}, table: true, ratio: 5},
	{goos: "windows", goarch: "arm64", flags: []string{"-ldflags=-s -w"}, table: true, ratio: 5},
	{goos: "darwin", goarch: "amd64", flags: []string{"-ldflags=-s -w"}, table: true, ratio: 5},
	{goos: "darwin", goarch: "arm64", flags: []string{"-ldflags=-s -w"}, table: true, signed: true, ratio: 5},
	{goos: "linux", goarch: "386", flags: []string{"-ldflags=-s -w"}},   // not known: no gain, no harm
	{goos: "linux", goarch: "s390x", flags: []string{"-ldflags=-s -w"}}, // big-endian
	{goos: "linux", goarch: "amd64", table: true},                       // symbols and compressed DWARF
}

func (p platform) String() string {
	return strings.Join(append([]string{p.goos, p.goarch}, p.flags...), " ")
}

func (p platform) build(t *testing.T, dir, source string) []byte {
	t.Helper()
	for name, text := range map[string]string{"main.go": source, "go.mod": "module program\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", "program.exe"}, p.flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.goos, "GOARCH="+p.goarch, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "program.exe"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoPrograms(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	for i, p := range platforms {
		if testing.Short() && i > 0 {
			break
		}
		t.Run(p.String(), func(t *testing.T) {
			dir := t.TempDir()
			base := p.build(t, dir, firstRelease)
			target := p.build(t, dir, strings.NewReplacer("//MORE", more, "//CALL", call).Replace(firstRelease))
			p.check(t, base, target)
		})
	}
}

func (p platform) check(t *testing.T, base, target []byte) {
	aware := len(patchOf(t, base, target, Options{}))
	plain := len(patchOf(t, base, target, Options{Generic: true}))
	back := len(patchOf(t, target, base, Options{}))
	t.Logf("%d to %d bytes: patch %d, without prediction %d, back %d", len(base), len(target), aware, plain, back)
	if aware*p.ratio > plain {
		t.Errorf("patch of %d bytes, want at most 1/%d of %d", aware, p.ratio, plain)
	}
	l := readLayout(target)
	if l == nil {
		if p.table {
			t.Error("layout not understood")
		}
		return
	}
	d := derivable(target, l)
	if (d.end != 0) != p.table || (d.span != 0) != p.table || (d.limit != 0) != p.signed {
		t.Errorf("derived tables: %+v", d)
	}
	// What is derived is exact: only zeros are left to code.
	coded := d.strip(target)
	at := func(off uint64) uint64 { // where offset off of the target is coded
		if off < d.first() {
			return off + d.end - d.first()
		}
		return off
	}
	if d.end != 0 && len(bytes.Trim(coded[at(d.table):at(d.table)+8*d.funcs], "\x00")) > 0 {
		t.Error("function table not derived exactly")
	}
	if d.span != 0 && len(bytes.Trim(coded[d.index:d.index+indexSize(d.span)], "\x00")) > 0 {
		t.Error("index of the function table not derived exactly")
	}
	if d.limit != 0 && len(bytes.Trim(coded[d.hashes:d.hashes+32*pages(d.limit, d.page)], "\x00")) > 0 {
		t.Error("digests of pages not derived exactly")
	}
}

// Executables that are cut, or whose headers are damaged, still round-trip.
func TestBrokenExecutables(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	b = b[:min(len(b), 200<<10)]
	patchOf(t, b, b[:len(b)-1000], Options{})
	for i := 0; i < 0x400; i += 37 {
		c := bytes.Clone(b)
		for j := range 4 {
			c[i+j] ^= byte(0xff >> j)
		}
		if l := readLayout(c); l != nil {
			g := describe(l)
			g.new = l.origins()
			if !g.valid(uint64(len(c))) {
				t.Fatalf("header damaged at %d: a program that does not fit", i)
			}
			g.predict(c, newShifts([]move{{l.segments[0].addr, 4096}}))
		}
	}
}
