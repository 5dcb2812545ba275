package console_test

import (
	"context"
	"os"
	"testing"

	"github.com/theseus-run/theseus/internal/cli"
)

// TestMain is `theseus run` where a test starts this program as such.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Build{Version: "test"}))
	}
	os.Exit(m.Run())
}
