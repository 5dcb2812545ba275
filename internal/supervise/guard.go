//go:build unix

package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A guard is a process that does nothing until the supervisor dies without
// having stopped its children: then it sees the end of the pipe, and ends what
// is left. The kernel's signal at the parent's death reaches neither
// grandchildren nor programs that change their user.
//
// Lines of the pipe: "+PID" a child runs, "-PID" it has ended, "f ID PATH" a
// file to remove (quoted, and only if it is still the same), "bye" nothing is
// left to do.
type guard struct {
	mu   sync.Mutex
	pipe *os.File // nil if there is no guard
	proc *proc
}

// startGuard starts the process. As PID 1 there is none: the kernel itself
// ends everything in that case.
func (s *Supervisor) startGuard() error {
	if os.Getpid() == 1 {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		_ = w.Close()
		return err
	}
	defer null.Close()
	argv := append(append([]string{}, s.opt.Self...), "guard", s.opt.Drain.String(), strconv.Itoa(int(s.opt.StopSignal)))
	err = withDescriptors([]*os.File{r, null, null}, nil, func(fds []uintptr) (err error) {
		// A session of its own keeps the terminal's signals away.
		s.guard.proc, err = s.procs.start(s.selfPath, argv, without(s.opt.Environ), fds, &syscall.SysProcAttr{Setsid: true})
		return err
	})
	if err != nil {
		_ = w.Close()
		return fmt.Errorf("start the guard: %w", err)
	}
	s.guard.pipe = w
	s.guard.tell("f %s %q", identity(s.dir), s.dir)
	for _, sock := range s.sockets {
		if sock.file != "" {
			s.guard.tell("f %s %q", sock.id, sock.file)
		}
	}
	return nil
}

func (g *guard) watch(pid int)  { g.tell("+%d", pid) }
func (g *guard) forget(pid int) { g.tell("-%d", pid) }

// tell writes a line. A guard that is gone cannot be helped.
func (g *guard) tell(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe != nil {
		_, _ = fmt.Fprintf(g.pipe, format+"\n", args...)
	}
}

// missGuard tells when the guard ends before over is closed.
func (s *Supervisor) missGuard(over <-chan struct{}) {
	if s.guard.proc == nil {
		return
	}
	select {
	case <-s.guard.proc.exited:
		s.emit(Event{Kind: Trouble, Detail: "the guard process has ended: what children leave behind would outlive a supervisor that is killed"})
	case <-over:
	}
}

// close lets the guard go and waits for it.
func (g *guard) close() {
	if g.pipe == nil {
		return
	}
	g.tell("bye")
	g.mu.Lock()
	_ = g.pipe.Close()
	g.pipe = nil
	g.mu.Unlock()
	<-g.proc.exited
}

// guardMain is the guard; args are the time to drain and the stop signal.
func guardMain(args []string) int {
	drain, err1 := time.ParseDuration(args[0])
	stop, err2 := strconv.Atoi(args[1])
	if err1 != nil || err2 != nil {
		return 2
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	pids, files, bye := readGuard(os.Stdin)
	if bye {
		return 0
	}
	for path, id := range files {
		if identity(path) == id {
			_ = os.RemoveAll(path)
		}
	}
	if !deathSignal {
		for pid := range pids {
			_ = syscall.Kill(pid, syscall.Signal(stop))
		}
	}
	endGroups(pids, drain)
	return 0
}

// readGuard reads lines until the pipe ends. files are the identities by path.
func readGuard(r io.Reader) (pids map[int]bool, files map[string]string, bye bool) {
	pids, files = map[int]bool{}, map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "bye" {
			return pids, files, true
		}
		if f, ok := strings.CutPrefix(line, "f "); ok {
			id, quoted, _ := strings.Cut(f, " ")
			if path, err := strconv.Unquote(quoted); err == nil && id != "" {
				files[path] = id
			}
			continue
		}
		pid, err := strconv.Atoi(strings.TrimLeft(line, "+-"))
		switch {
		case err != nil || pid <= 1:
		case line[0] == '+':
			pids[pid] = true
		default:
			delete(pids, pid)
		}
	}
	return pids, files, false
}

// identity names a file for as long as it exists; empty if it does not.
func identity(path string) string {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// endGroups waits until the process groups are gone and kills them when drain
// has passed.
func endGroups(pids map[int]bool, drain time.Duration) {
	const pause = 20 * time.Millisecond
	for end := time.Now().Add(drain); len(pids) > 0 && time.Now().Before(end); time.Sleep(pause) {
		for pid := range pids {
			if errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH) {
				delete(pids, pid)
			}
		}
	}
	for pid := range pids {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}
