package workflow

import (
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/schema"
	"github.com/theseus-run/theseus/internal/yamldoc"
)

// The schema that editors get agrees with the compiler on these workflows.
func TestSchema(t *testing.T) {
	text, err := schema.Generate(&Spec{}, "https://theseus.run/schema/workflow.json", "workflow")
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.Compile("workflow.json", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for src, want := range map[string]string{
		order: "",
		step1: "",
		"timeout: 10m\nversion: v1\nsteps:\n  a: { run: a.js, with: [1, { x: null }] }\n  b: { run: b.js, needs: a, if: true }\n  c: { depends_on: [a, b], http: { put: \"http://x/\", body: x, query: { a: 1 }, accept: [404] } }\n": "",
		"stepz: {}\n" + step1: "stepz",
		"steps: {}\n":         "1",
		"steps: { a: { run: a.js, retry: { max: 101 } } }\n":      "too large",
		"steps: { a: { run: a.js, needs: 5 } }\n":                 "string",
		"steps: { a: { run: a.js, timeout: 5 } }\n":               "string",
		"steps: { a: { http: { get: \"http://x/\", gett: 1 } } }": "gett",
	} {
		doc, err := yamldoc.Parse("w.yaml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Validate(doc)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("schema on\n%s= %v, want %q", src, err, want)
		}
		if _, cerr := compileText(t, src); (cerr == nil) != (err == nil) {
			t.Errorf("schema and compiler differ on\n%s%v\n%v", src, err, cerr)
		}
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
}
