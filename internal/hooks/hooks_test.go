//go:build unix

package hooks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/update"
)

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ask"), "#!/bin/sh\n", 0o755)
	file := write(t, filepath.Join(dir, "hooks.yaml"), `hooks:
  - { name: ask, before: swap, run: [./ask, "a b"], timeout: 5s, kinds: [app, binary] }
  - { name: tell, after: every, url: "http://127.0.0.1:1/x" }
  - { name: found, before: revert, run: [sh, -c, "exit 0"] }
`, 0o600)
	all, err := Load(file, filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range all {
		got = append(got, fmt.Sprint(h.Name, " ", h.Step, " ", h.After, " ", h.Kinds, " ", h.Timeout, " ", h.Run != nil))
	}
	want := "ask swap false [app binary] 5s true; tell  true [] 0s true; found revert false [] 0s true"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
}

// What is wrong with a file is told with its place, all at once.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := filepath.Join(dir, "app")
	inApp := write(t, filepath.Join(app, "evil"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "plain"), "no program", 0o644)
	if err := os.Symlink(inApp, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	const ok = "run: [sh]"
	for text, want := range map[string]string{
		"":                                      "there is no list of hooks",
		"- a":                                   "there is no list of hooks",
		"hooks: [":                              ":1:",
		"hooks: 3":                              ":1:8:",
		"hook: []":                              `unknown key "hook"`,
		"hooks: [{ " + ok + ", before: swap }]": "a hook has no name",
		"hooks: [{ name: a b, " + ok + ", before: swap }]":                                      `hook name "a b"`,
		"hooks: [{ name: a, " + ok + ", before: swap }, { name: a, " + ok + ", before: swap }]": "there are two hooks a",
		"hooks: [{ name: a, " + ok + " }]":                                                      "want one of before and after",
		"hooks: [{ name: a, " + ok + ", before: swap, after: swap }]":                           "want one of before and after",
		"hooks: [{ name: a, " + ok + ", before: swop }]":                                        `:1:39: there is no step "swop"`,
		"hooks: [{ name: a, before: swap }]":                                                    "want one of run and url",
		"hooks: [{ name: a, before: swap, " + ok + ", url: 'http://x/' }]":                      "want one of run and url",
		"hooks: [{ name: a, before: swap, run: sh }]":                                           "want a list",
		"hooks: [{ name: a, before: swap, run: [''] }]":                                         "executable file not found",
		"hooks: [{ name: a, before: swap, run: [./nowhere] }]":                                  "no such file",
		"hooks: [{ name: a, before: swap, run: [./plain] }]":                                    "permission denied",
		"hooks: [{ name: a, before: swap, run: [./app/evil] }]":                                 "lies in the app's directory",
		"hooks: [{ name: a, before: swap, run: [./link] }]":                                     "lies in the app's directory",
		"hooks: [{ name: a, before: swap, run: [sh, \"a\\0b\"] }]":                              "NUL",
		"hooks: [{ name: a, before: swap, url: 'file:///etc/passwd' }]":                         "is not a URL",
		"hooks: [{ name: a, before: swap, url: '::' }]":                                         "is not a URL",
		"hooks: [{ name: a, before: swap, " + ok + ", timeout: 2h }]":                           "1ms to 1h",
		"hooks: [{ name: a, before: swap, " + ok + ", timeout: -1s }]":                          "1ms to 1h",
		"hooks: [{ name: a, before: swap, " + ok + ", kinds: [rollbak] }]":                      `there is no kind "rollbak"`,
		"hooks: [{ name: a, before: swap, " + ok + ", shell: true }]":                           `unknown key "shell"`,
		"hooks:" + strings.Repeat("\n  - { name: a, before: swap, "+ok+" }", maxHooks+1):        "101 hooks",
	} {
		file := write(t, filepath.Join(dir, "hooks.yaml"), text, 0o600)
		all, err := Load(file, app)
		if err == nil || all != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %q", text, err, want)
		}
		for _, e := range yamldoc.Flatten("", err) {
			if e.Kind != script.Refused && e.Kind != script.Syntax || e.File != file {
				t.Errorf("%q: %+v", text, e)
			}
		}
	}
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir} {
		if _, err := Load(path, app); err == nil || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	}
	inside := write(t, filepath.Join(app, "hooks.yaml"), "hooks: []", 0o600)
	if err := os.Symlink(inside, filepath.Join(dir, "linked.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{inside, filepath.Join(dir, "linked.yaml")} {
		if _, err := Load(path, app); err == nil || !strings.Contains(err.Error(), "lies in the app's directory") {
			t.Error(err)
		}
	}
}

var change = update.Change{ID: "u1", Kind: update.KindApp, Slot: "app", Trigger: "api", Message: "why\x00 not",
	From: update.Version{Number: 1}, To: update.Version{Number: 2}}

// hook calls a command of a shell, with a deadline, as a change would.
func hook(t *testing.T, timeout time.Duration, run runFunc) error {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), timeout, errors.New("it has not ended in time"))
	defer cancel()
	return run(ctx, update.HookCall{Change: change, Step: "swap"})
}

func sh(text string) runFunc {
	return command{path: "/bin/sh", args: []string{"-c", text}, dir: "/"}.run
}

func TestCommand(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	if err := hook(t, time.Minute, sh("{ env; cat; } > "+out)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"THESEUS_CHANGE=u1\n", "THESEUS_KIND=app\n", "THESEUS_STEP=swap\n", "THESEUS_WHEN=before\n", "THESEUS_FROM=1\n",
		"THESEUS_TO=2\n", "THESEUS_TRIGGER=api\n", "THESEUS_MESSAGE=why not\n", `"step":"swap"`, `"id":"u1"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "GOCACHE") || strings.Contains(string(text), "GOPATH") {
		t.Error("it got the whole environment")
	}
}

func TestCommandFails(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"echo first >&2; echo 'not on Fridays' >&2; exit 3": "exit status 3: not on Fridays",
		"echo said; exit 1":                      "exit status 1: said",
		"kill -9 $$":                             "ended by a signal",
		"kill -TERM $$":                          "ended by a signal",
		"yes":                                    "it wrote more than 256 KiB: y",
		"yes >&2 & sleep 0.2; kill $!; exit 2":   "exit status 2: y",
		"printf '\\033[31mred\\377' >&2; exit 1": "exit status 1:  [31mred?",
		"exec < /dev/null; exit 5":               "exit status 5",
	} {
		if err := hook(t, time.Minute, sh(text)); err == nil || !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	gone := command{path: filepath.Join(t.TempDir(), "gone"), dir: "/"}.run
	if err := hook(t, time.Minute, gone); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

// Nothing that a command has started is left: neither at its deadline nor when it
// ends by itself, neither in its process group nor, on Linux, outside.
func TestCommandLeavesNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"hangs":           "echo $$ > $F; echo asleep >&2; sleep 1000",
		"ignores signals": "trap '' TERM INT HUP; echo $$ > $F; while :; do sleep 1000; done",
		"leaves a child":  "sleep 1000 & echo $! > $F",
	}
	if _, err := os.Stat("/proc/self/environ"); err == nil {
		tests["forks a daemon"] = "setsid sh -c 'echo $$ > $F; exec sleep 1000' & while ! [ -s $F ]; do sleep 0.01; done"
		tests["forks a daemon and hangs"] = "setsid sh -c 'echo $$ > $F; exec sleep 1000' & sleep 1000"
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			done := make(chan error, 1)
			go func() {
				done <- sh("F="+f+"; export F; "+text)(ctx, update.HookCall{Change: change, Step: "swap"})
			}()
			pid := 0
			for pid == 0 { // until the command has said who it is
				out, _ := os.ReadFile(f)
				if strings.HasSuffix(string(out), "\n") {
					pid, _ = strconv.Atoi(strings.TrimSpace(string(out)))
				}
				time.Sleep(time.Millisecond)
			}
			late := errors.New("it has not ended within 5s")
			if name == "leaves a child" || name == "forks a daemon" { // it ends by itself
				if err := <-done; err != nil {
					t.Error(err)
				}
			} else {
				cancel(late)
				if err := <-done; !errors.Is(err, late) || !strings.Contains(err.Error(), "was killed") {
					t.Error(err)
				}
			}
			for running(pid) { // it was killed: it ends, or the test hangs
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// running reports whether a process runs; one that nobody has waited for does not.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	return !strings.Contains(string(stat), ") Z ")
}

func TestCall(t *testing.T) {
	t.Parallel()
	var got, method, kind string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, method, kind = string(b), r.Method, r.Header.Get("Content-Type")
		w.WriteHeader(204)
	}))
	defer s.Close()
	if err := hook(t, time.Minute, call{s.URL}.run); err != nil {
		t.Fatal(err)
	}
	if method != "POST" || kind != "application/json" || !strings.Contains(got, `"id":"u1"`) || !strings.Contains(got, `"step":"swap"`) {
		t.Error(method, kind, got)
	}
}

func TestCallFails(t *testing.T) {
	t.Parallel()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/no":
			w.WriteHeader(503)
			fmt.Fprint(w, "try\nlater")
		case "/redirect":
			http.Redirect(w, r, "/redirected", http.StatusTemporaryRedirect)
		case "/redirected":
			asked++
		case "/huge":
			w.WriteHeader(400)
			for range 64 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		case "/hangs":
			_, _ = io.Copy(io.Discard, r.Body) // else nobody looks whether the client is there
			<-r.Context().Done()
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}
	}))
	defer s.Close()
	for path, want := range map[string]string{
		"/no":       "it answered 503 Service Unavailable: later",
		"/redirect": "it answered 307 Temporary Redirect, and redirects are not followed",
		"/huge":     "it answered 400 Bad Request",
		"/headers":  "exceeded",
	} {
		if err := hook(t, time.Minute, call{s.URL + path}.run); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), s.URL) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if asked != 0 {
		t.Error("a redirect was followed")
	}
	if err := hook(t, 10*time.Millisecond, call{s.URL + "/hangs"}.run); err == nil {
		t.Error("it does not end")
	}
	s.Close()
	if err := hook(t, time.Minute, call{s.URL}.run); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}
