package watch

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Every new folder makes new watches; all are given back, during the run and at
// its end.
func TestDescriptorsAreGivenBack(t *testing.T) {
	dir := newApp(t)
	before := 0
	for round := range 3 {
		changed := make(chan string, 100)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, Options{
				Dir: dir, Quiet: 10 * time.Millisecond, Changed: func(d string) { changed <- d },
				Scan: func() (string, error) { return digestOf(dir) },
			})
		}()
		<-changed
		running := descriptors(t)
		for i := range 10 {
			write(t, dir, fmt.Sprintf("d%d-%d", round, i), "x.js", "x")
			select {
			case <-changed:
			case <-time.After(patience):
				t.Fatal("no change is reported")
			}
		}
		for end := time.Now().Add(patience); descriptors(t) > running && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if now := descriptors(t); now > running {
			t.Errorf("%d descriptors after ten new folders, %d before", now, running)
		}
		cancel()
		<-done
		if round == 0 {
			before = descriptors(t)
		} else if now := descriptors(t); now > before {
			t.Errorf("%d descriptors after round %d, %d after the first", now, round, before)
		}
	}
}
