package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/internal/tree"
)

// small mounts a file system of its own with room for size bytes.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount: %v: this test needs to be root", err)
		}
		t.Skipf("mount: %v: this test needs to be root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := filepath.Join(small(t, "1m"), ".theseus")
	s := open(t, dir, Options{})
	a := app(5)
	save(t, s, a)
	before := found(t, dir)
	noise := func(seed string, n int) string { return strings.Repeat(seed+"\n", n/(len(seed)+1)) }
	large := tree.Of(map[string]string{"a": noise("a", 400<<10), "b": noise("b", 400<<10), "c": noise("c", 400<<10)})
	err := apply(s, 2, large)
	if e := (*Error)(nil); !errors.As(err, &e) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(e.Hint, "free space") {
		t.Fatalf("Save = %v, want an Error about the full disk with a hint", err)
	}
	if after := found(t, dir); len(after) != len(before) {
		t.Errorf("the failed Save left %v", after)
	}
	wantCurrent(t, s, 1, a)

	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "fill"), make([]byte, 2<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := apply(s, 2, app(5, "x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Save on the full disk = %v, want ENOSPC", err)
	}
	if err := s.Append("runs", strings.Repeat("x", 64<<10)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append on the full disk = %v, want ENOSPC", err)
	}
	wantCurrent(t, s, 1, a)
	if err := os.Remove(filepath.Join(filepath.Dir(dir), "fill")); err != nil {
		t.Fatal(err)
	}
	if err := s.Append("runs", 7); err != nil {
		t.Fatal(err)
	}
	if got := tail(t, s, 5); len(got) != 2 || got[1] != "7" {
		t.Errorf("the log holds %d entries, want the one that waited and the 7", len(got))
	}
	wantCurrent(t, s, save(t, s, app(5, "x")), app(5, "x"))
}

func TestUnwritable(t *testing.T) {
	dir := small(t, "1m")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(dir, ".theseus"), Options{})
	if e := (*Error)(nil); !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), ".theseus") {
		t.Errorf("Open = %v, want an Error with a hint", err)
	}
}
