package executable

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// checkVariable makes the test binary print the Kind of Check for a file.
const checkVariable = "EXECUTABLE_TEST_CHECK"

func TestMain(m *testing.M) {
	if path := os.Getenv(checkVariable); path != "" {
		kind := Kind("ok")
		if ce, ok := Check(path).(*CheckError); ok {
			kind = ce.Check
		}
		fmt.Print(kind)
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "executable")
	if err != nil {
		panic(err)
	}
	builds.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// builds are the programs of the tests, each built once.
var builds struct {
	dir  string
	mu   sync.Mutex
	once map[string]func() (string, error)
}

// hello builds a small program for a platform and returns its path, which other
// tests read too.
func hello(t testing.TB, goos, goarch string, flags ...string) string {
	t.Helper()
	key := fmt.Sprint(goos, "-", goarch, flags)
	builds.mu.Lock()
	if builds.once == nil {
		builds.once = map[string]func() (string, error){}
	}
	build := builds.once[key]
	if build == nil {
		dir := filepath.Join(builds.dir, fmt.Sprint(len(builds.once)))
		build = sync.OnceValues(func() (string, error) { return buildHello(dir, goos, goarch, flags) })
		builds.once[key] = build
	}
	builds.mu.Unlock()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func buildHello(dir, goos, goarch string, flags []string) (string, error) {
	files := map[string]string{
		"go.mod":  "module example.test/hello\n\ngo 1.26\n",
		"main.go": "package main\n\nvar version string\n\nfunc main() { println(\"hello\", version) }\n",
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return "", err
		}
	}
	out := filepath.Join(dir, "hello")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-buildvcs=false"}, flags...), "-o", out, ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, text)
	}
	return out, nil
}

// native is a program for this machine.
func native(t testing.TB) string { return hello(t, runtime.GOOS, runtime.GOARCH) }

// bytesOf reads a file that changed edits in place or cuts, nil leaves as it is.
func bytesOf(t testing.TB, path string, change func([]byte) []byte) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		b = change(b)
	}
	return b
}

// fileOf writes a file with mode and returns its path.
func fileOf(t testing.TB, b []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// inspected is Inspect that must not fail.
func inspected(t testing.TB, path string) *Info {
	t.Helper()
	i, err := Inspect(path)
	if err != nil {
		t.Fatalf("Inspect(%s): %v", path, err)
	}
	return i
}
