//go:build unix

package sandbox

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killGroup kills the child and all that it started in its session's first
// group.
func killGroup(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func signaled(s *os.ProcessState) bool {
	w, ok := s.Sys().(syscall.WaitStatus)
	return ok && w.Signaled()
}

func alive(p *os.Process) bool { return p.Signal(syscall.Signal(0)) == nil }

// Confine sets the limits of the calling process: the second lock of a child,
// and on systems without prlimit the only one. It returns the names of the
// limits that it could not set.
func Confine(spec Spec) (notEnforced []string) {
	for _, l := range rlimits(spec) {
		if unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}) != nil && l.name != "" {
			notEnforced = append(notEnforced, l.name)
		}
	}
	return notEnforced
}

// An rlimit is one limit to set; without a name its failure is not reported.
type rlimit struct {
	name     string
	resource int
	value    uint64
}

func rlimits(spec Spec) []rlimit {
	list := []rlimit{{"", unix.RLIMIT_CORE, 0}}
	if spec.DataBytes > 0 {
		list = append(list, rlimit{"data", unix.RLIMIT_DATA, uint64(spec.DataBytes)})
	}
	if spec.CPU > 0 {
		list = append(list, rlimit{"cpu", unix.RLIMIT_CPU, cpuSeconds(spec.CPU)})
	}
	if spec.Files > 0 {
		list = append(list, rlimit{"files", unix.RLIMIT_NOFILE, uint64(spec.Files)})
	}
	return list
}

// cpuSeconds is d in whole seconds, rounded up.
func cpuSeconds(d time.Duration) uint64 { return uint64((d + time.Second - 1) / time.Second) }
