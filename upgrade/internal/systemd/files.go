package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// firstFD is the number of the first descriptor, SD_LISTEN_FDS_START.
const firstFD = 3

// maxListenFDs is how many descriptors are taken over at most.
const maxListenFDs = 1024

// unnamed is the name of a descriptor where LISTEN_FDNAMES is not set.
const unnamed = "unknown"

// A File is a descriptor that the manager opened or kept for this service.
type File struct {
	// Name is what FileDescriptorName= or FDNAME= gave it; "unknown" where the
	// manager gave no names, "stored" for one stored without a name,
	// "connection" under Accept=yes. It may be empty, and need not be unique.
	Name string

	// File is owned by the caller. Whether it blocks has not been changed, for
	// other processes share that; [net.FileListener] makes it non-blocking.
	File *os.File
}

// Files takes over the descriptors that were passed to process pid, which is
// [os.Getpid] but where a process starts another in its own place. They are in
// order, from number 3 on, and close-on-exec from then on. There are none, and no
// error, if the variables are not set or meant for another process.
//
// An error names the variable that is wrong and wraps [ErrInvalid], and
// [errors.ErrUnsupported] on Windows; no descriptor has been touched then. A
// descriptor that is not open, or that this process opened itself, is such an
// error: so is a second call.
//
// Whatever comes back, remove the variables that [ListenVariables] lists before
// starting a child.
func Files(env func(string) (string, bool), pid int) ([]File, error) {
	names, err := listenNames(env, pid)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if err := inherit(firstFD, len(names)); err != nil {
		return nil, err
	}
	files := make([]File, len(names))
	for i, name := range names {
		files[i] = File{Name: name, File: os.NewFile(uintptr(firstFD+i), "listen:"+name)}
	}
	return files, nil
}

// ListenVariables names the variables that the caller of [Files] must remove
// from its environment, so that no child takes them for its own: those that Files
// reads, and LISTEN_PIDFDID, which newer versions of systemd set too.
func ListenVariables() []string {
	return []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"}
}

// listenNames reads the variables: one name per descriptor.
func listenNames(env func(string) (string, bool), pid int) ([]string, error) {
	owner, ok := env("LISTEN_PID")
	if !ok {
		return nil, nil
	}
	p, err := parsePID("LISTEN_PID", owner)
	if err != nil || p != pid {
		return nil, err
	}
	value, ok := env("LISTEN_FDS")
	if !ok {
		return nil, nil
	}
	count, ok := parseDecimal(value, maxListenFDs)
	if !ok {
		return nil, invalid("LISTEN_FDS", value, "want a number from 0 to "+strconv.Itoa(maxListenFDs))
	}
	return splitNames(env, int(count))
}

// splitNames reads LISTEN_FDNAMES for count descriptors.
func splitNames(env func(string) (string, bool), count int) ([]string, error) {
	value, named := env("LISTEN_FDNAMES")
	if !named {
		names := make([]string, count)
		for i := range names {
			names[i] = unnamed
		}
		return names, nil
	}
	if have := strings.Count(value, ":") + 1; count > 0 && have != count || count == 0 && value != "" {
		return nil, invalid("LISTEN_FDNAMES", value, fmt.Sprintf("names for %d descriptors, but LISTEN_FDS=%d", have, count))
	}
	if count == 0 {
		return nil, nil
	}
	names := strings.Split(value, ":")
	for _, name := range names {
		if err := checkFDName("LISTEN_FDNAMES", name); err != nil {
			return nil, err
		}
	}
	return names, nil
}
