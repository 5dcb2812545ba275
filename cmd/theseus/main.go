// Command theseus runs app directories and replaces them while they serve.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/theseus-run/theseus/internal/cli"
)

// version is set by the linker for releases.
var version = "0.1.0-dev"

func main() {
	b := cli.Build{Version: version}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			}
		}
	}
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, b))
}
