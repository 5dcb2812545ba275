//go:build unix

package tree

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func link(t testing.TB, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestScanFollowsLinksInside(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"lib/a.js": "a", "..rev1/theseus.yaml": "app: x", "..rev1/handlers/h.js": "h"})
	link(t, "..rev1", filepath.Join(dir, "..data"))
	link(t, "..data/theseus.yaml", filepath.Join(dir, "theseus.yaml"))
	link(t, "..data/handlers", filepath.Join(dir, "handlers"))
	link(t, filepath.Join(dir, "lib/a.js"), filepath.Join(dir, "absolute.js"))
	link(t, "../"+filepath.Base(dir)+"/lib/a.js", filepath.Join(dir, "out-and-in.js"))
	link(t, "../lib/../absolute.js", filepath.Join(dir, "lib/chain.js"))
	_, err := Scan(dir, nil, Options{})
	wantProblem(t, err, "out-and-in.js", "leads outside the app")
	if err := os.Remove(filepath.Join(dir, "out-and-in.js")); err != nil {
		t.Fatal(err)
	}
	want := Of(map[string]string{"lib/a.js": "a", "theseus.yaml": "app: x", "handlers/h.js": "h", "absolute.js": "a", "lib/chain.js": "a"})
	if got := scan(t, dir, nil); got.Digest() != want.Digest() {
		t.Errorf("Scan found %s, want %s", paths(got), paths(want))
	}
	through := filepath.Join(t.TempDir(), "app")
	link(t, dir, through)
	if got := scan(t, through, nil); got.Digest() != want.Digest() {
		t.Errorf("Scan through a link found %s, want %s", paths(got), paths(want))
	}
}

func TestScanRefusesBadLinks(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret": "s"})
	dir := t.TempDir()
	write(t, dir, map[string]string{"a/b/c.js": ""})
	link(t, filepath.Join(outside, "secret"), filepath.Join(dir, "abs"))
	link(t, "../../../../../../../../etc/passwd", filepath.Join(dir, "a/up"))
	link(t, outside, filepath.Join(dir, "folder"))
	link(t, "loop2", filepath.Join(dir, "loop1"))
	link(t, "loop1", filepath.Join(dir, "loop2"))
	link(t, "gone", filepath.Join(dir, "dangling"))
	link(t, "..", filepath.Join(dir, "a/b/parent"))
	link(t, ".", filepath.Join(dir, "self"))
	link(t, "/dev/zero", filepath.Join(dir, "zero"))
	within(t, func() {
		_, err := Scan(dir, nil, Options{})
		wantProblem(t, err, "abs", "leads outside the app")
		wantProblem(t, err, "a/up", "leads outside the app")
		wantProblem(t, err, "folder", "leads outside the app")
		wantProblem(t, err, "loop1", "leads to itself")
		wantProblem(t, err, "dangling", "does not exist")
		wantProblem(t, err, "a/b/parent", "folder that it lies in")
		wantProblem(t, err, "self", "folder that it lies in")
		wantProblem(t, err, "zero", "leads outside the app")
	})
}

// Folders that link to each other would otherwise have 2^32 paths.
func TestScanOfManyLinkedFoldersEnds(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		write(t, dir, map[string]string{fmt.Sprintf("d%d/f", i): ""})
		link(t, fmt.Sprintf("../d%d", i+1), filepath.Join(dir, fmt.Sprintf("d%d/l", i)))
		link(t, fmt.Sprintf("../d%d", i+1), filepath.Join(dir, fmt.Sprintf("d%d/m", i)))
	}
	write(t, dir, map[string]string{"d40/f": ""})
	within(t, func() {
		if _, err := Scan(dir, nil, Options{}); err == nil {
			t.Error("Scan succeeded")
		}
	})
}

func TestScanOfPipesAndSockets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.js": ""})
	l, err := net.Listen("unix", filepath.Join(dir, "app.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := paths(scan(t, dir, nil)); got != "a.js" {
		t.Errorf("Scan found %q, want a.js without the socket", got)
	}
	fifo := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, func() {
		_, err := Scan(dir, nil, Options{})
		wantProblem(t, err, "pipe", "is a named pipe")
		_, err = Scan(fifo, nil, Options{})
		wantProblem(t, err, fifo, "is a named pipe")
	})
	// A pipe that takes a file's place after it was looked at must not block.
	within(t, func() {
		info, err := os.Lstat(filepath.Join(dir, "a.js"))
		if err != nil {
			t.Error(err)
		}
		s := &scanner{opt: Options{}.withDefaults(), stamps: map[string]stamp{}}
		if s.root, err = os.OpenRoot(dir); err != nil {
			t.Error(err)
			return
		}
		defer s.root.Close()
		s.file("a.js", "pipe", info)
		if s.moved == "" {
			t.Error("the scan did not notice the pipe")
		}
	})
}

func TestScanOfUnreadable(t *testing.T) {
	if os.Geteuid() == 0 { // root may read everything: only the message can be tested
		var s scanner
		s.unreadable("a.js", &os.PathError{Op: "openat", Path: "a.js", Err: syscall.EACCES})
		wantProblem(t, s.problems[0], "a.js", "permission denied")
		return
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.js": "", "d/b.js": ""})
	for _, p := range []string{"a.js", "d"} {
		if err := os.Chmod(filepath.Join(dir, p), 0); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(filepath.Join(dir, "d"), 0o755)
	_, err := Scan(dir, nil, Options{})
	wantProblem(t, err, "a.js", "permission denied")
	wantProblem(t, err, "d", "permission denied")
}

// As a kubelet does, ..data is replaced by rename and the old revision removed,
// over and over, each time once a scan has succeeded since. Every scan must see one
// revision, never a mix or an error.
func TestScanDuringConfigMapSwaps(t *testing.T) {
	dir := t.TempDir()
	const files = 30
	revision := func(n int) string {
		name := fmt.Sprintf("..rev%d", n)
		content := map[string]string{}
		for i := range files {
			content[fmt.Sprintf("%s/f%d", name, i)] = fmt.Sprint(n)
		}
		write(t, dir, content)
		link(t, name, filepath.Join(dir, "..tmp"))
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	last := revision(0)
	for i := range files {
		link(t, fmt.Sprintf("..data/f%d", i), filepath.Join(dir, fmt.Sprintf("f%d", i)))
	}
	stop := make(chan struct{})
	scanned := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(scanned)
		var prev *Tree
		seen := map[string]bool{}
		for {
			select {
			case <-stop:
				t.Logf("%d revisions seen", len(seen))
				return
			default:
			}
			tr, err := Scan(dir, prev, Options{})
			if err != nil {
				t.Errorf("Scan during a swap: %v", err)
				return
			}
			if tr.Len() != files {
				t.Errorf("%d files, want %d", tr.Len(), files)
				return
			}
			for _, f := range tr.Files() {
				if string(f.Data) != string(tr.files[0].Data) {
					t.Errorf("a mix of revisions %s and %s", f.Data, tr.files[0].Data)
					return
				}
			}
			seen[tr.Digest()] = true
			prev = tr
			select {
			case scanned <- struct{}{}:
			default:
			}
		}
	})
	for n := 1; n <= 40; n++ {
		now := revision(n)
		if err := os.RemoveAll(last); err != nil {
			t.Error(err)
		}
		last = now
		<-scanned
	}
	close(stop)
	wg.Wait()
}
