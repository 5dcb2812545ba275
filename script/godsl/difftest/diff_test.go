package difftest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script/godsl"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

var (
	programs = flag.Int("programs", 60, "how many random programs are compared")
	batch    = flag.Int("batch", 500, "how many are compiled at once")
	seed     = flag.Uint64("seed", 1, "of the first program")
)

// Random programs give what the Go toolchain's own binary of them gives.
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles with the Go toolchain")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the Go toolchain")
	}
	c := godsl.NewCompiler()
	bad, compared := 0, 0
	defer func() { t.Logf("%d programs compared", compared) }()
	for done := 0; done < *programs && bad < 10; done += *batch {
		n := min(*batch, *programs-done)
		first := *seed + uint64(done)
		sources := make([]string, n)
		for i := range sources {
			sources[i] = Generate(fmt.Sprintf("P%d", i), first+uint64(i))
		}
		want := native(t, sources)
		compared += n
		for i, src := range sources {
			got := here(t, c, i, src)
			if got != want[i] {
				bad++
				t.Errorf("program with seed %d:\n%s\ngot  %s\nwant %s", first+uint64(i), src, got, want[i])
			}
		}
	}
}

// here runs a program in this process.
func here(t *testing.T, c *godsl.Compiler, i int, src string) (out string) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			out = fmt.Sprintf("COMPILER PANIC %v", r)
		}
	}()
	p, err := c.Compile([]godsl.File{{Name: "p.go", Text: []byte(Header("main") + src)}})
	if err != nil {
		return "REFUSED " + err.Error()
	}
	f, ok := p.Func(fmt.Sprintf("P%dRun", i))
	if !ok {
		return "NO FUNCTION"
	}
	v, err := f.Call(t.Context(), godsl.Limits{Limits: vm.Limits{Time: 5 * time.Minute}}, nil)
	if err != nil {
		msg := err.Error()
		if k := strings.Index(msg, ": "); k >= 0 {
			msg = msg[k+2:]
		}
		return "PANIC " + msg
	}
	return v.(string)
}

// native compiles the programs into one binary and returns what each gives.
func native(t *testing.T, sources []string) []string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString(Header("main"))
	for _, s := range sources {
		b.WriteString(s)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module programs\n\ngo 1.26\n")
	write("programs.go", b.String())
	b.Reset()
	b.WriteString("package main\n\nimport (\n\t\"encoding/json\"\n\t\"fmt\"\n\t\"os\"\n\t\"strings\"\n)\n\n")
	b.WriteString("func try(f func() string) (s string) {\n\tdefer func() {\n\t\tif r := recover(); r != nil {\n\t\t\ts = \"PANIC \" + strings.TrimPrefix(fmt.Sprint(r), \"runtime error: \")\n\t\t}\n\t}()\n\treturn f()\n}\n\n")
	b.WriteString("func main() {\n\tenc := json.NewEncoder(os.Stdout)\n\tfor _, f := range []func() string{\n")
	for i := range sources {
		fmt.Fprintf(&b, "\t\tP%dRun,\n", i)
	}
	b.WriteString("\t} {\n\t\tenc.Encode([]byte(try(f)))\n\t}\n}\n")
	write("main.go", b.String())
	build := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-N -l", "-o", "programs", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text[:min(len(text), 3000)])
	}
	run := exec.CommandContext(t.Context(), filepath.Join(dir, "programs"))
	text, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var s []byte
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, string(s))
	}
	if len(out) != len(sources) {
		t.Fatalf("%d results of %d programs", len(out), len(sources))
	}
	return out
}
