package demo_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/internal/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The demo is the acceptance test: every step ends as it should and nothing is lost.
func TestDemo(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("its load is more than a slowed-down engine can carry; make test runs it without the race detector")
	}
	var out strings.Builder
	b, err := demo.Run(t.Context(), demo.Options{Fast: true, Out: &out, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if !b.OK() {
		t.Errorf("the demo lost something: %+v\n%s", b, out.String())
	}
	if b.Changes != 8 || b.Live != 4 || b.Refused != 3 || b.RolledBack != 1 || b.StreamsOpen != 25 || b.Requests < 100 || b.JobTicks < 2 ||
		b.GenerationsFreed != 4 || b.SwapNsP50 <= 0 || b.SaveToLiveMsP95 <= 0 {
		t.Errorf("scoreboard %+v\n%s", b, out.String())
	}
}
