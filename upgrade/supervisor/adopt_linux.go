package supervisor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// An adoption is what [New] has taken over and Run tells about.
type adoption struct {
	frozen int64  // when the program before stopped, CLOCK_MONOTONIC
	back   string // why the new program could not take over; empty if this is the new one
	isBack bool
}

// adopt makes the supervisor that spec describes. If that fails, the old program is
// executed again, once.
func adopt(spec string, opt Options) (*Supervisor, error) {
	back, isBack := take(backVariable)
	fds, err := parseSpec(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stateVariable, err)
	}
	memory, image := fds[0], fds[1]
	rename()
	s, travel, err := resurrect(memory, opt)
	if err == nil {
		s.adopted = &adoption{back: back, isBack: isBack, frozen: s.adopted.frozen}
		err = s.settleIn(memory, image, travel)
	}
	if err == nil {
		s.early = released()
		return s, nil
	}
	err = fmt.Errorf("take over from the old supervisor: %w", err)
	if isBack || image < 0 {
		return nil, err
	}
	return nil, onThread(func() error {
		return errors.Join(err, execFile(image, memory, -1, append(travel, memory, image), err.Error()))
	})
}

// resurrect builds the supervisor out of copies. Travel are the descriptors that the
// old program needs again, as far as they are known.
func resurrect(memory int, opt Options) (s *Supervisor, travel []int, err error) {
	defer unpanic(&err)
	text, err := readMemory(memory)
	if err != nil {
		return nil, nil, err
	}
	v, err := decode(text)
	if err != nil {
		return nil, openDescriptors(memory), err
	}
	for _, h := range v.handles() {
		travel = append(travel, h.FD)
	}
	if v.PID != os.Getpid() {
		return nil, travel, fmt.Errorf("the state is that of process %d", v.PID)
	}
	if err := v.verify(v.PID, false); err != nil {
		return nil, travel, err
	}
	if s, err = prepare(opt); err != nil {
		return nil, travel, err
	}
	if err := s.opt.point("adopt"); err != nil {
		return nil, travel, err
	}
	if err := s.rebuild(v, true); err != nil {
		s.free()
		return nil, travel, err
	}
	s.replaced++
	s.adopted = &adoption{frozen: v.Frozen}
	return s, travel, nil
}

// settleIn lets go of the old program: from here on there is no way back.
func (s *Supervisor) settleIn(memory, image int, travel []int) error {
	if s.adopted.isBack {
		s.replaced--
	}
	if err := keepFromChildren(); err != nil {
		return err
	}
	for _, fd := range append(travel, memory) {
		closeFD(fd)
	}
	if !slices.Contains(travel, image) {
		closeFD(image)
	}
	return nil
}

// openDescriptors lists what is open beyond the standard descriptors and was
// inherited: everything that is not close-on-exec.
func openDescriptors(but int) (fds []int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 || fd == but {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// readMemory returns what is in the memory of a state.
func readMemory(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Size > savedLimit {
		return nil, fmt.Errorf("%w: it is larger than %d MiB", errSaved, savedLimit>>20)
	}
	text := make([]byte, st.Size)
	return text, readAt(fd, text, 0)
}

// proceed goes on where the program before stopped.
func (s *Supervisor) proceed() {
	a := s.adopted
	if a.isBack {
		s.emit(Event{Kind: Refused, Took: time.Duration(monotonic() - a.frozen), Detail: a.back})
	} else {
		s.emit(Event{Kind: Replaced, Took: time.Duration(monotonic() - a.frozen)})
	}
	for _, w := range s.workers {
		if !w.lost {
			s.receive(w)
		}
	}
	s.watch(s.serving)
	s.procs.resume()
}
