package systemd

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMessage is the longest datagram that systemd reads, NOTIFY_BUFFER_MAX in
// its source; it drops a longer one.
const maxMessage = 4096

// maxFiles is how many descriptors one datagram can carry (unix(7), SCM_MAX_FD).
const maxFiles = 253

// maxName is the longest name of a descriptor, FDNAME_MAX in systemd's source.
const maxName = 255

// Ready says that the service has started, or that it has finished reloading.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading says that the service begins to reload or to be replaced; call
// [Notifier.Ready] when that is done, however it went.
func (n *Notifier) Reloading() error {
	if !n.Enabled() {
		return n.socketErr()
	}
	usec, err := monotonicMicroseconds()
	if err != nil {
		return fmt.Errorf("systemd: notify RELOADING: read the monotonic clock: %w", err)
	}
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(usec, 10))
}

// Stopping says that the service shuts down. From systemd 259 on there is no way
// back: the manager kills what is left after its stop time-out.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// MainPID says that process pid, 1 or more, is the main one from now on. It must
// belong to the service. Call it before this process exits, and [Notifier.Barrier]
// after it.
func (n *Notifier) MainPID(pid int) error {
	if pid < 1 {
		return invalid("MAINPID", strconv.Itoa(pid), "want the number of a process")
	}
	return n.send("MAINPID=" + strconv.Itoa(pid))
}

// Status shows text in systemctl status: one line of UTF-8 without control
// characters but tab, up to 4 KiB. Empty clears it.
func (n *Notifier) Status(text string) error {
	message := "STATUS=" + text
	switch {
	case !utf8.ValidString(text):
		return invalid("STATUS", text, "not UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return invalid("STATUS", text, "want a single line without control characters")
	case len(message) > maxMessage:
		return invalid("STATUS", text, "longer than systemd reads, cut it to 4 KiB")
	}
	return n.send(message)
}

// Watchdog says that the service is alive; see [Notifier.WatchdogInterval].
func (n *Notifier) Watchdog() error {
	if n != nil && n.err != nil {
		return n.err
	}
	return n.send("WATCHDOG=1")
}

// StoreFiles gives the manager copies of 1 to 253 descriptors to keep under a
// name for the next start of the service, which finds them with [Files]. The
// descriptors are borrowed during the call; for a socket in use, call it inside
// SyscallConn().Control. The manager takes them only where the unit sets
// FileDescriptorStoreMax=, which [Notifier.StoreLimit] tells, and does not say
// when it drops them. It does not watch them: they stay until
// [Notifier.RemoveFiles].
func (n *Notifier) StoreFiles(name string, fds ...int) error {
	if err := checkName("FDNAME", name); err != nil {
		return err
	}
	if len(fds) == 0 || len(fds) > maxFiles {
		return invalid("FDSTORE", strconv.Itoa(len(fds)), "want 1 to 253 descriptors, send more in several calls")
	}
	for _, fd := range fds {
		if fd < 0 {
			return invalid("FDSTORE", strconv.Itoa(fd), "not a descriptor")
		}
	}
	return n.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, fds...)
}

// RemoveFiles makes the manager close all descriptors stored under a name. A
// name that it does not have is no error.
func (n *Notifier) RemoveFiles(name string) error {
	if err := checkName("FDNAME", name); err != nil {
		return err
	}
	return n.send("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// checkName applies the rules for a name of one's own: those for a received one,
// and not empty.
func checkName(variable, name string) error {
	if name == "" {
		return invalid(variable, name, "want a name")
	}
	return checkFDName(variable, name)
}

// checkFDName applies systemd's rules for the name of a descriptor.
func checkFDName(variable, name string) error {
	if len(name) > maxName {
		return invalid(variable, name, "a name has at most 255 characters")
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == ':' {
			return invalid(variable, name, "a name is printable ASCII without a colon")
		}
	}
	return nil
}

// send checks that there is somebody to send to, and sends.
func (n *Notifier) send(message string, fds ...int) error {
	if !n.Enabled() {
		return n.socketErr()
	}
	if err := sendDatagram(n.socket, message, fds); err != nil {
		key, _, _ := strings.Cut(message, "=")
		return fmt.Errorf("systemd: notify %s: %w", key, err)
	}
	return nil
}

// socketErr is what keeps every message from being sent, nil when there is no
// manager.
func (n *Notifier) socketErr() error {
	if n == nil || n.socket != "" {
		return nil
	}
	return n.err
}
