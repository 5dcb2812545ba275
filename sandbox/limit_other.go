//go:build unix && !linux

package sandbox

import (
	"os/exec"
	"syscall"
)

func prepare(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// limit has no prlimit here: the child sets its own limits with Confine.
// RLIMIT_DATA does not count memory that is mapped, which is all of Go's.
func limit(_ int, spec Spec) []string {
	notEnforced := []string{"parent"}
	if spec.DataBytes > 0 {
		notEnforced = append(notEnforced, "data")
	}
	return notEnforced
}
