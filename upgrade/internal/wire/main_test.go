package wire

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childMode makes the test binary play one of the children.
const childMode = "WIRE_TEST_CHILD"

type suite struct{ *testing.M }

// Run runs the tests and then counts what they left open.
func (s suite) Run() int {
	before := len(openSockets())
	code := s.M.Run()
	if after := openSockets(); code == 0 && len(after) > before {
		fmt.Fprintf(os.Stderr, "sockets left open: descriptors %v\n", after)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv(childMode)]; ok {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(suite{m})
}
