package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/beat"
)

// verify checks that every descriptor is what the state says, and every worker a child
// of parent. With states, in a trial, it reads those of the snapshot, too.
func (v *saved) verify(parent int, states bool) error {
	for _, h := range v.handles() {
		now, err := handleOf(h.FD)
		if err != nil {
			return err
		}
		if *now != h {
			return fmt.Errorf("descriptor %d is not what it was", h.FD)
		}
	}
	for _, w := range v.Workers {
		if err := childOf(parent, w.PID); states && w.State == StateDraining && errors.Is(err, fs.ErrNotExist) {
			continue // the old supervisor has reaped it meanwhile
		} else if err != nil {
			return err
		}
		if err := verifyWorker(w); err != nil {
			return fmt.Errorf("worker %d: %w", w.Number, err)
		}
	}
	if v.Snapshot == nil {
		return nil
	}
	return v.Snapshot.verify(states)
}

func verifyWorker(w savedWorker) error {
	if w.Link != nil {
		if typ, err := unix.GetsockoptInt(w.Link.FD, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_STREAM {
			return fmt.Errorf("descriptor %d is no stream socket", w.Link.FD)
		}
	}
	f, err := copyOf(w.Beats.FD, "heartbeat")
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := beat.NewReader(f)
	if err != nil {
		return err
	}
	return r.Close()
}

// copyOf makes a file of a copy of fd.
func copyOf(fd int, name string) (*os.File, error) {
	copied, err := duplicate(fd, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), name), nil
}

func (s *savedSnapshot) verify(states bool) error {
	for _, sock := range s.Sockets {
		if listening(sock.FD) != sock.Listening {
			return fmt.Errorf("socket %q does not listen as it did", sock.Name)
		}
	}
	if !states {
		return nil
	}
	for _, st := range s.States {
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(reader(s.Blob.FD), st.Offset, st.Size)); err != nil {
			return fmt.Errorf("state %q: %w", st.Name, err)
		}
		if hex.EncodeToString(h.Sum(nil)) != st.SHA256 {
			return fmt.Errorf("state %q does not match its checksum", st.Name)
		}
	}
	return nil
}

// childOf reports an error unless pid, which may have ended by now, is a child of
// parent: see proc_pid_stat(5).
func childOf(parent, pid int) error {
	if !procIsOurs() {
		return os.NewSyscallError("kill", unix.Kill(pid, 0))
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fmt.Errorf("worker process %d is gone: %w", pid, err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
		return fmt.Errorf("process %d is no child of %d", pid, parent)
	}
	return nil
}
