package tree

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

func change(a, b string) Change {
	return Change{Path: "f", Op: Changed, Old: &File{Path: "f", Data: []byte(a)}, New: &File{Path: "f", Data: []byte(b)}}
}

func TestUnified(t *testing.T) {
	a := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n"
	b := "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15"
	want := `--- a/f
+++ b/f
@@ -2,7 +2,7 @@
 2
 3
 4
-5
+five
 6
 7
 8
@@ -12,4 +12,4 @@
 12
 13
 14
-15
+15
\ No newline at end of file
`
	if got := Unified(change(a, b)); got != want {
		t.Errorf("Unified:\n%s\nwant:\n%s", got, want)
	}
	added := Change{Path: "n", Op: Added, New: &File{Path: "n", Data: []byte("x\n")}}
	if got, want := Unified(added), "--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"; got != want {
		t.Errorf("Unified(added) = %q, want %q", got, want)
	}
	removed := Change{Path: "n", Op: Removed, Old: added.New}
	if got, want := Unified(removed), "--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"; got != want {
		t.Errorf("Unified(removed) = %q, want %q", got, want)
	}
	if got, want := Unified(change("a\x00b", "c")), "binary files a/f and b/f differ\n"; got != want {
		t.Errorf("Unified(binary) = %q, want %q", got, want)
	}
	if got := Unified(change("x", strings.Repeat("y", maxDiffBytes+1))); got != "" {
		t.Errorf("Unified(large) has %d bytes, want none", len(got))
	}
}

// apply applies a unified diff strictly: every context and removed line must be
// where the diff says.
func apply(a, diff string) (string, error) {
	if diff == "" {
		return a, nil
	}
	src, in, at := lines([]byte(a)), lines([]byte(diff))[2:], 0
	var out strings.Builder
	for i := 0; i < len(in); i++ {
		line := in[i]
		text := line[1:]
		if i+1 < len(in) && strings.HasPrefix(in[i+1], "\\") {
			text = strings.TrimSuffix(text, "\n")
		}
		switch line[0] {
		case '@':
			from, size, _ := strings.Cut(strings.Fields(line)[1][1:], ",")
			start, err := strconv.Atoi(from)
			if err != nil {
				return "", err
			}
			if size != "0" {
				start--
			}
			for ; at < start; at++ {
				out.WriteString(src[at])
			}
		case ' ', '-':
			if at >= len(src) || src[at] != text {
				return "", fmt.Errorf("line %d of the diff does not match line %d", i, at)
			}
			if line[0] == ' ' {
				out.WriteString(text)
			}
			at++
		case '+':
			out.WriteString(text)
		}
	}
	for ; at < len(src); at++ {
		out.WriteString(src[at])
	}
	return out.String(), nil
}

func TestUnifiedRebuildsTheNewFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var a, b strings.Builder
		n, words := rng.IntN(40), 1+rng.IntN(30)
		for range n {
			line := fmt.Sprintf("%d\n", rng.IntN(words))
			if rng.IntN(5) > 0 {
				a.WriteString(line)
			}
			if rng.IntN(5) > 0 {
				b.WriteString(line)
			}
		}
		if rng.IntN(3) == 0 {
			b.WriteString("end")
		}
		d := Unified(change(a.String(), b.String()))
		got, err := apply(a.String(), d)
		if err != nil || got != b.String() {
			t.Fatalf("diff of %q and %q gives %q (%v):\n%s", a.String(), b.String(), got, err, d)
		}
	}
}

// Two large files with nothing, and with only repeated lines, in common are the
// worst cases of a naive comparison.
func TestUnifiedIsQuickOnHardFiles(t *testing.T) {
	unique := func(prefix string) string {
		var s strings.Builder
		for i := 0; s.Len() < maxDiffBytes-16; i++ {
			fmt.Fprintf(&s, "%s%d\n", prefix, i)
		}
		return s.String()
	}
	repeated := func(n int) string { return strings.Repeat("\n", maxDiffBytes-n) }
	for _, c := range [][2]string{
		{unique("a"), unique("b")},
		{repeated(0), repeated(1)},
		{"x\n" + strings.Repeat("a\nb\n", 60_000), "y\n" + strings.Repeat("b\na\n", 60_000) + "z"},
	} {
		start := time.Now()
		d := Unified(change(c[0], c[1]))
		if got, err := apply(c[0], d); err != nil || got != c[1] {
			t.Errorf("the diff does not rebuild the file: %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	}
}
