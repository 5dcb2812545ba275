//go:build unix && !linux

package supervise

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// self is the file that this process was started from.
func self() (string, error) { return os.Executable() }

// attributes makes a child the leader of a process group.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// deathSignal: the guard alone ends the children of a supervisor that died.
const deathSignal = false

func becomeSubreaper() error { return errors.ErrUnsupported }

func closeRangeOnExec(int) error { return errors.ErrUnsupported }

// canPin: there is no /proc to run a file from.
const canPin = false

func monotonic() (time.Duration, bool) { return 0, false }
