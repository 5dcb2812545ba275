package js

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/script"
)

// TestMain waits for machines that tests have abandoned: a built-in that cannot
// be interrupted ends when it meets the memory limit, under the race detector late.
func TestMain(m *testing.M) {
	code := m.Run()
	for deadline := time.Now().Add(2 * time.Minute); code == 0; {
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// tree is an app given as path → source.
func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return out
}

// compile compiles files["a.js"] and closes the unit when the test ends.
func compile(t testing.TB, files map[string]string, limits script.Limits) *Unit {
	t.Helper()
	u, err := New().Compile(t.Context(), tree(files), "a.js", limits)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	t.Cleanup(u.Close)
	return u.(*Unit)
}

// single compiles one file.
func single(t testing.TB, source string) *Unit {
	t.Helper()
	return compile(t, map[string]string{"a.js": source}, script.Limits{})
}

// result executes the default export and returns its result as JSON.
func result(t *testing.T, u *Unit, host script.Host, args ...script.Value) string {
	t.Helper()
	v, err := u.Execute(t.Context(), script.Call{Args: args, Host: host})
	if err != nil {
		t.Fatalf("Execute: %v", err)
	}
	text, err := v.Text()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// failure executes the default export and returns its error.
func failure(t *testing.T, u *Unit, host script.Host, args ...script.Value) *script.Error {
	t.Helper()
	v, err := u.Execute(t.Context(), script.Call{Args: args, Host: host})
	if err == nil {
		t.Fatalf("Execute = %v, want an error", v)
	}
	e, ok := err.(*script.Error)
	if !ok {
		t.Fatalf("Execute: %T %v, want *script.Error", err, err)
	}
	return e
}

// eventually polls until ok or thirty seconds have passed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 3 min: %s", what)
		}
	}
}

var background = context.Background()
