package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/tree"
)

// BenchmarkSaveToReport measures from before a file is written to the call of
// Changed, for an app of 50 files and the default quiet period.
func BenchmarkSaveToReport(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "app")
	for i := range 50 {
		write(b, dir, "handlers", fmt.Sprintf("f%d.js", i), strings.Repeat("line\n", 100))
	}
	var last *tree.Tree
	changed := make(chan string, 1)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{
			Dir: dir, Changed: func(d string) { changed <- d },
			Scan: func() (string, error) {
				t, err := tree.Scan(dir, last, tree.Options{})
				if err != nil {
					return "", err
				}
				last = t
				return t.Digest(), nil
			},
		})
	}()
	defer func() { cancel(); <-done }()
	<-changed
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		write(b, dir, "handlers", "f7.js", fmt.Sprint(len(took)))
		<-changed
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
	b.ReportMetric(0, "ns/op")
}
