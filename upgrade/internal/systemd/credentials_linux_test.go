package systemd

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// The manager sees which process spoke, also when that one has ended.
func TestCredentials(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	m := listen(t, path)
	raw, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	if err != nil || set != nil {
		t.Fatal(err, set)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=ready", "NOTIFY_SOCKET="+path)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	text, control := m.receive(t)
	if text != "READY=1" || len(control) != 1 {
		t.Fatalf("received %q with %d control messages, want READY=1 with 1", text, len(control))
	}
	cred, err := unix.ParseUnixCredentials(&control[0])
	if err != nil {
		t.Fatal(err)
	}
	if int(cred.Pid) != cmd.Process.Pid || int(cred.Uid) != os.Getuid() || int(cred.Gid) != os.Getgid() {
		t.Errorf("credentials %+v, want pid %d, uid %d, gid %d", *cred, cmd.Process.Pid, os.Getuid(), os.Getgid())
	}
}
