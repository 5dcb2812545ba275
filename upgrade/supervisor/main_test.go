//go:build linux

package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/upgrade"
)

// TestMain lets the test binary be the processes that the tests start: a
// supervisor, and its workers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervisor":
			os.Exit(supervisorMain())
		case "worker":
			os.Exit(workerMain(os.Args[2]))
		}
	}
	flag.Parse()
	if !slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.parallel") }) {
		_ = flag.Set("test.parallel", "8") // these tests wait for others more than they compute
	}
	goleak.VerifyTestMain(m)
}

// A setup configures a supervisor that is a process of its own.
type setup struct {
	Path                    string // of the workers
	Worker                  string // file with the configuration of the workers
	Heartbeat, Stall, Ready time.Duration
	Trial                   time.Duration
	PIDFile                 string
	Follow                  bool
	First, Steady           time.Duration
	Point                   string // failpoint of the supervisor
	Action                  string // what happens there: kill, killWorker, killBoth
	Nth                     int
}

const setupVariable = "SUPERVISOR_TEST_SETUP"

// mode is how the program at its own path is broken.
func mode() string {
	exe, _ := os.Executable()
	text, _ := os.ReadFile(exe + ".mode")
	return string(text)
}

// supervisorMain is the process. It writes its events to standard output.
func supervisorMain() int {
	signals := make(chan os.Signal, 1024)
	signal.Notify(signals, Signals()...)
	var c setup
	if err := json.Unmarshal([]byte(os.Getenv(setupVariable)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	inTrial := os.Getenv(trialVariable) != ""
	if inTrial {
		if status, broken := breakTrial(mode()); broken {
			return status
		}
	}
	var s *Supervisor
	n := 0
	out := json.NewEncoder(os.Stdout)
	opt := Options{
		Path: c.Path, Args: []string{"worker", c.Worker}, Heartbeat: c.Heartbeat, StallTimeout: c.Stall, ReadyTimeout: c.Ready, TrialTimeout: c.Trial,
		PIDFile: c.PIDFile, Follow: c.Follow, Subreaper: true, pace: pace{first: c.First, most: 20 * c.First, steady: c.Steady},
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil)),
		OnEvent: func(e Event) { _ = out.Encode(e) },
		point: func(name string) error {
			switch {
			case name == "adopt" && mode() == "adopt fails":
				return errors.New("the new one is broken")
			case name == "adopt" && mode() == "adopt panics":
				panic("the new one is broken")
			case name == "frozen" && mode() == "frozen fails":
				return errors.New("not now")
			}
			if name != c.Point || inTrial {
				return nil
			}
			if n++; n == max(1, c.Nth) {
				s.failAt(c.Action)
			}
			return nil
		},
	}
	s, err := New(opt)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	go s.obey(out)
	status, err := s.Run(context.Background(), signals)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 97
	}
	return status
}

// result is the kind of the events that answer commands.
const result Kind = "result"

// obey carries out the commands that come on standard input.
func (s *Supervisor) obey(out *json.Encoder) {
	for {
		var c []string
		if err := json.NewDecoder(oneByOne{os.Stdin}).Decode(&c); err != nil {
			return
		}
		detail := "ok"
		var err error
		switch c[0] {
		case "replace":
			err = s.Replace(context.Background(), c[1])
		case "upgrade":
			err = s.Upgrade(context.Background(), c[1], false)
		case "status":
			text, _ := json.Marshal(s.Status())
			detail = string(text)
		}
		if err != nil {
			detail = err.Error()
		}
		s.do(func() { _ = out.Encode(Event{Kind: result, Detail: detail}) })
	}
}

// oneByOne reads no further than it must: the next program goes on from there.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }

// breakTrial is how a program misbehaves that is to become the supervisor.
func breakTrial(how string) (status int, broken bool) {
	switch how {
	case "exit":
		return 7, true
	case "hang":
		select {}
	case "garbage", "silent", "flood", "other":
		fds, err := parseSpec(os.Getenv(trialVariable))
		if err != nil {
			return 96, true
		}
		answer := os.NewFile(uintptr(fds[1]), "answer")
		switch how {
		case "garbage":
			fmt.Fprintln(answer, "hello")
		case "other":
			fmt.Fprintf(answer, `{"format":%q,"state":"00"}`+"\n", trialFormat)
		case "flood":
			for {
				if _, err := answer.Write(make([]byte, 4096)); err != nil {
					return 1, true
				}
			}
		case "silent":
			answer.Close()
			select {}
		}
		return 0, true
	}
	return 0, false
}

// failAt does what a failpoint is for.
func (s *Supervisor) failAt(action string) {
	if w := s.serving; w != nil && action != "kill" {
		_ = syscall.Kill(w.pid, syscall.SIGKILL)
	}
	if action != "killWorker" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// A workerConfig is what a worker does. A test changes the file to make the next
// worker another release.
type workerConfig struct {
	Network, Addr string
	Name          string // what it answers
	Probation     time.Duration
	Heartbeat     time.Duration
	State         int    // bytes of a second state
	Broken        string // exit, never, hang
	BrokenIn      string // only in the program of that path; empty for all
	Point, Action string // failpoint
}

// workerMain is a service that counts its requests, and hands the number on.
func workerMain(file string) int {
	var c workerConfig
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 95
	}
	if exe, err := os.Executable(); c.BrokenIn != "" && (err != nil || exe != c.BrokenIn) {
		c.Broken = ""
	}
	switch c.Broken {
	case "exit":
		return 3
	case "hang":
		select {}
	}
	if err := c.serve(); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

func (c workerConfig) serve() error {
	var sick atomic.Bool
	u, err := upgrade.New(upgrade.Options{
		Probation: c.Probation, Heartbeat: c.Heartbeat, SnapshotInterval: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Health: func(context.Context) error {
			if sick.Load() {
				return errors.New("sick")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	l, err := u.Listen(c.Network, c.Addr)
	if err != nil {
		return u.Refuse(err)
	}
	var count atomic.Int64
	if b, ok := u.ReceivedState("count"); ok {
		n, err := strconv.ParseInt(string(b.Data), 10, 64)
		if err != nil {
			return u.Refuse(err)
		}
		count.Store(n)
	}
	u.ProvideState("count", 1, func(_ context.Context, w io.Writer) error {
		_, err := fmt.Fprint(w, count.Load())
		return err
	})
	if c.State > 0 {
		u.ProvideState("bulk", 1, func(_ context.Context, w io.Writer) error {
			_, err := w.Write(make([]byte, c.State))
			return err
		})
	}
	if c.Broken == "never" {
		select {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d %d %d", c.Name, os.Getpid(), u.Generation(), count.Add(1))
	})
	mux.HandleFunc("/sick", func(w http.ResponseWriter, r *http.Request) { sick.Store(r.FormValue("sick") == "yes") })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		w.(http.Flusher).Flush() // the client knows that it has begun
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/orphan", func(w http.ResponseWriter, r *http.Request) { // a grandchild whose parent has gone, which then ends
		out, err := exec.Command("/bin/sh", "-c", "(sleep 0.2; exit 3) >/dev/null 2>&1 & echo $!").Output()
		fmt.Fprint(w, string(out), err)
	})
	mux.HandleFunc("/mask", func(w http.ResponseWriter, r *http.Request) {
		out, err := exec.Command("/bin/sh", "-c", "grep SigBlk /proc/self/status").CombinedOutput()
		fmt.Fprint(w, string(out), err)
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Join(os.Environ(), "\n")) })
	got := make(chan os.Signal, 8)
	var hups atomic.Int64
	signal.Notify(got, syscall.SIGHUP)
	go func() {
		for range got {
			hups.Add(1)
		}
	}()
	mux.HandleFunc("/hups", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, hups.Load()) })
	u.Serve(&http.Server{Handler: mux}, l)
	return u.Run(context.Background())
}
