package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain makes the test binary the program itself when it is asked to.
func TestMain(m *testing.M) {
	if os.Getenv("THESEUS_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// theseus runs the program.
func theseus(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut strings.Builder
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "THESEUS_TEST_MAIN=1")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	if ee, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		status = ee.ExitCode()
	}
	return out.String(), errOut.String(), status
}

func TestVersionIsThatOfTheLinker(t *testing.T) {
	out, errOut, status := theseus(t, "version", "--json")
	var v struct{ Version, Go string }
	if err := json.Unmarshal([]byte(out), &v); err != nil || status != 0 || errOut != "" {
		t.Fatalf("status %d, error %v, stdout %q, stderr %q", status, err, out, errOut)
	}
	if v.Version != version || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("version %q, go %q, want %q and this Go", v.Version, v.Go, version)
	}
}

func TestStatusReachesTheShell(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
	}{{"help", 0}, {"nonsense", 2}, {"check nowhere", 3}, {"eval nowhere.js", 4}, {"status --dir nowhere", 69}} {
		out, errOut, status := theseus(t, strings.Fields(c.args)...)
		if status != c.status {
			t.Errorf("theseus %s = %d, want %d", c.args, status, c.status)
		}
		if failed := status != 0; strings.HasPrefix(errOut, "theseus: error: ") != failed || (out == "") != failed {
			t.Errorf("theseus %s: stdout %q, stderr %q", c.args, out, errOut)
		}
	}
}
