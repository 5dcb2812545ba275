package update

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const docs = "../docs/update.md"

// TestDocs keeps the table and the diagram of the documentation those that the
// machine runs on.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "<!-- machine -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end of machine -->\n")
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks", docs)
	}
	want := before + "<!-- machine -->\n" + describe() + "<!-- end of machine -->\n" + after
	if *rewrite {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not what the machine does: go test ./update -update", docs)
	}
}

func describe() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> idle\n")
	for _, r := range rules {
		if r.on == "restart" {
			continue // from everywhere
		}
		for _, from := range r.from {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", from, r.to, r.on)
		}
	}
	b.WriteString("```\n\n| in | on | if | go to | do |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range rules {
		var from, deeds []string
		for _, p := range r.from {
			from = append(from, string(p))
		}
		if r.on == "restart" {
			from = []string{"any"}
		}
		for _, f := range r.effects {
			deeds = append(deeds, string(f.Do))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.Join(from, ", "), r.on, r.when, r.to, strings.Join(deeds, ", "))
	}
	return b.String()
}
