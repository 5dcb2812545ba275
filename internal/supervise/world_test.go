//go:build unix

package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait; a machine may be very slow.
const patience = 60 * time.Second

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// environ is that of every process that tests start.
func environ() []string { return append(os.Environ(), "GORACE=atexit_sleep_ms=0") }

func executable(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// A recorder keeps the events of a supervisor.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) of(kind Kind) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Event
	for _, e := range r.events {
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintf(&b, "%s %s child %d pid %d %s %s\n", e.Time.Format("05.000"), e.Kind, e.Child, e.PID, e.Took, e.Detail)
	}
	return b.String()
}

// A world is a supervisor with an app behind it.
type world struct {
	t       testing.TB
	dir     string
	release string // file
	*Supervisor
	recorder
	stopRun context.CancelFunc
	signals chan os.Signal
	done    chan struct{} // closed when Run has returned
	status  int
	err     error
}

// testOptions are those of an app on a free port, quick enough for tests.
func testOptions(t testing.TB, release string) Options {
	exe := executable(t)
	return Options{
		Command: []string{exe, "app", release}, Self: []string{exe, "exec-child"}, Environ: environ(),
		Listen:    []Listen{{Name: "web", Network: "tcp", Address: "127.0.0.1:0"}},
		Probation: 20 * time.Millisecond, ReadyTimeout: patience, Drain: patience,
		pace: pace{first: 5 * time.Millisecond, most: 20 * time.Millisecond, steady: time.Hour},
	}
}

// start runs a supervisor until the test ends; then nothing may be left of it.
func start(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), signals: make(chan os.Signal, 8), done: make(chan struct{})}
	w.release = filepath.Join(w.dir, "release")
	w.deploy("v1")
	opt := testOptions(t, w.release)
	opt.OnEvent = w.add
	if change != nil {
		change(&opt)
	}
	var err error
	if w.Supervisor, err = New(opt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stopRun = cancel
	go func() {
		defer close(w.done)
		w.status, w.err = w.Run(ctx, w.signals)
	}()
	t.Cleanup(w.end)
	w.await(Serving, 1)
	return w
}

// end stops the supervisor and looks for what is left.
func (w *world) end() {
	w.stopRun()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.t.Errorf("Run does not return")
	}
	for _, e := range w.of(Started) {
		until(w.t, fmt.Sprintf("the end of process group %d", e.PID), func() bool { return groupGone(e.PID) })
	}
	if _, err := os.Stat(w.Supervisor.dir); err == nil {
		w.t.Errorf("%s is left behind", w.Supervisor.dir)
	}
	if w.t.Failed() {
		w.t.Logf("events:\n%s", w.recorder.String())
	}
}

// deploy replaces the release file.
func (w *world) deploy(words string) {
	w.t.Helper()
	deploy(w.t, w.release, words)
}

func deploy(t testing.TB, file, words string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// await waits for the n-th event of a kind.
func (w *world) await(kind Kind, n int) Event {
	w.t.Helper()
	until(w.t, fmt.Sprintf("%q number %d", kind, n), func() bool { return len(w.of(kind)) >= n })
	return w.of(kind)[n-1]
}

func (w *world) address() string { return w.sockets[0].address }

// get asks the app once, by a connection of its own; the answer is release and pid.
func get1(address, path string) (string, error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	if strings.HasPrefix(address, "/") {
		client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", address)
		}}
		address = "unix"
	}
	res, err := client.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return string(body), err
}

// answers waits until the app answers as release and returns the pid.
func (w *world) answers(release string) (pid int) {
	w.t.Helper()
	until(w.t, "an answer of "+release, func() bool {
		body, err := get1(w.address(), "/")
		if err != nil {
			w.t.Fatalf("get: %v", err)
		}
		var from string
		_, _ = fmt.Sscan(body, &from, &pid)
		return from == release
	})
	return pid
}

// descriptors lists what a process has open, by /proc.
func descriptors(t testing.TB, pid int) (open []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink(dir + e.Name()); err == nil {
			open = append(open, e.Name()+" "+target)
		}
	}
	return open
}

// groupGone reports whether nothing runs in a process group. A zombie of
// somebody else's is not ours to count.
func groupGone(group int) bool {
	if syscall.Kill(-group, 0) == syscall.ESRCH {
		return true
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(f) > 2 && f[2] == fmt.Sprint(group) && f[0] != "Z" && f[0] != "X" {
			return false
		}
	}
	return true
}

// states are those of the children that run, oldest first.
func (w *world) states() []State {
	var all []State
	for _, c := range w.Status().Children {
		all = append(all, c.State)
	}
	return all
}

func (w *world) awaitStates(want ...State) {
	w.t.Helper()
	until(w.t, fmt.Sprint("children ", want), func() bool { return slices.Equal(w.states(), want) })
}
