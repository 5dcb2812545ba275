//go:build linux

package upgrade

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/beat"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A fakeSupervisor is the test in the part of a supervisor: the least that the
// contract with workers asks for.
type fakeSupervisor struct {
	t    *testing.T
	in   *instance
	keep bool // keep the link to a worker that was started from a snapshot
	max  int  // the newest protocol that it speaks; zero means the present one

	mu       sync.Mutex
	workers  []*fakeWorker
	service  *fakeWorker
	last     wire.Served
	sockets  []wire.Socket // the last snapshot
	files    []*os.File
	states   map[string]Blob
	shots    int
	verdicts map[uint64]chan wire.Verdict
	restarts int
	over     bool
}

// A fakeWorker is one that it started.
type fakeWorker struct {
	s     *fakeSupervisor
	pid   int
	link  *wire.Link
	beats *beat.Reader
	asker *fakeWorker
	ended chan struct{}
}

// supervise starts the service below a fake supervisor.
func supervise(t *testing.T, c config) *fakeSupervisor {
	t.Helper()
	in := startless(t, c)
	s := &fakeSupervisor{t: t, in: in, verdicts: map[uint64]chan wire.Verdict{}}
	t.Cleanup(s.stop)
	s.mustStart(nil, nil)
	s.serves(0)
	return s
}

// startless prepares an instance whose first process somebody else starts.
func startless(t *testing.T, c config) *instance {
	t.Helper()
	in := &instance{config: withAddress(t, c)}
	in.prepare(t)
	in.addr = in.config.Addr
	return in
}

// stop kills all workers.
func (s *fakeSupervisor) stop() {
	s.mu.Lock()
	s.over = true
	all := slices.Clone(s.workers)
	s.mu.Unlock()
	for _, w := range all {
		syscall.Kill(-w.pid, syscall.SIGKILL)
		<-w.ended
	}
	s.in.noRaces()
	if s.t.Failed() {
		if text, err := os.ReadFile(s.in.log.Name()); err == nil {
			s.t.Logf("log of the workers:\n%s", text[max(0, len(text)-20_000):])
		}
	}
	closeAll(s.files)
}

func (s *fakeSupervisor) mustStart(control *os.File, asker *fakeWorker) *fakeWorker {
	s.t.Helper()
	w, err := s.start(s.in.program(), control, asker, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// start starts a worker.
func (s *fakeSupervisor) start(path string, control *os.File, asker *fakeWorker, env []string) (*fakeWorker, error) {
	link, theirs, err := wire.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	memory, err := beat.Create()
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	w := &fakeWorker{s: s, link: link, asker: asker, ended: make(chan struct{})}
	if w.beats, err = beat.NewReader(memory); err != nil {
		return nil, err
	}
	files := []*os.File{nil, s.in.log, s.in.log}
	env = append(append(os.Environ(), configVariable+"="+s.in.configFile()), env...)
	for _, give := range []struct {
		name string
		f    *os.File
	}{{variable, control}, {supervisorVariable, theirs}, {beatVariable, memory}} {
		if give.f != nil {
			env = append(env, fmt.Sprintf("%s=%d", give.name, len(files)))
			files = append(files, give.f)
		}
	}
	p, err := os.StartProcess(path, []string{path}, &os.ProcAttr{Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return nil, err
	}
	w.pid = p.Pid
	s.mu.Lock()
	s.workers = append(s.workers, w)
	over := s.over
	s.mu.Unlock()
	if over {
		p.Kill()
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		w.listen()
	}()
	go func() {
		state, _ := p.Wait()
		<-heard
		s.ended(w, state.String())
	}()
	return w, nil
}

// listen handles what a worker says.
func (w *fakeWorker) listen() {
	s := w.s
	_ = w.link.Send(wire.Hello{Min: max(1, s.max), Max: max(1, s.max), PID: os.Getpid()})
	var sockets []wire.Socket
	var files []*os.File
	blobs := &blobReader{limit: 1 << 30, into: map[string]Blob{}}
	greeted := false
	for {
		m, fs, err := w.link.Receive()
		if err != nil {
			closeAll(files)
			return
		}
		if _, ok := m.(wire.Hello); !ok && !greeted {
			s.t.Errorf("worker %d sent %s before hello", w.pid, wire.Name(m))
		}
		switch m := m.(type) {
		case wire.Hello:
			greeted = true
			if m.PID != w.pid {
				s.t.Errorf("worker %d says that it is %d", w.pid, m.PID)
			}
		case wire.Sockets:
			sockets, files = append(sockets, m.Sockets...), append(files, fs...)
			fs = nil
		case wire.State, wire.StateData, wire.StateEnd:
			if err := blobs.add(m); err != nil {
				s.t.Error(err)
			}
		case wire.Prepared:
			s.mu.Lock()
			if s.service == w {
				closeAll(s.files)
				s.sockets, s.files, s.states = sockets, files, blobs.into
				s.shots++
			} else {
				closeAll(files)
			}
			s.mu.Unlock()
			sockets, files, blobs = nil, nil, &blobReader{limit: 1 << 30, into: map[string]Blob{}}
		case wire.Served:
			s.mu.Lock()
			s.service, s.last = w, m
			s.mu.Unlock()
		case wire.Start:
			w.succeed(m)
		case wire.Verdict:
			s.mu.Lock()
			s.verdicts[m.ID] <- m
			s.mu.Unlock()
		default:
			s.t.Logf("worker %d: %#v", w.pid, m)
		}
		closeAll(fs)
	}
}

// succeed starts a successor of w.
func (w *fakeWorker) succeed(m wire.Start) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		w.s.t.Error(err)
		return
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	next, err := w.s.start(m.Path, theirs, w, m.Env)
	if err != nil {
		_ = w.link.Send(wire.Started{Reason: err.Error()})
		return
	}
	pidfd, err := unix.PidfdOpen(next.pid, 0)
	if err != nil {
		w.s.t.Error(err)
		return
	}
	defer unix.Close(pidfd)
	_ = w.link.Send(wire.Started{PID: next.pid}, fds[0], pidfd)
}

// ended notes the end of a worker, and starts another if the service has crashed.
func (s *fakeSupervisor) ended(w *fakeWorker, status string) {
	defer close(w.ended)
	defer w.beats.Close()
	w.link.Close()
	s.mu.Lock()
	s.workers = slices.DeleteFunc(s.workers, func(o *fakeWorker) bool { return o == w })
	heir := slices.ContainsFunc(s.workers, func(o *fakeWorker) bool { return o.asker == w })
	crashed := (s.service == w || w.asker != nil && w.asker == s.service && s.service.dead()) && !s.over && status != "exit status 0" && !heir
	s.mu.Unlock()
	if w.asker != nil {
		_ = w.asker.link.Send(wire.Exited{PID: w.pid, Status: status})
	}
	if crashed {
		s.restart()
	}
}

func (w *fakeWorker) dead() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// restart starts a worker from the last snapshot, playing the old side.
func (s *fakeSupervisor) restart() {
	link, theirs, err := wire.Pair()
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	s.restarts++
	s.mu.Unlock()
	_, err = s.start(s.in.program(), theirs, nil, nil)
	theirs.Close()
	if err == nil {
		go func() {
			if err := s.handOn(link); err != nil {
				s.t.Errorf("restart: %v", err)
			}
		}()
		return
	}
	link.Close()
	s.t.Error(err)
}

func (s *fakeSupervisor) handOn(link *wire.Link) error {
	s.mu.Lock()
	var fds []int
	for _, f := range s.files {
		copied, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			s.t.Error(err)
		}
		fds = append(fds, copied)
	}
	sockets, states, generation := s.sockets, s.states, s.last.Generation
	s.mu.Unlock()
	err := errors.Join(link.Send(wire.Hello{Min: 1, Max: 1, PID: os.Getpid(), Generation: generation}), link.Send(wire.Sockets{Sockets: sockets}, fds...))
	for _, fd := range fds {
		unix.Close(fd)
	}
	for name, b := range states {
		err = errors.Join(err, stateCopy{name, b.Version, b.Data}.send(link))
	}
	if err = errors.Join(err, link.Send(wire.Prepared{})); err != nil {
		return err
	}
	for {
		m, files, err := link.Receive()
		if err != nil {
			if s.keep { // the worker may close it
				return nil
			}
			return err
		}
		closeAll(files)
		switch m := m.(type) {
		case wire.Ready:
			err = link.Send(wire.Serve{})
		case wire.Serving:
			err = link.Send(wire.Commit{})
			if !s.keep {
				return errors.Join(err, link.Close())
			}
		case wire.Abort:
			return errors.New(m.Reason)
		}
		if err != nil {
			return err
		}
	}
}

// serves waits until a worker of that generation is the service and has sent a
// snapshot, and returns its pid.
func (s *fakeSupervisor) serves(generation int) (pid int) {
	s.t.Helper()
	shots := -1
	waitFor(s.t, fmt.Sprint("generation ", generation), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.service == nil || s.last.Generation != generation || s.service.dead() {
			return false
		}
		if shots < 0 {
			shots = s.shots
		}
		pid = s.service.pid
		return s.shots > 0
	})
	return pid
}

// request has the service upgrade, and returns its verdict.
func (s *fakeSupervisor) request(force bool) wire.Verdict {
	s.t.Helper()
	answer := make(chan wire.Verdict, 1)
	s.mu.Lock()
	id := uint64(len(s.verdicts) + 1)
	s.verdicts[id] = answer
	link := s.service.link
	s.mu.Unlock()
	if err := link.Send(wire.Request{ID: id, Force: force}); err != nil {
		s.t.Fatal(err)
	}
	select {
	case v := <-answer:
		return v
	case <-time.After(2 * time.Minute):
		s.t.Fatal("no verdict")
		return wire.Verdict{}
	}
}

// snapshot waits for one that satisfies ok.
func (s *fakeSupervisor) snapshot(what string, ok func(sockets []wire.Socket, states map[string]Blob) bool) {
	s.t.Helper()
	waitFor(s.t, what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return ok(s.sockets, s.states)
	})
}
