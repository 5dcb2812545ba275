//go:build linux

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/goleak"
)

// A lab is what only some tests want of the service.
type lab struct {
	ReadTimeout, ReadHeaderTimeout, IdleTimeout time.Duration // of the server

	Mode           string   // what fails; GET /mode?is= changes it
	Packets        []string // sockets that answer datagrams: network|address
	Named          []string // more listeners: name|network|address
	Files          uint64   // RLIMIT_NOFILE; 0 leaves it
	File           bool     // hand a file on
	Pools          string   // file for what the pools are told
	Leaks          string   // file for the goroutines that are left after Run
	Full           bool     // no file may grow
	MaxDraining    int
	StateLimit     int64
	StateSize      int
	SingletonLimit time.Duration

	Rendezvous string
	Force      bool
	KnockLimit time.Duration
	LastWords  time.Duration
	Snapshot   time.Duration
	Sick       string // file: while it exists the process says that it is unhealthy
	Excused    bool   // its errors are not its own
	Queued     bool   // it finds that other processes wait for a processor all the time
}

func (b lab) options(o *Options) {
	o.MaxDraining, o.StateLimit, o.singletonLimit = b.MaxDraining, b.StateLimit, b.SingletonLimit
	o.Rendezvous, o.Force, o.knockLimit, o.lastWords, o.SnapshotInterval = b.Rendezvous, b.Force, b.KnockLimit, b.LastWords, b.Snapshot
	if b.Sick != "" {
		o.Health = func(context.Context) error {
			if _, err := os.Stat(b.Sick); err == nil {
				return errors.New("the file says so")
			}
			return nil
		}
	}
	if b.Excused {
		o.Excused = func(*http.Request) bool { return true }
	}
	if b.Queued {
		began := time.Now()
		o.queued = func(int) time.Duration { return time.Since(began) }
	}
	if b.Full {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{}); err != nil {
			panic(err)
		}
	}
	if b.Files > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: b.Files, Max: b.Files}); err != nil {
			panic(err)
		}
	}
}

// after notes which goroutines Run left behind.
func (b lab) after(err error) error {
	if b.Leaks == "" {
		return err
	}
	text := "none"
	if left := goleak.Find(goleak.IgnoreAnyFunction("github.com/theseus-run/theseus/upgrade.(*peer).reap"), goleak.IgnoreTopFunction("os/signal.loop")); left != nil {
		text = left.Error()
	}
	return errors.Join(err, os.WriteFile(b.Leaks, []byte(text), 0o600))
}

// setUp does before Ready what the lab wants.
func (s *service) setUp(srv *http.Server) error {
	b := s.config.Lab
	s.server = srv
	for _, p := range b.Packets {
		network, address, _ := strings.Cut(p, "|")
		c, err := s.u.ListenPacket(network, address)
		if err != nil {
			return err
		}
		fmt.Printf("packet %s %s\n", network, c.LocalAddr())
		go s.answer(c)
	}
	for _, n := range b.Named {
		f := strings.SplitN(n, "|", 3)
		l, err := s.u.ListenNamed(context.Background(), f[0], f[1], f[2], net.ListenConfig{})
		if err != nil {
			return err
		}
		s.u.Serve(srv, l)
	}
	s.u.ProvideState("odd", 1, s.writeState)
	if b.Pools != "" {
		s.u.Pool(s.pool(b.Pools))
	}
	return s.handFile()
}

// answer echoes datagrams, with the process's number in front.
func (s *service) answer(c *PacketConn) {
	buf := make([]byte, 2000)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if from != nil {
			_, _ = c.WriteTo(fmt.Appendf(nil, "%d %s", os.Getpid(), buf[:n]), from)
		}
	}
}

func (s *service) writeState(ctx context.Context, w io.Writer) error {
	switch s.mode.Load() {
	case "state fails":
		return errors.New("the disk is gone")
	case "state hangs":
		select {}
	case "state late":
		<-ctx.Done()
		return ctx.Err()
	}
	_, err := w.Write(make([]byte, s.config.Lab.StateSize))
	return err
}

func (s *service) pool(name string) Pool {
	note := func(what string) {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintf(f, "%d %s\n", s.u.Generation(), what)
			f.Close()
		}
	}
	return Pool{
		Warm:   func(context.Context) error { note("warm"); return nil },
		Freeze: func() { note("freeze") }, Thaw: func() { note("thaw") }, Grow: func() { note("grow") },
		Retire: func(context.Context) { note("retire") },
	}
}

// handFile keeps a file without a name from process to process.
func (s *service) handFile() error {
	if !s.config.Lab.File {
		return nil
	}
	if s.file = s.u.File("secret"); s.file == nil {
		f, err := os.CreateTemp("", "")
		if err != nil {
			return err
		}
		fmt.Fprintf(f, "written by process %d", os.Getpid())
		os.Remove(f.Name())
		s.file = f
	}
	return s.u.AddFile("secret", s.file)
}

func (s *service) labRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /mode", func(_ http.ResponseWriter, r *http.Request) { s.mode.Store(r.FormValue("is")) })
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		if s.file != nil {
			io.Copy(w, io.NewSectionReader(s.file, 0, 1000))
		}
	})
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, r *http.Request) {
		for _, kv := range os.Environ() {
			if strings.HasPrefix(kv, "LISTEN_") || strings.HasPrefix(kv, "THESEUS_") && !strings.HasPrefix(kv, markVariable) {
				fmt.Fprintln(w, kv)
			}
		}
	})
	mux.HandleFunc("GET /listen", func(w http.ResponseWriter, r *http.Request) {
		l, err := s.u.ListenNamed(r.Context(), r.FormValue("name"), "tcp", "127.0.0.1:0", net.ListenConfig{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		s.u.Serve(s.server, l)
		fmt.Fprint(w, l.Addr())
	})
	mux.HandleFunc("GET /close", func(w http.ResponseWriter, r *http.Request) {
		l := s.u.listener(r.FormValue("name"))
		fmt.Fprint(w, l != nil && l.Close() == nil)
	})
	mux.HandleFunc("GET /supervised", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s.u.Supervised()) })
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		piece := make([]byte, 32<<10)
		for range n {
			w.Write(piece)
		}
	})
	mux.HandleFunc("GET /ticks", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		for i := range n {
			fmt.Fprintln(w, i)
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	})
}

// odd makes a singleton fail as the mode says.
type odd struct {
	*counter
	mode *atomic.Value
}

func (o odd) Acquire(ctx context.Context, state []byte) error {
	switch o.mode.Load() {
	case "acquire fails":
		return errors.New("the lease is taken")
	case "acquire hangs":
		select {}
	}
	return o.counter.Acquire(ctx, state)
}

func (o odd) Release(ctx context.Context) ([]byte, error) {
	for {
		switch o.mode.Load() {
		case "release fails":
			return nil, errors.New("a job runs")
		case "release fails and is gone": // released, and cannot be taken back at first
			o.mode.Store("acquire fails")
			continue
		case "release hangs":
			time.Sleep(time.Millisecond)
			continue
		}
		return o.counter.Release(ctx)
	}
}

// ask wants a good answer of the path.
func (in *instance) mode(is string) { in.get("/mode?is=" + strings.ReplaceAll(is, " ", "+")) }

// zombies lists the dead children of process pid that it has not reaped.
func zombies(pid int) (dead []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(pid) {
			dead = append(dead, atoi(e.Name()))
		}
	}
	slices.Sort(dead)
	return dead
}
