package pidfile

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable names the role that this test binary plays when it starts itself.
const roleVariable = "PIDFILE_TEST_ROLE"

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

// wantAlone fails unless dir holds exactly these names.
func wantAlone(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := alone(dir, names...); err != nil {
		t.Error(err)
	}
}

func alone(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if fmt.Sprint(have) != fmt.Sprint(names) {
		return fmt.Errorf("%s holds %q, want %q", dir, have, names)
	}
	return nil
}
