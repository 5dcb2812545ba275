package workflow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

func compileText(t testing.TB, text string) (*Unit, error) {
	t.Helper()
	u, err := New().Compile(t.Context(), fstest.MapFS{"workflows/w.yaml": {Data: []byte(text)}}, "workflows/w.yaml", script.Limits{})
	if err != nil {
		return nil, err
	}
	return u.(*Unit), nil
}

func mustCompile(t testing.TB, text string) *Unit {
	t.Helper()
	u, err := compileText(t, text)
	if err != nil {
		t.Fatalf("Compile:\n%v", err)
	}
	return u
}

// messages renders every mistake as "line:column kind message [hint]".
func messages(err error) string {
	var lines []string
	for _, e := range yamldoc.Flatten("", err) {
		line := fmt.Sprintf("%d:%d %s %s", e.Line, e.Column, e.Kind, e.Message)
		if e.Hint != "" {
			line += " [" + e.Hint + "]"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

const step1 = "steps:\n  a: { run: h/a.js }\n"

func TestBadWorkflows(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", `0:0 refused the file is empty [a workflow has steps: name: { run: handlers/x.js }]`},
		{"not a map", "- a\n", `1:1 refused want a map, got a list`},
		{"no steps", "name: x\n", `1:1 refused a workflow needs at least one step [add steps: name: { run: handlers/x.js }]`},
		{"empty steps", "steps: {}\n", `1:1 refused a workflow needs at least one step [add steps: name: { run: handlers/x.js }]`},
		{"unknown key", "stepz: {}\n" + step1, `1:1 refused unknown key "stepz" [did you mean "steps"?]`},
		{"unknown step key", "steps:\n  a: { run: a.js, wiht: 1 }\n", `2:19 refused unknown key "wiht" [did you mean "with"?]`},
		{"duplicate step", "steps:\n  a: { run: a.js }\n  a: { run: b.js }\n", `3:3 refused duplicate key "a" [it is already set in line 2: remove one of them]`},
		{"empty step", "steps:\n  a:\n", `2:3 refused step "a" is empty [say what it does: { run: handlers/x.js }]`},
		{"no action", "steps:\n  a: { needs: [b] }\n  b: { run: b.js }\n", `2:3 refused step "a" has no action [add run: handlers/x.js or http: { get: https://… }]`},
		{"two actions", "steps:\n  a: { run: a.js, http: { get: \"http://x/\" } }\n", `2:19 refused step "a" has two actions, run and http [split it into two steps]`},
		{"step name", "steps:\n  a b: { run: a.js }\n", `2:3 refused "a b" is no name for a step [use letters, digits, _ and -, beginning with a letter]`},
		{"unknown need", "steps:\n  price: { run: a.js }\n  b: { run: b.js, needs: [prise] }\n", `3:27 refused step "b" needs "prise", which does not exist [did you mean "price"?]`},
		{"unknown depends_on", "steps:\n  price: { run: a.js }\n  b: { run: b.js, depends_on: zzz }\n", `3:31 refused step "b" needs "zzz", which does not exist [known: price]`},
		{"needs a number", "steps:\n  a: { run: a.js, needs: [1] }\n", `2:27 refused want the name of a step, got 1`},
		{"self need", "steps:\n  a: { run: a.js, needs: a }\n", `2:26 refused step "a" needs itself`},
		{"circle", "steps:\n  a: { run: a.js, needs: c }\n  b: { run: b.js, needs: a }\n  c: { run: c.js, depends_on: [b] }\n",
			`2:3 refused steps need each other in a circle: a → c → b → a [steps.NAME in an expression is a need too]`},
		{"circle by reference", "steps:\n  a: { run: a.js, with: \"${{ steps.b }}\" }\n  b: { run: b.js, with: { x: \"${{ steps.a.y }}\" } }\n",
			`2:3 refused steps need each other in a circle: a → b → a [steps.NAME in an expression is a need too]`},
		{"own result", "steps:\n  a: { run: a.js, if: \"steps.a.ok\" }\n", `2:23 refused step "a" reads its own result`},
		{"unknown step reference", "steps:\n  price: { run: a.js }\n  b: { run: b.js, with: { x: \"${{ steps.prics.total }}\" } }\n", `3:30 refused steps.prics does not exist [did you mean "price"?]`},
		{"all steps", "steps:\n  a: { run: a.js, with: \"${{ steps }}\" }\n", `2:25 refused a step can't read all steps at once [write steps.NAME, so that it is known which steps have to end first]`},
		{"computed step", "steps:\n  a: { run: a.js, with: \"${{ steps[input.x] }}\" }\n", `2:25 refused a step can't read all steps at once [write steps.NAME, so that it is known which steps have to end first]`},
		{"bad expression", "steps:\n  a:\n    run: a.js\n    with: { x: \"a ${{ 1 + }} b\" }\n", `4:27 syntax the expression ends where a value is expected`},
		{"bad expression in a block", "steps:\n  a:\n    run: a.js\n    with: |\n      one\n      two ${{ lenght(1) }}\n", `6:15 syntax unknown function "lenght" [did you mean length?]`},
		{"bad if", "steps:\n  a: { run: a.js, if: 'input.x = 1' }\n", `2:32 syntax unexpected '=' [compare with ==]`},
		{"if of a wrong type", "steps:\n  a: { run: a.js, if: [1] }\n", `2:23 refused want a condition, got a list`},
		{"unknown variable", "steps:\n  a: { run: a.js, with: \"${{ inptu.x }}\" }\n", `2:30 syntax unknown name "inptu" [did you mean input?]`},
		{"error outside on_failure", "steps:\n  a: { run: a.js, with: \"${{ error.message }}\" }\n", `2:30 syntax unknown name "error" [known names: input, steps, config, run, now]`},
		{"status function in with", "steps:\n  a: { run: a.js, with: \"${{ always() }}\" }\n", `2:30 syntax unknown function "always" [known functions: abs, ceil, contains, default, endsWith, first, floor, int, join, json, keys, last, len, length, lower, max, min, number, replace, round, split, startsWith, string, sum, trim, type, upper, values]`},
		{"status without needs", "steps:\n  a: { run: a.js, if: failure() }\n", `2:23 refused the step asks how others ended and needs none [add needs]`},
		{"undeclared input", "input: { sku: string }\nsteps:\n  a: { run: a.js, with: \"${{ input.skuu }}\" }\n", `3:25 refused input.skuu is not declared under input [did you mean "sku"?]`},
		{"input type", "input: { sku: strng }\n" + step1, `1:15 refused unknown type "strng" [did you mean "string"?]`},
		{"run context", "steps:\n  a: { run: a.js, with: \"${{ run.ident }}\" }\n", `2:25 refused run.ident does not exist [known: id, workflow]`},
		{"retry too often", "steps:\n  a: { run: a.js, retry: { max: 101 } }\n", `2:33 refused want 1 to 100 retries, got 101`},
		{"retry never", "steps:\n  a: { run: a.js, retry: { max: 0 } }\n", `2:33 refused want 1 to 100 retries, got 0`},
		{"backoff zero", "steps:\n  a: { run: a.js, retry: { max: 1, backoff: 0s } }\n", `2:45 refused want a duration from 1ms to 24h0m0s, got 0s`},
		{"backoffs crossed", "steps:\n  a: { run: a.js, retry: { max: 1, backoff: 2s, max_backoff: 1s } }\n", `2:62 refused max_backoff 1s is shorter than backoff 2s`},
		{"timeout zero", "steps:\n  a: { run: a.js, timeout: 0s }\n", `2:28 refused want a duration from 1ms to 24h0m0s, got 0s`},
		{"timeout negative", "timeout: -1s\n" + step1, `1:10 refused want a duration from 1ms to 24h0m0s, got -1s`},
		{"timeout without unit", "timeout: 5\n" + step1, `1:10 refused 5: want a duration with a unit, such as 500ms, 5s or 2m`},
		{"run computed", "steps:\n  a: { run: \"h/${{ input.x }}.js\" }\n", `2:13 refused run takes a fixed name, so that every update can check it [use two steps with an if each]`},
		{"run outside", "steps:\n  a: { run: ../x.js }\n", `2:13 refused run takes the path of a unit inside the app, got "../x.js" [such as handlers/price.js]`},
		{"http without method", "steps:\n  a: { http: { json: 1 } }\n", `2:8 refused http takes one of get, head, post, put, patch and delete, got none [such as http: { get: https://… }]`},
		{"http with two", "steps:\n  a: { http: { get: \"http://x\", post: \"http://y\" } }\n", `2:8 refused http takes one of get, head, post, put, patch and delete, got get and post [such as http: { get: https://… }]`},
		{"http url", "steps:\n  a: { http: { get: \"file:///etc/passwd\" } }\n", `2:21 refused want an http or https URL, got "file:///etc/passwd" [such as https://pay.example.com/charge]`},
		{"http two bodies", "steps:\n  a: { http: { post: \"http://x/\", json: 1, body: x } }\n", `2:44 refused json and body are both the body [keep one of them]`},
		{"http accept", "steps:\n  a: { http: { get: \"http://x/\", accept: [200] } }\n", `2:43 refused want a status from 400 to 599, got 200`},
		{"with on http", "steps:\n  a: { http: { get: \"http://x/\" }, with: 1 }\n", `2:36 refused with belongs to run [an http step takes query, headers, json and body]`},
		{"on_failure with needs", step1 + "on_failure: { run: f.js, needs: a }\n", `3:26 refused on_failure takes no needs [it runs whenever a step has failed]`},
		{"on_failure empty", step1 + "on_failure:\n", `3:12 refused on_failure is empty [say what it does, or remove it]`},
		{"output reads nothing", step1 + "output: { x: \"${{ steps.b.x }}\" }\n", `3:14 refused steps.b does not exist [known: a]`},
		{"several", "steps:\n  a: { run: a.js, needs: x, timeout: 0s }\n  b: { run: b.js, if: \"1 +\" }\n",
			"2:26 refused step \"a\" needs \"x\", which does not exist [known: b]\n2:38 refused want a duration from 1ms to 24h0m0s, got 0s\n3:27 syntax the expression ends where a value is expected"},
		{"not yaml", "steps: [\n", `1:8 syntax sequence end token ']' not found [close the [ with ]]`},
		{"version", "version: [1]\n" + step1, `1:10 refused want a text or a number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := compileText(t, c.src)
			if got := messages(err); got != c.want {
				t.Errorf("Compile of\n%s=\n%s\nwant\n%s", c.src, got, c.want)
			}
			if e, ok := errors.AsType[*script.Error](err); ok && e.Line > 0 {
				if e.File != "workflows/w.yaml" || e.Frame == "" {
					t.Errorf("file %q, frame %q", e.File, e.Frame)
				}
			}
		})
	}
}

func TestTooManySteps(t *testing.T) {
	var b strings.Builder
	b.WriteString("steps:\n")
	for i := range maxSteps {
		fmt.Fprintf(&b, "  s%d: { run: a.js }\n", i)
	}
	mustCompile(t, b.String())
	b.WriteString("  more: { run: a.js }\n")
	_, err := compileText(t, b.String())
	if got, want := messages(err), "1:1 refused 501 steps are more than 500 [move some into a workflow of their own and run that]"; got != want {
		t.Errorf("Compile = %s, want %s", got, want)
	}
}

func TestUnreadable(t *testing.T) {
	files := fstest.MapFS{"d/x.yaml": {Data: []byte(step1)}, "big.yaml": {Data: make([]byte, 2<<20)}}
	for name, want := range map[string]string{
		"none.yaml": "none.yaml: cannot be read: file does not exist",
		"d":         "d: cannot be read: it is a folder",
		"big.yaml":  "big.yaml: the file has 2097152 bytes, more than 1048576",
	} {
		_, err := New().Compile(t.Context(), files, name, script.Limits{})
		if err == nil || err.Error() != want || script.KindOf(err) != script.Refused {
			t.Errorf("Compile(%s) = %v, want %s", name, err, want)
		}
	}
}
