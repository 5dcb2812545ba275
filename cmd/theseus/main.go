// Command theseus runs app directories and replaces them while they serve.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/theseus-run/theseus/internal/cli"
)

// The linker sets these for releases.
var (
	version = "0.1.0-dev"
	counter = "0" // the rollback counter: a number, raised when a return to what was before would be harmful
)

func main() {
	b := cli.Build{Version: version, Counter: counter}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, b))
}
