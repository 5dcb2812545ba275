package watch

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func TestFallsBackToPolling(t *testing.T) {
	for _, c := range []struct {
		name, want string
		set        func(*Options)
	}{
		{"watch limit", "limit of watches", func(o *Options) {
			n := 0
			o.add = func(w *fsnotify.Watcher, p string) error {
				if n++; n > 2 {
					return fmt.Errorf("inotify_add_watch: %w", syscall.ENOSPC)
				}
				return w.Add(p)
			}
		}},
		{"descriptors", "limit of open files", func(o *Options) {
			o.add = func(*fsnotify.Watcher, string) error { return syscall.EMFILE }
		}},
		{"network", "nfs does not tell", func(o *Options) { o.fsType = func(string) string { return "nfs" } }},
		{"silence", "a change came without one", func(o *Options) {
			o.safety = 50 * time.Millisecond
			o.add = func(*fsnotify.Watcher, string) error { return nil } // accepted, but tells nothing
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := newApp(t)
			r := start(t, dir, c.set)
			for i := range 3 {
				write(t, dir, "handlers", "a.js", fmt.Sprint("polled ", i))
				r.settles()
			}
			for m := r.mode(); m != Polling; m = r.mode() {
			}
			if !strings.Contains(r.log.String(), c.want) {
				t.Errorf("the log does not say %q:\n%s", c.want, r.log)
			}
		})
	}
}

// The limit of watches is reached for the first time by a folder added later.
func TestWatchLimitReachedLater(t *testing.T) {
	t.Parallel()
	dir := newApp(t)
	r := start(t, dir, func(o *Options) {
		o.add = func(w *fsnotify.Watcher, p string) error {
			if strings.Contains(p, "more") {
				return syscall.ENOSPC
			}
			return w.Add(p)
		}
	})
	write(t, dir, "more", "a.js", "1")
	r.settles()
	write(t, dir, "more", "a.js", "2")
	r.settles()
	if a, b := r.mode(), r.mode(); a != Events || b != Polling {
		t.Errorf("modes are %s, %s, want events, polling", a, b)
	}
}
