//go:build unix

package supervise

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the processes that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "exec-child":
			os.Exit(ChildMain(os.Args[2:]))
		case "app":
			os.Exit(appMain(os.Args[2:]))
		case "supervisor":
			os.Exit(supervisorMain())
		}
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // these tests wait for others more than they compute
	goleak.VerifyTestMain(m)
}
