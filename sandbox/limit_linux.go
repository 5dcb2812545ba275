package sandbox

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare gives the child a session of its own. The parent-death signal is
// bound to the thread that forks; Go ends a thread only when a goroutine ends
// that is locked to it, so callers must not do that around Run.
func prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// limit sets the limits of a started child from outside, before it has input.
func limit(pid int, spec Spec) (notEnforced []string) {
	for _, l := range rlimits(spec) {
		if unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}, nil) != nil && l.name != "" {
			notEnforced = append(notEnforced, l.name)
		}
	}
	return notEnforced
}
