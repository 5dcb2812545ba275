package supervisor

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// save describes the supervisor, which is at rest. The caller closes Image.
func (s *Supervisor) save() (*saved, error) {
	v := &saved{
		PID: os.Getpid(), Frozen: monotonic(), Path: s.program.path, Args: s.program.args, Serving: s.serving.number, Started: s.started,
		Activated: s.activated, Generation: s.generation, Restarts: s.restarts, Upgrades: s.upgrades, Replaced: s.replaced,
		LastStatus: s.lastStatus, LastID: s.lastID, Pause: int64(s.pause), Stored: s.stored,
	}
	if !s.degraded.IsZero() {
		d := int64(time.Since(s.degraded))
		v.Degraded = &d
	}
	var err error
	if v.Pin, err = handleOf(s.program.pin); err != nil {
		return nil, err
	}
	if pin, err := handleOf(s.earlier.pin); err != nil {
		return nil, err
	} else if pin != nil {
		v.Earlier = &savedProgram{Pin: *pin, Path: s.earlier.path, Args: s.earlier.args}
	}
	for _, w := range s.workers {
		saved, err := saveWorker(w)
		if err != nil {
			return nil, err
		}
		v.Workers = append(v.Workers, saved)
	}
	if v.Snapshot, err = s.snap.save(); err != nil {
		return nil, err
	}
	image, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /proc/self/exe", err)
	}
	h, err := handleOf(image)
	if err != nil {
		closeFD(image)
		return nil, err
	}
	v.Image = *h
	return v, nil
}

func saveWorker(w *worker) (savedWorker, error) {
	v := savedWorker{Number: w.number, PID: w.pid, State: w.state, Age: int64(time.Since(w.began)), Path: w.program.path, Args: w.program.args,
		Greeted: w.greeted, Kept: w.kept, Generation: w.generation, Release: w.release}
	beats, err := handleOf(w.beats)
	if err != nil {
		return v, err
	}
	v.Beats = *beats
	if !w.lost && w.conduit.link.Err() == nil {
		v.Link, err = handleOf(w.conduit.fd)
	}
	return v, err
}

func (s *snapshot) save() (*savedSnapshot, error) {
	if s == nil {
		return nil, nil
	}
	v := &savedSnapshot{Age: int64(time.Since(s.at)), States: s.states}
	for _, sock := range s.sockets {
		h, err := handleOf(sock.fd)
		if err != nil {
			return nil, err
		}
		v.Sockets = append(v.Sockets, savedSocket{Socket: sock.Socket, handle: *h, Listening: listening(sock.fd)})
	}
	var err error
	v.Blob, err = handleOf(s.blob)
	return v, err
}

// handleOf describes an open descriptor; nil for -1.
func handleOf(fd int) (*handle, error) {
	if fd < 0 {
		return nil, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fstat", err))
	}
	return &handle{FD: fd, Device: uint64(st.Dev), Inode: st.Ino}, nil
}

// store puts the state into memory that cannot be changed.
func (v *saved) store() (memory int, text []byte, err error) {
	if text, err = v.encode(); err != nil {
		return -1, nil, err
	}
	if memory, err = newMemory("theseus supervisor"); err != nil {
		return -1, nil, err
	}
	if err = writeAll(memory, text); err == nil {
		err = seal(memory)
	}
	if err != nil {
		closeFD(memory)
		return -1, nil, err
	}
	return memory, text, nil
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
