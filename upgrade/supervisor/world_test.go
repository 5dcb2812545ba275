//go:build linux

package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait; a machine may be very slow.
const patience = 2 * time.Minute

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

func own(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// A world is a supervisor process with a service below it, seen from the test.
type world struct {
	t       testing.TB
	dir     string
	program string // path of the workers and, in Follow, of the supervisor
	config  workerConfig
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	done    chan struct{}
	inside  bool // it lives in another PID namespace: its numbers mean others here

	mu     sync.Mutex
	events []Event
	errOut strings.Builder
}

// start runs a supervisor until the test ends; then nothing may be left of it.
func start(t testing.TB, change func(*world, *setup)) *world {
	t.Helper()
	w := begin(t, change)
	w.await(Serving, 1)
	return w
}

// begin is start that does not wait for the service.
func begin(t testing.TB, change func(*world, *setup)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: dir, program: filepath.Join(dir, "service"), done: make(chan struct{}), config: workerConfig{
		Network: "tcp", Addr: freePort(t), Name: "v1", Probation: 20 * time.Millisecond, Heartbeat: time.Second,
	}}
	w.install(w.program, "")
	c := setup{Path: w.program, Worker: filepath.Join(dir, "worker.json"), Heartbeat: time.Second, Stall: -1, Ready: patience, Trial: patience,
		First: 10 * time.Millisecond, Steady: time.Hour}
	w.cmd = exec.Command(w.program, "supervisor")
	w.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if change != nil {
		change(w, &c)
	}
	w.config.Heartbeat = c.Heartbeat
	w.deploy()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Env = append(w.cmd.Env, setupVariable+"="+string(text))
	w.cmd.Stderr = w
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		w.read(out)
		_ = w.cmd.Wait()
	}()
	t.Cleanup(w.end)
	return w
}

// Write takes standard error.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.errOut.Write(p)
}

func (w *world) read(out io.ReadCloser) {
	for dec := json.NewDecoder(out); ; {
		var e Event
		if dec.Decode(&e) != nil {
			return
		}
		w.mu.Lock()
		w.events = append(w.events, e)
		w.mu.Unlock()
	}
}

// end kills what still runs.
func (w *world) end() {
	if w.cmd.Process.Signal(syscall.Signal(0)) == nil && !w.t.Failed() {
		_ = w.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-w.done:
		case <-time.After(patience):
			w.t.Error("the supervisor does not end")
		}
	}
	_ = w.cmd.Process.Kill()
	for _, pid := range w.workers() {
		if !w.inside {
			_ = syscall.Kill(-pid, syscall.SIGKILL) // they hold the pipes, too
		}
	}
	<-w.done
	for _, pid := range w.workers() {
		if !w.inside {
			until(w.t, fmt.Sprintf("the end of process group %d", pid), func() bool { return groupGone(pid) })
		}
	}
	if w.t.Failed() {
		w.mu.Lock()
		defer w.mu.Unlock()
		var b strings.Builder
		for _, e := range w.events {
			fmt.Fprintf(&b, "%s %s worker %d pid %d %s %s\n", e.Time.Format("05.000"), e.Kind, e.Worker, e.PID, e.Took, e.Detail)
		}
		w.t.Logf("%v, events:\n%s\nstderr:\n%s", w.cmd.ProcessState, b.String(), w.errOut.String())
	}
}

// workers are all process IDs of workers that ever ran.
func (w *world) workers() (pids []int) {
	for _, e := range w.of(Started) {
		pids = append(pids, e.PID)
	}
	return pids
}

// alive are those of them that run.
func (w *world) alive() []int {
	return slices.DeleteFunc(w.workers(), gone)
}

func (w *world) of(kind Kind) (all []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// await waits for the n-th event of a kind.
func (w *world) await(kind Kind, n int) Event {
	w.t.Helper()
	until(w.t, fmt.Sprintf("%q number %d", kind, n), func() bool { return len(w.of(kind)) >= n })
	return w.of(kind)[n-1]
}

// order gives the supervisor a command.
func (w *world) order(words ...string) {
	w.t.Helper()
	if err := json.NewEncoder(w.stdin).Encode(words); err != nil {
		w.t.Fatal(err)
	}
}

// ordered waits for the result of a command.
func (w *world) ordered(words ...string) string {
	w.t.Helper()
	n := len(w.of(result))
	w.order(words...)
	return w.await(result, n+1).Detail
}

// status is that of the supervisor.
func (w *world) status() (s Status) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.ordered("status")), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// snapshot waits until the supervisor has one.
func (w *world) snapshot() {
	w.t.Helper()
	w.await(Kept, 1)
}

func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.errOut.String()
}

func (w *world) signal(sig syscall.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		w.t.Error(err)
	}
}

// awaitEnd returns the exit status; -1 if a signal ended it.
func (w *world) awaitEnd() int {
	w.t.Helper()
	select {
	case <-w.done:
		return w.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		w.t.Fatal("the supervisor does not end")
		return 0
	}
}

// deploy writes the configuration that the next worker reads.
func (w *world) deploy() {
	w.t.Helper()
	text, err := json.Marshal(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	replaceFile(w.t, filepath.Join(w.dir, "worker.json"), func(name string) error { return os.WriteFile(name, text, 0o600) })
}

// install puts the test's program at path, as another file than before, which
// misbehaves as told.
func (w *world) install(path, mode string) {
	w.t.Helper()
	if mode != "" {
		if err := os.WriteFile(path+".mode", []byte(mode), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	replaceFile(w.t, path, func(name string) error {
		if os.Link(own(w.t), name) == nil {
			return nil
		}
		return copyFile(name, own(w.t), -1)
	})
}

func replaceFile(t testing.TB, path string, write func(string) error) {
	t.Helper()
	_ = os.Remove(path + ".new")
	if err := write(path + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies size bytes, or all.
func copyFile(to, from string, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if size < 0 {
		_, err = io.Copy(out, in)
	} else {
		_, err = io.CopyN(out, in, size)
	}
	return errors.Join(err, out.Close())
}

// An answer is what the service says.
type answer struct {
	name            string
	pid, generation int
	count           int
}

func (w *world) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, w.config.Network, w.config.Addr)
	}}}
}

func (w *world) get(path string) (string, error) {
	res, err := w.client().Get("http://service" + path)
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

// ask asks once, by a connection of its own; that must succeed.
func (w *world) ask() (a answer) {
	w.t.Helper()
	text, err := w.get("/")
	if err == nil {
		_, err = fmt.Sscan(text, &a.name, &a.pid, &a.generation, &a.count)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// asked asks until the service answers as it should.
func (w *world) asked(what string, ok func(answer) bool) (a answer) {
	w.t.Helper()
	until(w.t, what, func() bool { a = w.ask(); return ok(a) })
	return a
}

// load asks all the time until the returned function is called, which tells how many
// requests were answered and which failed.
func (w *world) load(clients int) (stop func() (answered int64, failed []string)) {
	quit := make(chan struct{})
	var n atomic.Int64
	var mu sync.Mutex
	var failed []string
	var wg sync.WaitGroup
	for i := range clients {
		keep := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		wg.Go(func() {
			defer keep.CloseIdleConnections()
			for {
				select {
				case <-quit:
					return
				default:
				}
				req, err := http.NewRequest(http.MethodPost, "http://"+w.config.Addr+"/", io.NopCloser(strings.NewReader("x"))) // never retried
				var res *http.Response
				if err == nil {
					req.ContentLength = 1
					res, err = keep.Do(req)
				}
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				if err == nil && res.StatusCode != http.StatusOK {
					err = errors.New(res.Status)
				}
				if err != nil {
					mu.Lock()
					failed = append(failed, err.Error())
					mu.Unlock()
				}
				n.Add(1)
			}
		})
	}
	return func() (int64, []string) {
		close(quit)
		wg.Wait()
		return n.Load(), failed
	}
}

// freePort returns an address where nothing listens. Its port is none of those that
// the system gives to whoever asks for any (ip_local_port_range begins at 32768), so
// that no client takes it before the service does.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := "127.0.0.1:" + strconv.Itoa(10000+rand.N(22000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }

// gone reports whether a process does not run; a zombie does not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return len(f) > 0 && (f[0] == "Z" || f[0] == "X")
}

// groupGone reports whether nothing runs in a process group. A zombie of somebody
// else's is not ours to count.
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

// descriptors lists what a process has open.
func descriptors(t testing.TB, pid int) (open []string) {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
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
