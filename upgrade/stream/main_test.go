package stream

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine or a descriptor is left over.
func TestMain(m *testing.M) {
	before := descriptors()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	// The first socket makes the runtime open its poller and an event counter,
	// which stay.
	const poller = 2
	over := time.Now().Add(patience)
	for code == 0 && descriptors() > before+poller {
		if time.Now().After(over) {
			fmt.Fprintf(os.Stderr, "%d descriptors before the tests, %d after\n", before, descriptors())
			code = 1
		}
		time.Sleep(10 * time.Millisecond) // the server's side closes on its own
	}
	os.Exit(code)
}

// descriptors counts the open ones, where the system lists them.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
