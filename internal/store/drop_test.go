package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/tree"
)

// A commit whose fsync failed may be in the journal all the same. The generation is
// dropped then, and whoever opens the store next finds it whole or not at all.
func TestDropAfterFailedCommit(t *testing.T) {
	for _, heals := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), ".theseus")
		s := open(t, dir, Options{})
		save(t, s, app(2))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		root, err := disk.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		var broken atomic.Bool
		s = open(t, dir, Options{FS: disk.Points(root, func(op disk.Op) error {
			if broken.Load() && op.Kind == disk.Sync && !strings.Contains(op.Name, "objects/") {
				return errors.New("input/output error")
			}
			return nil
		})})
		large := tree.Of(map[string]string{"theseus.yaml": "app: x\n", "handlers/a.js": strings.Repeat("x", inlineFile+1)})
		broken.Store(true)
		if err := apply(s, s.Next(), large); err == nil {
			t.Fatal("a commit without an fsync")
		}
		broken.Store(!heals)
		if heals {
			_ = swap(s, 1, app(2).Digest())
		}
		_ = s.Close()
		s = open(t, dir, Options{})
		if h := s.Check(true); !h.OK {
			t.Errorf("heals %v: %+v", heals, h.Findings)
		}
	}
}

// What only tells people, and cannot be written, is in nobody's way.
func TestPointersAreInNobodysWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{})
	save(t, s, app(2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"current", "permanent", ".gitignore"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, Options{JournalLimit: 1})
	n := save(t, s, app(3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if !s.Recovered().Clean {
		t.Error("the end was not noted")
	}
	wantCurrent(t, s, n, app(3))
}

// Leave is a clean end, after which another process may write.
func TestLeave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	a := open(t, dir, Options{})
	save(t, a, app(2))
	for range 2 {
		if err := a.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, dir, Options{})
	if !b.Recovered().Clean {
		t.Error("the end was not noted")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
