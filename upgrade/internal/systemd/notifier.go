package systemd

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrInvalid is wrapped by every error about a value that was refused: an
// argument of a call, or what a variable of the environment holds. Nothing has
// been sent or changed.
var ErrInvalid = errors.New("invalid value")

// A Notifier tells the service manager about this service. Make one with
// [New]. All methods are safe for concurrent use, do nothing and return nil on a
// nil Notifier and where NOTIFY_SOCKET is not set, but check their arguments
// everywhere. Each sends one datagram and returns once it is queued, after at
// most a second; an error then wraps [os.ErrDeadlineExceeded]. An error never
// means that the service itself is in a bad state: log it and go on.
type Notifier struct {
	socket   string        // "" when there is no manager
	interval time.Duration // half of WATCHDOG_USEC
	store    int           // FDSTORE
	storeErr error         // what is wrong with that
	err      error         // what is wrong with the environment
}

// New reads NOTIFY_SOCKET, FDSTORE, WATCHDOG_USEC and WATCHDOG_PID through env, which
// is [os.LookupEnv] but in tests. A value that makes no sense is reported by
// [Notifier.Err], and by each call that would need it. Remove the variables
// that [NotifyVariables] lists from the environment of children.
func New(env func(string) (string, bool)) *Notifier {
	n := &Notifier{}
	socket, ok := env("NOTIFY_SOCKET")
	if !ok || socket == "" {
		return n
	}
	if err := checkSocket(socket); err != nil {
		n.err = err
		return n
	}
	n.socket = socket
	n.store, n.storeErr = storeLimit(env)
	n.interval, n.err = watchdogInterval(env, os.Getpid())
	return n
}

// NotifyVariables names the variables that [New] reads.
func NotifyVariables() []string {
	return []string{"NOTIFY_SOCKET", "FDSTORE", "WATCHDOG_USEC", "WATCHDOG_PID"}
}

// Enabled reports whether there is a manager that listens.
func (n *Notifier) Enabled() bool { return n != nil && n.socket != "" }

// Err returns what is wrong with the variables that [New] read, or nil. The
// error names the variable and wraps [ErrInvalid], and [errors.ErrUnsupported]
// for a kind of socket that this package cannot reach.
func (n *Notifier) Err() error {
	switch {
	case n == nil:
		return nil
	case n.err != nil:
		return n.err
	}
	return n.storeErr
}

// StoreLimit is how many descriptors the manager keeps for the service
// (FileDescriptorStoreMax=), from the variable FDSTORE. Zero means that it keeps none.
func (n *Notifier) StoreLimit() int {
	if n == nil {
		return 0
	}
	return n.store
}

// WatchdogInterval is how often to call [Notifier.Watchdog]: half of the time
// after which the manager takes the service for dead, as sd_watchdog_enabled(3)
// advises. Zero means that the manager expects nothing of this process.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.interval
}

// checkSocket tells whether an address is a path or an abstract name that fits
// unix(7).
func checkSocket(s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return invalid("NOTIFY_SOCKET", s, "it holds a zero byte")
	case strings.HasPrefix(s, "vsock"):
		return fmt.Errorf("%w: %w", invalid("NOTIFY_SOCKET", s, "vsock cannot be used, set a path or @NAME"), errors.ErrUnsupported)
	case s[0] != '/' && s[0] != '@' || len(s) < 2:
		return invalid("NOTIFY_SOCKET", s, "want an absolute path or @NAME")
	case s[0] == '/' && len(s) > 107 || len(s) > 108:
		return invalid("NOTIFY_SOCKET", s, "longer than the address of a Unix socket can be")
	}
	return nil
}

// watchdogInterval applies the rules of sd_watchdog_enabled(3).
func watchdogInterval(env func(string) (string, bool), pid int) (time.Duration, error) {
	value, ok := env("WATCHDOG_USEC")
	if !ok {
		return 0, nil
	}
	if owner, ok := env("WATCHDOG_PID"); ok {
		p, err := parsePID("WATCHDOG_PID", owner)
		if err != nil || p != pid {
			return 0, err
		}
	}
	usec, ok := parseDecimal(value, math.MaxInt64/uint64(time.Microsecond))
	if !ok || usec == 0 {
		return 0, invalid("WATCHDOG_USEC", value, "want microseconds, from 1 on")
	}
	return time.Duration(usec) * time.Microsecond / 2, nil
}

// storeLimit reads FDSTORE, which systemd sets from version 254 on.
func storeLimit(env func(string) (string, bool)) (int, error) {
	value, ok := env("FDSTORE")
	if !ok {
		return 0, nil
	}
	most, ok := parseDecimal(value, math.MaxInt32)
	if !ok {
		return 0, invalid("FDSTORE", value, "want a number of descriptors")
	}
	return int(most), nil
}

// parsePID reads the value of a variable that names a process.
func parsePID(name, value string) (int, error) {
	pid, ok := parseDecimal(value, math.MaxInt32)
	if !ok || pid == 0 {
		return 0, invalid(name, value, "want the number of a process")
	}
	return int(pid), nil
}

// parseDecimal reads decimal digits and nothing else: no sign, space or zero in
// front.
func parseDecimal(s string, most uint64) (uint64, bool) {
	if s == "" || s[0] == '0' && len(s) > 1 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil && v <= most
}

// invalid reports a value that was refused, cut to a length fit for a log.
func invalid(name, value, why string) error {
	const most = 128
	if len(value) > most {
		return fmt.Errorf("systemd: %w: %s=%q…: %s", ErrInvalid, name, value[:most], why)
	}
	return fmt.Errorf("systemd: %w: %s=%q: %s", ErrInvalid, name, value, why)
}
