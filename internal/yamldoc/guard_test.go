package yamldoc

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// bombs are texts that cost the YAML library seconds or gigabytes.
func bombs() map[string]string {
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	merges := "m0: &m0 {k: 1}\n"
	for i := 1; i < 60; i++ {
		merges += fmt.Sprintf("m%d: &m%d\n  <<: [*m%d, *m%d]\n  k%d: 1\n", i, i, i-1, i-1, i)
	}
	deepAlias := "a0: &a0 " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "\n"
	for i := 1; i < 50; i++ {
		deepAlias += fmt.Sprintf("a%d: &a%d %s*a%d%s\n", i, i, strings.Repeat("[", 60), i-1, strings.Repeat("]", 60))
	}
	var keys, nest, tags strings.Builder
	for i := 0; keys.Len() < MaxBytes-100; i++ {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	for i := 0; nest.Len() < MaxBytes/2; i++ {
		nest.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for i := 0; tags.Len() < MaxBytes/2; i++ {
		fmt.Fprintf(&tags, "%s!!str k%d: 1\n", strings.Repeat(" ", i%2), i)
	}
	long := strings.Repeat("k", 1000)
	paths := ""
	for i := range 60 {
		paths += strings.Repeat(" ", i) + long + ":\n"
	}
	paths += strings.Repeat(strings.Repeat(" ", 60)+"- a\n", 10_000)
	n := MaxBytes - 100
	return map[string]string{
		"brackets":    strings.Repeat("[", 200_000),
		"braces":      strings.Repeat("{", 200_000),
		"flow pairs":  "{" + strings.Repeat("a: ", 40_000),
		"dashes":      strings.Repeat("- ", 100_000),
		"dashes few":  strings.Repeat("- ", 1000),
		"questions":   strings.Repeat("? ", 50_000),
		"colons":      strings.Repeat("a: ", n/3),
		"nested maps": nest.String(),
		"anchors":     strings.Repeat("&a ", 100_000),
		"tags":        strings.Repeat("!!str ", 50_000),
		"tagged keys": tags.String(),
		"aliases":     "a: &a 1\nb: [" + strings.Repeat("*a,", 50_000) + "]",
		"laughs":      laughs,
		"merges":      merges,
		"deep alias":  deepAlias,
		"blank":       "a: |\n" + strings.Repeat("\n", n),
		"blank runs":  strings.Repeat("- |\n"+strings.Repeat("\n", 190)+" x\n", n/200),
		"commas":      "[" + strings.Repeat(",", n),
		"numbers":     "[" + strings.Repeat("1,", n/2) + "]",
		"keys":        keys.String(),
		"pipes":       strings.Repeat("|\n", n/2),
		"docs":        strings.Repeat("---\n", n/4),
		"long key":    strings.Repeat("k", n/2) + ": 1",
		"paths":       paths,
		"huge":        strings.Repeat("a", 100<<20),
		"nuls":        strings.Repeat("\x00", n),
	}
}

// maxAlloc is what refusing a bomb may allocate, garbage included.
const maxAlloc = 200 << 20

func TestBombs(t *testing.T) {
	for name, src := range bombs() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("f.yaml", []byte(src))
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("accepted")
			}
			alloc := after.TotalAlloc - before.TotalAlloc
			if alloc > maxAlloc+uint64(len(src)) {
				t.Errorf("allocated %d MB", alloc>>20)
			}
			t.Logf("%4d MB: %v", alloc>>20, Flatten("", err)[0])
		})
	}
}

// heavy are the most expensive texts that are still accepted.
func TestHeavyAccepted(t *testing.T) {
	var maps strings.Builder
	for i := range 6 {
		fmt.Fprintf(&maps, "m%d:\n", i)
		for j := range 4000 {
			fmt.Fprintf(&maps, "  k%d: 1\n", j)
		}
	}
	for name, src := range map[string]string{
		"maps":  maps.String(),
		"list":  strings.Repeat("- a\n", MaxNodes-10),
		"flow":  "[" + strings.Repeat("1,", MaxNodes-10) + "]",
		"text":  "a: |\n" + strings.Repeat("  "+strings.Repeat("x ", 50)+"\n", 9000),
		"depth": strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("f.yaml", []byte(src))
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if alloc := after.TotalAlloc - before.TotalAlloc; alloc > 3*maxAlloc {
				t.Errorf("allocated %d MB", alloc>>20)
			} else {
				t.Logf("%d MB", alloc>>20)
			}
		})
	}
}
