package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

var fuzzSeeds = []string{order, step1, "steps: {a: {run: x, needs: a}}", "steps:\n  a: &x { run: a }\n  b: *x\n", "output: |\n  ${{ steps[\n"}

func FuzzCompile(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		u, err := compileText(t, src)
		if err != nil {
			for _, e := range yamldoc.Flatten("", err) {
				if e.Message == "" || e.Kind == "" || e.File == "" {
					t.Fatalf("error %#v", e)
				}
			}
			return
		}
		if n := len(u.Graph()); n == 0 || n > maxSteps {
			t.Fatalf("%d steps", n)
		}
	})
}

// FuzzRun executes what compiles. How its goroutines interleave varies, which
// defeats the minimizer: run it with -fuzzminimizetime 1x.
func FuzzRun(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s, `{"sku":"x","qty":1}`)
	}
	host := script.HostFunc(func(context.Context, string, []script.Value) (script.Value, error) {
		return script.JSON([]byte(`{"status":200,"x":[1]}`)), nil
	})
	f.Fuzz(func(t *testing.T, src, input string) {
		u, err := compileText(t, src)
		if err != nil || !json.Valid([]byte(input)) {
			return
		}
		u.timeout = time.Second
		for _, s := range append(u.steps, u.onFailure) {
			if s != nil {
				s.retries = 0
			}
		}
		v, err := u.Execute(t.Context(), script.Call{Host: host, Args: []script.Value{script.JSON([]byte(input))}})
		if _, ok := errors.AsType[*script.Error](err); err != nil && !ok {
			t.Fatalf("%T is not a *script.Error: %v", err, err)
		}
		if text, err := v.Text(); err != nil || !json.Valid(text) {
			t.Fatalf("result %q, %v", text, err)
		}
	})
}
