//go:build unix

package pidfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// pathVariable tells a child which file to write.
const pathVariable = "PIDFILE_TEST_PATH"

// child starts this binary in a role and waits for it.
func child(role, path string, attr *syscall.SysProcAttr, variables ...string) (*exec.Cmd, string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path), variables...)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	return cmd, string(out), err
}

// killed writes pid 2 and dies before the step that KILL names.
func killed() error {
	w := &writer{fault: func(op string, done bool) error {
		if op == os.Getenv("KILL") && !done {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	return w.write(os.Getenv(pathVariable), 2)
}

func TestKilled(t *testing.T) {
	t.Parallel()
	for _, op := range steps {
		dir := t.TempDir()
		path := filepath.Join(dir, "app.pid")
		if err := Write(path, 1); err != nil {
			t.Fatal(err)
		}
		cmd, out, _ := child("killed", path, nil, "KILL="+op)
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: child was not killed: %v\n%s", op, cmd.ProcessState, out)
		}
		want := 1
		if op == "syncdir" {
			want = 2
		}
		if pid, err := Read(path); pid != want || err != nil {
			t.Errorf("%s: file holds %d, %v, want %d", op, pid, err, want)
		}
		if err := Write(path, 3); err != nil {
			t.Errorf("%s: write after the crash: %v", op, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name := e.Name(); name != "app.pid" && (!strings.HasPrefix(name, ".app.pid-") || !strings.HasSuffix(name, ".tmp")) {
				t.Errorf("%s: left %s behind", op, name)
			}
		}
	}
}

// unwritable tries to write as a user without rights.
func unwritable() error {
	if os.Getuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	if err := Write(os.Getenv(pathVariable), 2); !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("Write() = %v, want fs.ErrPermission", err)
	}
	return nil
}

func TestUnwritableDirectory(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "pid")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Chmod(dir, 0o700)
		os.RemoveAll(dir)
	})
	path := filepath.Join(dir, "app.pid")
	if err := Write(path, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if _, out, err := child("unwritable", path, nil); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if pid, err := Read(path); pid != 1 || err != nil {
		t.Errorf("file holds %d, %v, want 1", pid, err)
	}
	wantAlone(t, dir, "app.pid")
}

// A pipe without a writer would make open wait for ever.
func TestNamedPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.pid")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, 1); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Write() = %v, want ErrNotRegular", err)
	}
	if pid, err := Read(path); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Read() = %d, %v, want ErrNotRegular", pid, err)
	}
}

// What a path leads to may change after it was looked at.
func TestOpenRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "app.pid"), 1); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("app.pid", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{pipe: ErrNotRegular, dir: ErrNotRegular, link: syscall.ELOOP} {
		if f, err := openRegular(path); f != nil || !errors.Is(err, want) {
			t.Errorf("openRegular(%s) = %v, %v, want %v", path, f, err, want)
		}
	}
}

func TestSyncDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syncDir(dir); err != nil {
		t.Errorf("syncDir() = %v, want nil", err)
	}
	if err := syncDir(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("syncDir(missing) = %v, want fs.ErrNotExist", err)
	}
}
