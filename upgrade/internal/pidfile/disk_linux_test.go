package pidfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// fullDisk mounts tiny file systems where only this process sees them: one with a
// single block, one with a single file.
func fullDisk() error {
	dir := os.Getenv(pathVariable)
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, options := range []string{"size=4k", "nr_inodes=2"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
			return fmt.Errorf("mount %s: %w", options, err)
		}
		if err := writeTwice(dir); err != nil {
			return fmt.Errorf("%s: %w", options, err)
		}
	}
	return nil
}

// writeTwice writes a file for which there is room, and another for which there
// is not as long as the first one is there.
func writeTwice(dir string) error {
	path := filepath.Join(dir, "app.pid")
	if err := Write(path, 1); err != nil {
		return err
	}
	for range 3 {
		if err := Write(path, 2); !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("Write() = %v, want ENOSPC", err)
		}
		if err := Try(path); !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("Try() = %v, want ENOSPC", err)
		}
		if pid, err := Read(path); pid != 1 || err != nil {
			return fmt.Errorf("file holds %d, %v, want 1", pid, err)
		}
		if err := alone(dir, "app.pid"); err != nil {
			return err
		}
	}
	if removed, err := Remove(path, 1); !removed || err != nil {
		return fmt.Errorf("Remove() = %v, %v on a full disk", removed, err)
	}
	if err := Write(path, 3); err != nil {
		return fmt.Errorf("Write() once there is room: %w", err)
	}
	return nil
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd, out, err := child("full", t.TempDir(), attr)
	if cmd.ProcessState == nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC)) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no mount namespace for this user: %v", err)
		}
		t.Skipf("no mount namespace for this user: %v", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
