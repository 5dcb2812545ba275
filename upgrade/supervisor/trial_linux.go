package supervisor

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A verdict is what the program on trial answers, as a line of JSON.
type trialVerdict struct {
	Format string `json:"format"`
	State  string `json:"state"` // SHA-256 of the state that it was given: it has read that
	Reason string `json:"reason,omitempty"`
}

const trialFormat = "theseus supervisor trial 1"

// verdictLimit is how long the line may be.
const verdictLimit = 64 << 10

// try starts the trial of a new supervisor: a child of that program gets copies of all
// descriptors under their numbers, and the state, and has to find all in order.
func (s *Supervisor) try(r *replacement) error {
	v, err := s.save()
	if err != nil {
		return err
	}
	defer closeFD(v.Image.FD)
	memory, text, err := v.store()
	if err != nil {
		return err
	}
	defer closeFD(memory)
	answer, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	p, err := s.forkTrial(r, v, memory, theirs)
	if err != nil {
		answer.Close()
		return err
	}
	_ = s.opt.point("trial")
	began := time.Now()
	go func() {
		defer answer.Close()
		err := s.judge(r, p, answer, sha256.Sum256(text))
		s.procs.kill(p)
		select {
		case <-p.exited: // the next program would not know of it
		case <-s.over:
		}
		closeFD(p.fd)
		s.post(func() {
			if s.replacement != r {
				return
			}
			r.trying = false
			if err != nil {
				s.endReplacement(err)
				return
			}
			r.proved = true
			s.emit(Event{Kind: Proved, PID: p.pid, Took: time.Since(began), Detail: r.path})
		})
	}()
	return nil
}

// forkTrial starts the child.
func (s *Supervisor) forkTrial(r *replacement, v *saved, memory int, answer *os.File) (*proc, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/null", err)
	}
	defer closeFD(null)
	writer, err := descriptorOf(answer)
	if err != nil {
		return nil, err
	}
	most := memory
	for _, h := range v.handles() {
		most = max(most, h.FD)
	}
	files := make([]uintptr, most+2)
	for i := range files {
		files[i] = ^uintptr(0)
	}
	files[0], files[1], files[2] = uintptr(null), 2, 2
	files[memory] = uintptr(memory)
	for _, h := range v.handles() {
		files[h.FD] = uintptr(h.FD)
	}
	files[most+1] = uintptr(writer)
	pin, err := duplicate(r.file, max(len(files), null, writer)+32)
	if err != nil {
		return nil, err
	}
	defer closeFD(pin)
	env := append(withoutOwn(os.Environ()), fmt.Sprintf("%s=%d:%d", trialVariable, memory, most+1))
	return s.procs.start(byDescriptor(pin), os.Args, env, files, syscall.SIGKILL) // nobody else would end one that hangs
}

// judge waits for the answer.
func (s *Supervisor) judge(r *replacement, p *proc, answer *os.File, sum [sha256.Size]byte) error {
	limit := s.opt.TrialTimeout
	late := time.AfterFunc(limit, func() { r.cancel(fmt.Errorf("no answer within %s", limit)) })
	defer late.Stop()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-r.ctx.Done():
			_ = answer.SetReadDeadline(time.Unix(1, 0))
		case <-stop:
		}
	}()
	line, err := bufio.NewReader(io.LimitReader(answer, verdictLimit)).ReadString('\n')
	var v trialVerdict
	switch {
	case r.ctx.Err() != nil:
		return fmt.Errorf("its trial failed: %w", context.Cause(r.ctx))
	case errors.Is(err, io.EOF) && line == "":
		return fmt.Errorf("its trial failed: %s", s.endOf(p))
	case err != nil:
		return errors.New("its trial failed: it did not answer in the way of this version")
	case json.Unmarshal([]byte(line), &v) != nil || v.Format != trialFormat:
		return errors.New("its trial failed: it did not answer in the way of this version")
	case v.Reason != "":
		return fmt.Errorf("its trial failed: %s", v.Reason)
	case v.State != hex.EncodeToString(sum[:]):
		return errors.New("its trial failed: it has read another state than it was given")
	}
	return nil
}

// endOf says how a process has ended that has closed its pipe.
func (s *Supervisor) endOf(p *proc) string {
	select {
	case <-p.exited:
		return "it ended without an answer: " + statusText(p.status)
	case <-time.After(s.opt.pace.settle):
		return "it closed the pipe without an answer"
	}
}

// trial is the other side: it takes over as [adopt] does, but for the very last step,
// and tells what came of it.
func trial(spec string, opt Options) error {
	fds, err := parseSpec(spec)
	if err != nil {
		return fmt.Errorf("%s: %w", trialVariable, err)
	}
	answer := os.NewFile(uintptr(fds[1]), "trial")
	defer answer.Close()
	v := trialVerdict{Format: trialFormat}
	text, err := readMemory(fds[0])
	if err == nil {
		sum := sha256.Sum256(text)
		v.State = hex.EncodeToString(sum[:])
		err = rehearse(text, opt)
	}
	if err != nil {
		v.Reason = strings.ToValidUTF8(err.Error(), "?")
	}
	line, err := json.Marshal(v)
	if err == nil {
		_, err = answer.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("answer the supervisor: %w", err)
	}
	return ErrTrial
}

// rehearse takes over what text says, and lets go of it again.
func rehearse(text []byte, opt Options) (err error) {
	defer unpanic(&err)
	v, err := decode(text)
	if err != nil {
		return err
	}
	if v.PID != os.Getppid() {
		return fmt.Errorf("the state is that of process %d, and the parent is %d", v.PID, os.Getppid())
	}
	if err := v.verify(v.PID, true); err != nil {
		return err
	}
	s, err := prepare(opt)
	if err != nil {
		return err
	}
	if err := s.opt.point("trial"); err != nil {
		return err
	}
	if err := s.rebuild(v, false); err != nil {
		return err
	}
	return s.Close()
}

// unpanic turns a panic into an error: there is a program to go back to.
func unpanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}
