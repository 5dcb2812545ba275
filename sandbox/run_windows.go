package sandbox

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

func prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

func limit(_ int, spec Spec) []string { return append(Confine(spec), "parent") }

func killGroup(p *os.Process) error { return p.Kill() }

func signaled(*os.ProcessState) bool { return false }

func alive(p *os.Process) bool { return p.Signal(syscall.Signal(0)) == nil }

// Confine sets the limits of the calling process. Windows has none of them
// without a job object; it returns the names of those that spec asks for.
func Confine(spec Spec) (notEnforced []string) {
	if spec.DataBytes > 0 {
		notEnforced = append(notEnforced, "data")
	}
	if spec.CPU > 0 {
		notEnforced = append(notEnforced, "cpu")
	}
	if spec.Files > 0 {
		notEnforced = append(notEnforced, "files")
	}
	return notEnforced
}
