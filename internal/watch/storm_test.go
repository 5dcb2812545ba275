package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLockHoldsChangesBack(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := newApp(t)
		scans := make(chan struct{}, 100_000)
		r := start(t, dir, set, func(o *Options) {
			o.Quiet = 20 * time.Millisecond
			scan := o.Scan
			o.Scan = func() (string, error) { scans <- struct{}{}; return scan() }
		})
		lock := filepath.Join(dir, LockName)
		write(t, lock, "")
		deadline := time.Now().Add(patience)
		for !strings.Contains(r.log.String(), "held back by a lock") {
			if time.Now().After(deadline) {
				t.Fatal("the lock is not noticed")
			}
			time.Sleep(time.Millisecond)
		}
		for len(scans) > 0 {
			<-scans
		}
		for i := range 10 {
			write(t, dir, "handlers", fmt.Sprintf("l%d.js", i), "x")
		}
		if len(r.changed) > 0 || len(scans) > 0 {
			t.Errorf("%d changes and %d scans in spite of the lock", len(r.changed), len(scans))
		}
		must(t, os.Remove(lock))
		r.settles()

		old := time.Now().Add(-lockAge - time.Minute)
		write(t, lock, "")
		must(t, os.Chtimes(lock, old, old))
		write(t, dir, "handlers", "a.js", "with a forgotten lock")
		r.settles()
		if !strings.Contains(r.log.String(), "forgotten lock is ignored") {
			t.Error("the forgotten lock is not logged")
		}
	})
}

// Reports in between are right here: the writers take longer than a quiet period.
func TestThousandsOfEvents(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := newApp(t)
		r := start(t, dir, set)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 1500 {
					name := filepath.Join(dir, "handlers", fmt.Sprintf("g%d-%d.js", g, i%100))
					if err := os.WriteFile(name, fmt.Append(nil, i), 0o644); err != nil {
						t.Error(err)
					}
					if i%50 == 0 {
						write(t, dir, fmt.Sprintf("f%d-%d", g, i), "x.js", "x")
					}
				}
			})
		}
		wg.Wait()
		want, err := digestOf(dir)
		must(t, err)
		for n := 0; ; n++ {
			if r.next() == want {
				break
			}
			if n > 50 {
				t.Fatal("the last state is not reported")
			}
		}
	})
}

// Files that are no part of the app, written without end, must not delay changes.
func TestIgnoredNoiseDoesNotDelay(t *testing.T) {
	t.Parallel()
	dir := newApp(t)
	r := start(t, dir, func(o *Options) { o.safety = time.Hour })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				os.WriteFile(filepath.Join(dir, "handlers", "noise.tmp"), fmt.Append(nil, i), 0o644)
				os.Chtimes(filepath.Join(dir, "theseus.yaml"), time.Now(), time.Now()) // an event without a change
				time.Sleep(time.Millisecond)
			}
		}
	})
	write(t, dir, "handlers", "a.js", "changed in the noise")
	r.settles()
	close(stop)
	wg.Wait()
}
