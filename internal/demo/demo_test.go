package demo_test

import (
	"context"
	"errors"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/internal/cli"
	"github.com/theseus-run/theseus/internal/demo"
)

// TestMain is `theseus run` where the demo starts this program as such.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Build{Version: "test"}))
	}
	goleak.VerifyTestMain(m)
}

// The demo is the acceptance test: every step ends as it should and nothing is lost.
func TestDemo(t *testing.T) {
	skip(t)
	var out strings.Builder
	b, err := demo.Run(t.Context(), demo.Options{Fast: true, Out: &out, Version: "test"})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !b.OK() {
		t.Errorf("the demo lost something: %+v\n%s", b, out.String())
	}
	if b.Changes != 9 || b.Live != 5 || b.Refused != 3 || b.RolledBack != 1 || b.StreamsOpen != 25 || b.Requests < 100 || b.JobTicks < 2 ||
		b.GenerationsFreed != 5 || b.SwapNsP50 <= 0 || b.SaveToLiveMsP95 <= 0 {
		t.Errorf("scoreboard %+v\n%s", b, out.String())
	}
	if runtime.GOOS == "windows" {
		return
	}
	u := b.Upgrades
	if u == nil {
		t.Fatalf("no program was replaced\n%s", out.String())
	}
	if b.Upgraded < 1 || u.Refused != 2 || u.RolledBack != 1 || u.Requests < 100 || u.Failed != 0 || u.ServingMs <= 0 || u.TookMs < u.ServingMs ||
		u.Connections != 32 || u.Moved != 32 || u.StreamsReturned < 25 || u.StreamAwayMsMax <= 0 || u.JobTicks < 2 {
		t.Errorf("upgrades %+v\n%s", u, out.String())
	}
	if c := b.Crash; c == nil || c.Generation < 1 || c.AwayMs <= 0 || !c.CartKept || c.AppliedNow <= c.Generation {
		t.Errorf("crash %+v\n%s", c, out.String())
	}
}

// Who has seen enough may stop it at any moment; no process is left.
func TestInterrupted(t *testing.T) {
	skip(t)
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be replaced on Windows")
	}
	for _, at := range []string{"\n  pid  ", "\n 9. ", "on probation", "killed: the update"} {
		t.Run(strings.TrimSpace(at), func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			out := &trigger{text: at, do: cancel}
			_, err := demo.Run(ctx, demo.Options{Fast: true, Out: out, Temp: tmp})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%v\n%s", err, out.seen.String())
			}
			hosts := regexp.MustCompile(`  app      http://(\S+)`).FindAllStringSubmatch(out.seen.String(), -1)
			for _, h := range hosts {
				if c, err := net.Dial("tcp", h[1]); err == nil {
					c.Close()
					t.Errorf("%s is listened on still\n%s", h[1], out.seen.String())
				}
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func skip(t *testing.T) {
	t.Helper()
	if testing.Short() || raceEnabled {
		t.Skip("its load is more than a slowed-down engine can carry; make test runs it without the race detector")
	}
}

// A trigger does something once a text has been written to it.
type trigger struct {
	text string
	do   func()
	seen strings.Builder
}

func (w *trigger) Write(p []byte) (int, error) {
	n, err := w.seen.Write(p)
	if strings.Contains(w.seen.String(), w.text) {
		w.do()
	}
	return n, err
}
