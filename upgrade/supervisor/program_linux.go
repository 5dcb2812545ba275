package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/internal/executable"
)

// A program is what a crash starts again.
type program struct {
	path string
	args []string // without the name
	pin  int      // the file that ran, which outlives its name; -1 for a script, or before the first start
}

// ownPath is the file of this process, by the name under which it was started if
// that still leads to it: links may be switched.
func ownPath() (string, error) {
	path, err := executable.Find(os.Args[0])
	running, statErr := os.Stat("/proc/self/exe")
	if named, nameErr := os.Stat(path); err == nil && statErr == nil && nameErr == nil && os.SameFile(named, running) {
		return path, nil
	}
	if path, err = os.Executable(); err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	return strings.TrimSuffix(path, " (deleted)"), nil
}

// pinned is the file that a process runs, opened: not what its path says, for the file
// may have been replaced since. It is -1 for a script, whose interpreter alone would
// be of no use.
func pinned(path string, pid int) int {
	if isScript(path) {
		return -1
	}
	if procIsOurs() {
		path = fmt.Sprintf("/proc/%d/exe", pid)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// nowRuns makes the program of w, which serves, what a crash starts again. If that
// came by an upgrade to another file, the program before it is kept.
func (s *Supervisor) nowRuns(w *worker) {
	before := s.program
	s.program = program{path: w.program.path, args: w.program.args, pin: pinned(w.program.path, w.pid)}
	switch {
	case w.asker == nil && s.program.pin < 0:
		s.program.pin = before.pin
	case w.asker == nil || before.pin < 0 || sameFile(before.pin, s.program.pin):
		closeFD(before.pin)
	default:
		closeFD(s.earlier.pin)
		s.earlier = before
		s.pause = s.opt.pace.first // which tells of the program before
	}
}

// takeTurns lets the earlier program have its turn, if there is one: that which served
// last has failed again and again.
func (s *Supervisor) takeTurns() {
	if s.earlier.pin < 0 {
		return
	}
	s.program, s.earlier = s.earlier, s.program
	s.pause = s.opt.pace.first
	s.emit(Event{Kind: FellBack, Detail: fmt.Sprintf("%s failed until the pauses were %s; %s, which was the service before, is started", s.earlier.path, s.opt.pace.most, s.program.path)})
}

func sameFile(a, b int) bool {
	var one, two unix.Stat_t
	return unix.Fstat(a, &one) == nil && unix.Fstat(b, &two) == nil && one.Dev == two.Dev && one.Ino == two.Ino
}

// procIsOurs reports whether the numbers in /proc are those that this process sees:
// it may have been mounted in another PID namespace.
func procIsOurs() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// moved reports whether the path leads no longer to what ran.
func (p *program) moved() bool {
	var named, ran unix.Stat_t
	if p.pin < 0 || unix.Fstat(p.pin, &ran) != nil {
		return false
	}
	return unix.Stat(p.path, &named) != nil || named.Dev != ran.Dev || named.Ino != ran.Ino
}

func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [2]byte
	_, err = f.ReadAt(head[:], 0)
	return err == nil && string(head[:]) == "#!"
}

// byDescriptor is the path under which fd can be executed, though it is
// close-on-exec.
func byDescriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// execError adds what the bare error does not say.
func execError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w: it is not for this machine, or a script without a #! line", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: it is gone, or the interpreter or loader that it names is missing", err)
	case errors.Is(err, syscall.ETXTBSY):
		return fmt.Errorf("%w: it is still being written; put programs in place by rename", err)
	}
	return err
}

// Variables by which processes are told what they are for.
const (
	supervisorVariable = "THESEUS_SUPERVISOR_FD"    // worker: the link to the supervisor
	beatVariable       = "THESEUS_BEAT_FD"          // worker: the heartbeat memory
	upgradeVariable    = "THESEUS_UPGRADE_FD"       // worker: the control link to its predecessor
	pathVariable       = "THESEUS_UPGRADE_PATH"     // worker: the file that it was started from
	stateVariable      = "THESEUS_SUPERVISOR_STATE" // this process goes on as what these descriptors say
	backVariable       = "THESEUS_SUPERVISOR_BACK"  // and does so because the new program could not, for this reason
	trialVariable      = "THESEUS_SUPERVISOR_TRIAL" // a trial of a new supervisor
	shimVariable       = "THESEUS_SUPERVISOR_SHIM"  // becomes that program at once
)

// without returns env without the variables that speak of one process alone.
func without(env []string) []string {
	var kept []string
	for _, kv := range env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case supervisorVariable, beatVariable, upgradeVariable, pathVariable, stateVariable, backVariable, trialVariable, shimVariable,
			"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "MAINPID",
			"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID":
		default:
			kept = append(kept, kv)
		}
	}
	return kept
}

// withoutOwn returns env without the variables of this package that are meant for the
// process itself: what a new supervisor gets has all the others.
func withoutOwn(env []string) []string {
	var kept []string
	for _, kv := range env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case stateVariable, backVariable, trialVariable, shimVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID":
		default:
			kept = append(kept, kv)
		}
	}
	return kept
}
