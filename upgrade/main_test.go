//go:build linux

package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the service that the tests upgrade: with configVariable
// set it reads its configuration from that file and serves. A test changes the
// file to make the next process another release.
const configVariable = "UPGRADE_TEST_CONFIG"

// A config is what a process of the test service does.
type config struct {
	Network, Addr string // default tcp, 127.0.0.1:0
	Name          string // of the listener; empty means the default
	PIDFile       string
	Probation     time.Duration
	Heartbeat     time.Duration
	Ready         time.Duration // time-out
	Drain, Idle   time.Duration
	CheckArgs     []string
	TLS           bool

	Lab lab // more of what it does

	Broken string // how the release is broken: exit, hang, never, crash, errors, memory, stop, unhealthy
	Point  string // failpoint
	Action string // what happens there: kill, stop, or exit
}

func TestMain(m *testing.M) {
	if name := os.Getenv(configVariable); name != "" {
		if err := runService(name); err != nil {
			fmt.Fprintln(os.Stderr, "service:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if !slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.parallel") }) {
		_ = flag.Set("test.parallel", "12") // most tests wait most of the time
	}
	os.Exit(m.Run())
}

func readConfig(name string) (c config, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// failpoint does what c says at its point.
func (c config) failpoint(name string) {
	if name != c.Point {
		return
	}
	switch c.Action {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "stop":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "exit":
		os.Exit(7)
	case "hang":
		select {}
	}
}

func runService(name string) error {
	c, err := readConfig(name)
	if err != nil {
		return err
	}
	if len(os.Args) > 1 && os.Args[len(os.Args)-1] == "--upgrade-check" {
		if c.Broken == "check" {
			return errors.New("the configuration is wrong")
		}
		return nil
	}
	if name, ok := strings.CutPrefix(c.Broken, "fake "); ok {
		return fakeSuccessor(name)
	}
	switch c.Broken {
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	}
	var sick atomic.Bool
	opt := Options{
		PIDFile: c.PIDFile, Probation: c.Probation, Heartbeat: c.Heartbeat, ReadyTimeout: c.Ready, DrainTimeout: c.Drain, IdleGrace: c.Idle,
		CheckArgs: c.CheckArgs, MaxMemory: 300 << 20, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Health: func(context.Context) error {
			if c.Broken == "blocked" {
				select {}
			}
			if sick.Load() {
				return errors.New("the test wants it so")
			}
			return nil
		},
		point: c.failpoint,
	}
	c.Lab.options(&opt)
	u, err := New(opt)
	if err != nil {
		return err
	}
	listenName := c.Name
	if listenName == "" {
		listenName = c.Network + "|" + c.Addr
	}
	l, err := u.ListenNamed(context.Background(), listenName, c.Network, c.Addr, net.ListenConfig{})
	if err != nil {
		return u.Refuse(err)
	}
	s := &service{u: u, config: c, singleton: &counter{}}
	s.mode.Store(c.Lab.Mode)
	u.Singleton("counter", odd{s.singleton, &s.mode})
	u.ProvideState("notes", 1, func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, s.notes.Load().(string))
		return err
	})
	s.notes.Store("")
	if b, ok := u.ReceivedState("notes"); ok {
		s.notes.Store(string(b.Data))
	}
	u.Resume("lines", s.lines)
	srv := &http.Server{Handler: s.routes(), ReadTimeout: c.Lab.ReadTimeout, ReadHeaderTimeout: c.Lab.ReadHeaderTimeout, IdleTimeout: c.Lab.IdleTimeout}
	if c.TLS {
		srv.TLSConfig = testTLS()
		u.ServeTLS(srv, l, "", "")
	} else {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		protocols.SetUnencryptedHTTP2(true)
		srv.Protocols = protocols
		u.Serve(srv, l)
	}
	if err := s.setUp(srv); err != nil {
		return u.Refuse(err)
	}
	switch c.Broken {
	case "never":
		select {}
	case "unhealthy":
		sick.Store(true)
	}
	if err := u.Ready(context.Background()); err != nil {
		return err
	}
	fmt.Printf("serving %d %d %s\n", os.Getpid(), u.Generation(), l.Addr())
	switch c.Broken {
	case "crash":
		time.AfterFunc(200*time.Millisecond, func() { os.Exit(4) })
	case "stop":
		time.AfterFunc(100*time.Millisecond, func() { syscall.Kill(os.Getpid(), syscall.SIGSTOP) })
	case "memory":
		go func() {
			for ; ; time.Sleep(10 * time.Millisecond) {
				b := make([]byte, 32<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				hoard = append(hoard, b)
			}
		}()
	}
	return c.Lab.after(u.Run(context.Background()))
}

var hoard [][]byte // what a release that eats memory has eaten

// A service is the HTTP side of the test service.
type service struct {
	u         *Upgrader
	config    config
	singleton *counter
	notes     atomic.Value // string
	mode      atomic.Value // string; see lab.Mode
	server    *http.Server
	file      *os.File
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, os.Getpid()) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.FormValue("for"))
		select {
		case <-time.After(d):
			fmt.Fprintln(w, "done")
		case <-r.Context().Done():
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, context.Cause(r.Context()))
		}
	})
	mux.HandleFunc("POST /upgrade", func(w http.ResponseWriter, r *http.Request) {
		if d, err := time.ParseDuration(r.FormValue("probation")); err == nil {
			s.u.opt.Probation = d
		}
		if d, err := time.ParseDuration(r.FormValue("ready")); err == nil {
			s.u.opt.ReadyTimeout = d
		}
		report, err := s.u.Upgrade(context.WithoutCancel(r.Context()), Request{Path: r.FormValue("path"), Force: r.FormValue("force") != ""})
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		json.NewEncoder(w).Encode(report)
	})
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		s.notes.Store(string(text))
	})
	mux.HandleFunc("GET /notes", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, s.notes.Load().(string)) })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(s.u.Status()) })
	mux.HandleFunc("GET /counter", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, s.singleton.n.Load(), s.singleton.runs.Load())
	})
	mux.HandleFunc("GET /lines", func(w http.ResponseWriter, r *http.Request) {
		c, err := s.u.Hijack(w, "lines")
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotImplemented)
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		s.lines(c, []byte("0"))
	})
	s.labRoutes(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", strconv.Itoa(os.Getpid()))
		w.Header().Set("X-Generation", strconv.Itoa(s.u.Generation()))
		if s.config.Broken == "hung" {
			select {}
		}
		if s.config.Broken == "errors" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// lines answers each line with its number, the process and the line, and moves
// between any two bytes.
func (s *service) lines(c *Conn, state []byte) {
	defer c.Close()
	n, _ := strconv.Atoi(string(state))
	stop := make(chan struct{})
	defer close(stop)
	moving := c.Moving()
	go func() {
		select {
		case <-moving:
			c.SetReadDeadline(past)
		case <-stop:
		}
	}()
	var line []byte
	r := bufio.NewReader(c)
	for {
		b, err := r.ReadByte()
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			c.SetReadDeadline(time.Time{})
			if c.Move([]byte(strconv.Itoa(n)), line) == nil {
				return
			}
			r.Reset(c)
			continue
		}
		if err != nil {
			return
		}
		if line = append(line, b); b == '\n' {
			n++
			fmt.Fprintf(c, "%d %d %s", n, os.Getpid(), line)
			line = nil
		}
	}
}

// A counter is a singleton that counts while it runs.
type counter struct {
	n, runs atomic.Int64
}

func (c *counter) Acquire(_ context.Context, state []byte) error {
	n, _ := strconv.ParseInt(string(state), 10, 64)
	c.n.Store(n + 1)
	c.runs.Add(1)
	return nil
}

func (c *counter) Release(context.Context) ([]byte, error) {
	c.runs.Add(-1)
	return []byte(strconv.FormatInt(c.n.Load(), 10)), nil
}

// An instance is a running test service.
type instance struct {
	t       *testing.T
	dir     string
	config  config
	addr    string
	stdout  *lineReader
	log     *os.File
	env     []string          // of the first process, beyond the common
	packets map[string]string // addresses of datagram sockets, by network
	files   []*os.File        // that are handed to it as if by a service manager
}

func (in *instance) configFile() string { return filepath.Join(in.dir, "config.json") }

// set changes the configuration for the next process.
func (in *instance) set(change func(*config)) {
	in.t.Helper()
	c := in.config
	change(&c)
	text, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(in.configFile(), text, 0o600)
	}
	if err != nil {
		in.t.Fatal(err)
	}
}

// program is where the service's executable lies. Each instance has its own, so
// that it can be replaced.
func (in *instance) program() string { return filepath.Join(in.dir, "service") }

func startService(t *testing.T, c config) *instance {
	t.Helper()
	return startInstance(t, &instance{config: c})
}

func startInstance(t *testing.T, in *instance) *instance {
	t.Helper()
	in.prepare(t)
	in.start()
	return in
}

// prepare does all but start the first process.
func (in *instance) prepare(t *testing.T) {
	t.Helper()
	in.t, in.dir = t, t.TempDir()
	if in.config.Network == "" {
		in.config.Network = "tcp"
	}
	if in.config.Addr == "" {
		in.config.Addr = "127.0.0.1:0"
	}
	if in.config.Probation == 0 {
		in.config.Probation = 300 * time.Millisecond
	}
	if in.config.PIDFile == "" {
		in.config.PIDFile = filepath.Join(in.dir, "pid")
	}
	in.set(func(*config) {})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, in.program()); err != nil {
		copyFile(t, self, in.program())
	}
	in.log, err = os.Create(filepath.Join(in.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
}

// start runs the first process. All its successors end with the test.
func (in *instance) start() {
	t := in.t
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	argv, files := []string{in.program()}, []*os.File{nil, w, in.log}
	if len(in.files) > 0 {
		argv, files = []string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, in.program()}, append(files, in.files...)
	}
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env:   append(append(os.Environ(), configVariable+"="+in.configFile()), in.env...),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	in.stdout = &lineReader{lines: make(chan string, 1000)}
	go in.stdout.run(r)
	t.Cleanup(func() {
		syscall.Kill(-p.Pid, syscall.SIGKILL)
		_, _ = p.Wait()
		in.noRaces()
		if t.Failed() {
			if text, err := os.ReadFile(in.log.Name()); err == nil {
				t.Logf("log of the service:\n%s", text[max(0, len(text)-20_000):])
			}
		}
		in.log.Close()
	})
	go p.Wait() // a first process that ends must not stay a zombie: its pid is looked at
	line := in.serving()
	in.addr = line[2]
}

// noRaces looks for what the race detector says in the service's processes.
func (in *instance) noRaces() {
	text, err := os.ReadFile(in.log.Name())
	if err == nil && bytes.Contains(text, []byte("DATA RACE")) {
		in.t.Errorf("a race in a process of the service")
	}
}

// serving waits until another process serves, and returns its pid, generation
// and address.
func (in *instance) serving() []string {
	in.t.Helper()
	for {
		select {
		case line, ok := <-in.stdout.lines:
			if !ok {
				in.t.Fatal("the service has ended")
			}
			f := strings.Fields(line)
			if len(f) == 3 && f[0] == "packet" && in.packets != nil {
				in.packets[f[1]] = f[2]
			}
			if len(f) == 4 && f[0] == "serving" {
				return f[1:]
			}
		case <-time.After(time.Minute):
			in.t.Fatal("no process serves within a minute")
		}
	}
}

type lineReader struct{ lines chan string }

func (r *lineReader) run(f *os.File) {
	defer f.Close()
	defer close(r.lines)
	for s := bufio.NewScanner(f); s.Scan(); {
		select {
		case r.lines <- s.Text():
		default:
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pid is that of the PID file.
func (in *instance) pid() int {
	text, err := os.ReadFile(in.config.PIDFile)
	if err != nil {
		in.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		in.t.Fatal(err)
	}
	return pid
}

// client makes a client of its own connections that never retries.
func (in *instance) client() *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, in.config.Network, in.addr)
	}}
	in.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// upgrade asks the service, on a connection of its own, to upgrade, and returns
// its answer.
func (in *instance) upgrade(query string) (Report, error) {
	c := in.client()
	defer c.CloseIdleConnections()
	resp, err := c.Post("http://service/upgrade?"+query, "", nil)
	if err != nil {
		return Report{}, fmt.Errorf("the process that was asked did not answer: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Report{}, err
	}
	var r Report
	if resp.StatusCode != http.StatusOK {
		return r, errors.New(strings.TrimSpace(string(text)))
	}
	return r, json.Unmarshal(text, &r)
}

// get asks for a path with a new connection.
func (in *instance) get(path string) (string, http.Header) {
	in.t.Helper()
	c := in.client()
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://service" + path)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	return string(text), resp.Header
}

// waitFor waits until ok.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
