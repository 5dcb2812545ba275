package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/internal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// quiet is the quiet period of the tests.
const quiet = 100 * time.Millisecond

// A run is a Run in progress over a real folder.
type run struct {
	t       *testing.T
	dir     string
	changed chan string
	modes   chan string
	log     *logs
	stop    func() error
}

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func digestOf(dir string) (string, error) {
	t, err := tree.Scan(dir, nil, tree.Options{})
	if err != nil {
		return "", err
	}
	return t.Digest(), nil
}

// start watches dir and waits until the first state was reported.
func start(t *testing.T, dir string, set ...func(*Options)) *run {
	t.Helper()
	r := &run{t: t, dir: dir, changed: make(chan string, 1000), modes: make(chan string, 10), log: &logs{}}
	opt := Options{
		Dir: dir, Quiet: quiet, Poll: 50 * time.Millisecond,
		Scan:    func() (string, error) { return digestOf(dir) },
		Changed: func(d string) { r.changed <- d },
		Mode:    func(m string) { r.modes <- m },
		Log:     slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range set {
		f(&opt)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, opt) }()
	r.stop = sync.OnceValue(func() error {
		cancel(errStopped)
		return <-done
	})
	t.Cleanup(func() {
		if err := r.stop(); err != errStopped {
			t.Errorf("Run = %v, want the cause of the context", err)
		}
		if t.Failed() {
			t.Log(r.log)
		}
	})
	if opt.Seen == "" {
		r.settles()
	}
	return r
}

var errStopped = errors.New("stopped")

// next returns the next digest that is reported.
func (r *run) next() string {
	r.t.Helper()
	select {
	case d := <-r.changed:
		return d
	case <-time.After(patience):
		r.t.Fatal("no change is reported")
		return ""
	}
}

// settles waits until what is on disk is reported.
func (r *run) settles() {
	r.t.Helper()
	want, err := digestOf(r.dir)
	if err != nil {
		want = "error:" + err.Error()
	}
	for r.next() != want {
	}
}

// settlesAfter is settles after an edit that took so long: nothing in between may
// be reported, unless a busy machine stretched the edit over a quiet period.
func (r *run) settlesAfter(took, quiet time.Duration) {
	r.t.Helper()
	if took >= quiet/2 {
		r.t.Logf("the edit took %v; states in between are accepted", took)
		r.settles()
		return
	}
	got := r.next()
	want, err := digestOf(r.dir)
	if err != nil {
		want = "error:" + err.Error()
	}
	if got != want {
		r.t.Fatalf("reported %.20s, want what is on disk, %.20s", got, want)
	}
}

func (r *run) mode() string {
	r.t.Helper()
	select {
	case m := <-r.modes:
		return m
	case <-time.After(patience):
		r.t.Fatal("no mode is reported")
		return ""
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, elem ...string) {
	t.Helper()
	name, text := filepath.Join(elem[:len(elem)-1]...), elem[len(elem)-1]
	must(t, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
}

func newApp(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app")
	write(t, dir, "theseus.yaml", "app: x\n")
	write(t, dir, "handlers", "a.js", "a")
	write(t, dir, "handlers", "lib", "b.js", "b")
	return dir
}

// both runs a test with events and with polling.
func both(t *testing.T, test func(t *testing.T, set func(*Options))) {
	t.Parallel()
	t.Run("events", func(t *testing.T) { t.Parallel(); test(t, func(*Options) {}) })
	t.Run("polling", func(t *testing.T) { t.Parallel(); test(t, func(o *Options) { o.ForcePoll = true }) })
}

func TestEdits(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := newApp(t)
		r := start(t, dir, set)
		file := func(p string) string { return filepath.Join(dir, filepath.FromSlash(p)) }
		for _, edit := range []struct {
			name string
			do   func()
		}{
			{"save as vim does", func() {
				write(t, dir, "handlers", ".a.js.swp", "swap")
				write(t, dir, "handlers", "4913", "")
				must(t, os.Remove(file("handlers/4913")), os.Rename(file("handlers/a.js"), file("handlers/a.js~")))
				write(t, dir, "handlers", "a.js", "vim")
				must(t, os.Remove(file("handlers/a.js~")), os.Remove(file("handlers/.a.js.swp")))
			}},
			{"write aside and rename", func() {
				write(t, dir, "handlers", "a.js.tmp", "renamed")
				must(t, os.Rename(file("handlers/a.js.tmp"), file("handlers/a.js")))
			}},
			{"write in place", func() { write(t, dir, "handlers", "lib", "b.js", "in place") }},
			{"new file", func() { write(t, dir, "handlers", "new.js", "new") }},
			{"delete a file", func() { must(t, os.Remove(file("handlers/new.js"))) }},
			{"new folders with files", func() { write(t, dir, "workflows", "deep", "er", "w.yaml", "name: w") }},
			{"file in a new folder", func() { write(t, dir, "workflows", "deep", "er", "w.yaml", "name: v") }},
			{"move a folder", func() { must(t, os.Rename(file("workflows"), file("jobs"))) }},
			{"file in the moved folder", func() { write(t, dir, "jobs", "deep", "er", "w.yaml", "name: u") }},
			{"replace a folder", func() {
				write(t, dir, "incoming", "deep", "new.yaml", "name: n")
				must(t, os.RemoveAll(file("jobs")), os.Rename(file("incoming"), file("jobs")))
			}},
			{"file in the replaced folder", func() { write(t, dir, "jobs", "deep", "new.yaml", "name: m") }},
			{"delete a folder", func() { must(t, os.RemoveAll(file("jobs"))) }},
			{"make it again", func() { write(t, dir, "jobs", "deep", "again.yaml", "1") }},
			{"file in the folder made again", func() { write(t, dir, "jobs", "deep", "again.yaml", "2") }},
			{"delete the root", func() { must(t, os.RemoveAll(dir)) }},
			{"make the root again", func() { write(t, dir, "handlers", "a.js", "root") }},
			{"file in the new root", func() { write(t, dir, "handlers", "a.js", "root again") }},
			{"replace the root", func() {
				write(t, dir+".new", "handlers", "a.js", "replaced")
				must(t, os.Rename(dir, dir+".old"), os.Rename(dir+".new", dir))
			}},
			{"file in the replaced root", func() { write(t, dir, "handlers", "a.js", "replaced again") }},
		} {
			before, _ := digestOf(dir)
			begin := time.Now()
			edit.do()
			took := time.Since(begin)
			if after, err := digestOf(dir); err == nil && after == before {
				t.Fatalf("%s: the edit changes nothing", edit.name)
			}
			t.Log(edit.name)
			r.settlesAfter(took, quiet)
		}
	})
}

// With events a change must not have to wait for a poll.
func TestEventsDoNotWaitForAPoll(t *testing.T) {
	t.Parallel()
	dir := newApp(t)
	r := start(t, dir, func(o *Options) { o.Poll, o.safety, o.Quiet = time.Hour, time.Hour, 20*time.Millisecond })
	if m := r.mode(); m != Events {
		t.Fatalf("mode = %s, want events", m)
	}
	for i := range 5 {
		write(t, dir, "handlers", fmt.Sprintf("n%d", i), "x.js", "x")
		r.settles()
		write(t, dir, "handlers", fmt.Sprintf("n%d", i), "x.js", "y")
		r.settles()
		must(t, os.RemoveAll(filepath.Join(dir, "handlers", fmt.Sprintf("n%d", i))))
		r.settles()
	}
}

// A folder removed and made again at once may get the same inode number; its old
// watch is dead all the same.
func TestFolderMadeAgainAtOnce(t *testing.T) {
	t.Parallel()
	dir := newApp(t)
	r := start(t, dir, func(o *Options) { o.Poll, o.safety, o.Quiet = time.Hour, time.Hour, 20*time.Millisecond })
	lib := filepath.Join(dir, "handlers", "lib")
	for i := range 5 {
		must(t, os.RemoveAll(lib))
		write(t, lib, "b.js", fmt.Sprint("again ", i))
		r.settles()
		write(t, lib, "b.js", fmt.Sprint("edited ", i))
		r.settles()
	}
}

// A file written in two parts, with less than the quiet period between them, is
// never seen half.
func TestTornWrite(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := newApp(t)
		const quiet = 500 * time.Millisecond
		r := start(t, dir, set, func(o *Options) { o.Quiet = quiet })
		begin := time.Now()
		f, err := os.Create(filepath.Join(dir, "handlers", "a.js")) // truncates
		must(t, err)
		_, err = f.WriteString("first half, ")
		must(t, err)
		timer := time.NewTimer(100 * time.Millisecond) // the writer's pace, not a signal
		<-timer.C
		_, err = f.WriteString("second half")
		must(t, err, f.Close())
		r.settlesAfter(time.Since(begin), quiet)
	})
}

func TestConfigMapSwap(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := t.TempDir()
		link := func(target, name string) {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Skip(err)
			}
		}
		revision := func(n int) {
			name := fmt.Sprintf("..2026_%d", n)
			write(t, dir, name, "theseus.yaml", fmt.Sprintf("app: v%d\n", n))
			write(t, dir, name, "handlers", "a.js", fmt.Sprint(n))
			link(name, "..data_tmp")
			must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
			must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..2026_%d", n-1))))
		}
		revision(1)
		link("..data/theseus.yaml", "theseus.yaml")
		link("..data/handlers", "handlers")
		r := start(t, dir, set)
		for n := 2; n < 6; n++ {
			begin := time.Now()
			revision(n)
			r.settlesAfter(time.Since(begin), quiet)
		}
	})
}

// The app's path is a link, as of a release folder, that is replaced by rename.
func TestRootIsALink(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		base := t.TempDir()
		dir := filepath.Join(base, "current")
		point := func(n int) {
			write(t, base, fmt.Sprint("v", n), "handlers", "a.js", fmt.Sprint(n))
			if err := os.Symlink(fmt.Sprint("v", n), filepath.Join(base, "next")); err != nil {
				t.Skip(err)
			}
			must(t, os.Rename(filepath.Join(base, "next"), dir))
		}
		point(1)
		r := start(t, dir, set)
		for n := 2; n < 5; n++ {
			point(n)
			r.settles()
			write(t, dir, "handlers", "a.js", fmt.Sprint(n, " edited"))
			r.settles()
		}
	})
}

func TestSingleFile(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := t.TempDir()
		file := filepath.Join(dir, "hello.js")
		write(t, file, "1")
		r := start(t, file, set, func(o *Options) { o.safety = time.Hour })
		write(t, file, "2")
		r.settles()
		write(t, dir, "hello.js.tmp", "3")
		must(t, os.Rename(filepath.Join(dir, "hello.js.tmp"), file))
		r.settles()
		must(t, os.Remove(file))
		r.settles()
		write(t, file, "4")
		r.settles()
	})
}

func TestErrorsAreStates(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := newApp(t)
		r := start(t, dir, set)
		write(t, dir, "handlers", "big.js", strings.Repeat("x", 2<<20))
		if d := r.next(); !strings.HasPrefix(d, "error:handlers/big.js: has 2 MiB") {
			t.Errorf("reported %q, want the error about big.js", d)
		}
		must(t, os.Remove(filepath.Join(dir, "handlers", "big.js")))
		r.settles()
	})
}

func TestSeenIsNotReported(t *testing.T) {
	both(t, func(t *testing.T, set func(*Options)) {
		dir := newApp(t)
		seen, err := digestOf(dir)
		must(t, err)
		r := start(t, dir, set, func(o *Options) { o.Seen = seen })
		r.mode()
		write(t, dir, "handlers", "a.js", "changed")
		if d := r.next(); d == seen {
			t.Error("what was seen before is reported")
		}
	})
}

func TestRunRefuses(t *testing.T) {
	if err := Run(t.Context(), Options{Dir: "x"}); err == nil || !strings.Contains(err.Error(), "required") {
		t.Errorf("Run = %v, want an error about what is required", err)
	}
}
