//go:build unix

package supervise

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A child must find its own process id in LISTEN_PID, which nobody knows before
// it exists. So what is started first is the supervisor's own executable: it
// sets the variable and becomes the program by execve.
//
// Its descriptors, beyond 0 to 2, are the n sockets, a pipe for the error of
// execve, and the file of the program if that is to be run by descriptor.

// firstFD is where sockets begin (SD_LISTEN_FDS_START).
const firstFD = 3

// ChildMain is the main function of the processes that a supervisor starts by
// [Options.Self]; args are the arguments that follow those of Self. It returns
// the exit status, and does not return at all when it becomes the program.
func ChildMain(args []string) int {
	switch {
	case len(args) >= 4 && args[0] == "start":
		return shim(args[1:])
	case len(args) == 3 && args[0] == "guard":
		return guardMain(args[1:])
	}
	_, _ = os.Stderr.WriteString("this command is started by the supervisor only\n")
	return 2
}

// shimArgs are those of shim.
func shimArgs(sockets int, p *program, pinned bool) []string {
	path := p.path
	if pinned {
		path = ""
	}
	return append([]string{"start", strconv.Itoa(sockets), path}, p.argv...)
}

// shim runs "SOCKETS PATH ARGV…", by descriptor if PATH is empty.
func shim(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 0 {
		return 2
	}
	status, path := firstFD+n, args[1]
	if path == "" {
		path = "/proc/self/fd/" + strconv.Itoa(status+1)
	}
	err = closeOnExec(status)
	if err == nil {
		err = syscall.Exec(path, args[2:], withListenPID(os.Environ(), n))
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = syscall.EINVAL
	}
	_, _ = syscall.Write(status, binary.LittleEndian.AppendUint32(nil, uint32(errno)))
	return 127
}

// withListenPID sets LISTEN_PID. With no sockets there is nothing to announce.
func withListenPID(env []string, sockets int) []string {
	if sockets == 0 {
		return env
	}
	return append(env, "LISTEN_PID="+strconv.Itoa(os.Getpid()))
}

// closeOnExec marks every descriptor from first on, those included that the
// supervisor was given without its knowing.
func closeOnExec(first int) error {
	if closeRangeOnExec(first) == nil {
		return nil
	}
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// protocolVariables are ours to set, or not meant for children.
var protocolVariables = []string{
	"LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
	"WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "NGINX",
}

// without returns env without the protocol variables.
func without(env []string) []string {
	var kept []string
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); !slices.Contains(protocolVariables, name) {
			kept = append(kept, kv)
		}
	}
	return kept
}

// childEnviron is the environment of a child, but for LISTEN_PID.
func (s *Supervisor) childEnviron(notify string) []string {
	env := append(without(s.opt.Environ), "NOTIFY_SOCKET="+notify)
	if len(s.sockets) == 0 {
		return env
	}
	var names []string
	nginx := ""
	for i, sock := range s.sockets {
		names = append(names, sock.name)
		nginx += strconv.Itoa(firstFD+i) + ";"
	}
	env = append(env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	if s.opt.FDs == StyleNginx {
		env = append(env, "NGINX="+nginx)
	}
	return env
}
