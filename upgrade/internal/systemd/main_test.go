package systemd

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable names the role that this test binary plays when it starts itself.
const roleVariable = "SYSTEMD_TEST_ROLE"

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		play, ok := roles[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "no role %q\n", name)
			os.Exit(2)
		}
		if err := play(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(counted{m})
}

// counted fails the run if descriptors stay open.
type counted struct{ *testing.M }

func (m counted) Run() int {
	// The first pipe makes the runtime open what it keeps.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	before := descriptors()
	code := m.M.Run()
	if after := descriptors(); code == 0 && len(after) > len(before) {
		fmt.Fprintf(os.Stderr, "descriptors left open: %q, before: %q\n", after, before)
		return 1
	}
	return code
}

// descriptors lists what is open, nothing on Windows.
func descriptors() []string {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		target, _ := os.Readlink("/dev/fd/" + e.Name())
		all = append(all, e.Name()+" "+target)
	}
	return all
}

// env makes a lookup function from pairs of name and value.
func env(pairs ...string) func(string) (string, bool) {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}
