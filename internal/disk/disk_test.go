package disk_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *disk.Root {
	t.Helper()
	r, err := disk.Open(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(r.Close(), r.Close())) })
	return r
}

// both are the real file system and the simulated one.
func both(t *testing.T) map[string]disk.FS {
	return map[string]disk.FS{"real": open(t), "sim": simdisk.New(simdisk.Strict).Process()}
}

func read(t *testing.T, f disk.FS, name string) string {
	t.Helper()
	data, err := disk.ReadFile(f, name, 1<<20)
	must(t, err)
	return string(data)
}

func names(t *testing.T, f disk.FS, dir string) string {
	t.Helper()
	list, err := f.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, file + "x"} {
		if e := (*disk.Error)(nil); true {
			if _, err := disk.Open(dir); !errors.As(err, &e) || e.Op != "open" || e.Path != dir {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
}

// No operation takes a name that leaves the folder.
func TestNames(t *testing.T) {
	for which, f := range both(t) {
		must(t, disk.ReplaceFile(f, "a", []byte("1"), 0o600))
		for _, name := range []string{"", "/", "/a", "..", "../a", "d/../a", "./a", "a/", "d//a"} {
			_, open := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
			_, list := f.ReadDir(name)
			_, stat := f.Lstat(name)
			_, _, lock := f.Lock(name)
			for op, err := range map[string]error{"open": open, "list": list, "stat": stat, "lock": lock, "mkdir": f.Mkdir(name, 0o700),
				"rename from": f.Rename(name, "b"), "rename to": f.Rename("a", name), "remove": f.Remove(name), "link from": f.Link(name, "b"),
				"link to": f.Link("a", name), "sync": f.SyncDir(name), "replace": disk.ReplaceFile(f, name, nil, 0o600)} {
				if !errors.Is(err, fs.ErrInvalid) {
					t.Errorf("%s: %s %q: %v", which, op, name, err)
				}
			}
		}
		if got := names(t, f, "."); got != "a" {
			t.Errorf("%s: it has %s", which, got)
		}
	}
}

func TestNotAFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a right there")
	}
	r := open(t)
	at := func(name string) string { return filepath.Join(r.Dir(), name) }
	must(t, os.Mkdir(at("folder"), 0o700))
	must(t, os.WriteFile(at("file"), []byte("old"), 0o600))
	must(t, os.Symlink("file", at("link")))
	must(t, os.Symlink("nothing", at("dangling")))
	must(t, os.Symlink("/etc", at("outside")))
	must(t, mkfifo(at("pipe")))
	for name, says := range map[string]string{"folder": "folder", "link": "symbolic link", "dangling": "symbolic link", "pipe": "pipe"} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREATE | os.O_TRUNC, os.O_RDWR | os.O_CREATE | os.O_APPEND} {
			_, err := r.OpenFile(name, flag, 0o600)
			if e := (*disk.Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), says) || e.Hint == "" {
				t.Errorf("open %s with %x: %v", name, flag, err)
			}
		}
		if _, err := r.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create %s: %v", name, err)
		}
		for op, err := range map[string]error{"replace": disk.ReplaceFile(r, name, nil, 0o600), "lazy": disk.WriteFileLazy(r, name, nil, 0o600)} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s %s: %v", op, name, err)
			}
		}
		if _, _, err := r.Lock(name); err == nil {
			t.Errorf("lock %s: no error", name)
		}
	}
	if _, err := r.OpenFile("outside/hostname", os.O_RDONLY, 0); err == nil {
		t.Error("a link led out of the folder")
	}
	for _, name := range []string{"file", "pipe"} {
		if _, err := r.ReadDir(name); err == nil {
			t.Errorf("list %s: no error", name)
		}
		if err := r.SyncDir(name); err == nil {
			t.Errorf("sync folder %s: no error", name)
		}
	}
	if err := r.Link("folder", "second"); err == nil {
		t.Error("a folder has a second name")
	}
	if _, err := disk.EnsureDir(r, "file", 0o700); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("EnsureDir on a file: %v", err)
	}
	if got := read(t, r, "file") + names(t, r, "."); got != "olddangling file folder link outside pipe" {
		t.Errorf("in the end %s", got)
	}
}

func TestReplaceFile(t *testing.T) {
	for which, f := range both(t) {
		must(t, disk.ReplaceFile(f, "a", []byte("1"), 0o640))
		must(t, disk.ReplaceFile(f, "a", []byte("22"), 0o600))
		made, err := disk.EnsureDir(f, "d", 0o700)
		again, err2 := disk.EnsureDir(f, "d", 0o700)
		if must(t, errors.Join(err, err2)); !made || again {
			t.Errorf("%s: EnsureDir = %v, then %v", which, made, again)
		}
		must(t, disk.WriteFileLazy(f, "d/b", []byte("3"), 0o600))
		temp, err := f.OpenFile("d/b.tmp-0", os.O_CREATE|os.O_WRONLY, 0o600) // a crash has left it
		must(t, err)
		must(t, temp.Close())
		must(t, disk.ReplaceFile(f, "d/b", []byte("4"), 0o600))
		if got := read(t, f, "a") + read(t, f, "d/b") + " " + names(t, f, "d"); got != "224 b b.tmp-0" {
			t.Errorf("%s: %s", which, got)
		}
		must(t, disk.RemoveTemps(f, "d"))
		if got := names(t, f, ".") + " " + names(t, f, "d"); got != "a d b" {
			t.Errorf("%s: left %s", which, got)
		}
		if _, err := disk.ReadFile(f, "a", 1); !errors.Is(err, disk.ErrTooLarge) {
			t.Errorf("%s: over the limit: %v", which, err)
		}
		if _, err := disk.ReadFile(f, "x", 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: no file: %v", which, err)
		}
	}
}

// Whoever replaces one file at the same time, one of the contents is there whole.
func TestReplaceTogether(t *testing.T) {
	for which, f := range both(t) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := disk.ReplaceFile(f, "a", []byte(strings.Repeat(fmt.Sprint(i), 5000)), 0o600); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := read(t, f, "a")
		if got != strings.Repeat(got[:1], 5000) || names(t, f, ".") != "a" {
			t.Errorf("%s: %d bytes, %.20s; %s", which, len(got), got, names(t, f, "."))
		}
	}
}

// Each step of ReplaceFile fails, or is the last of the process, or of the power.
func TestReplaceCrash(t *testing.T) {
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		cases := 0
		for at := 1; ; at++ {
			done := false
			for _, phase := range []disk.Phase{disk.Before, disk.After} {
				for _, kill := range []bool{true, false} {
					d := simdisk.New(model)
					must(t, disk.ReplaceFile(d.Process(), "a", []byte("old"), 0o600))
					var p *disk.Pointed
					hit := ""
					p = disk.Points(d.Process(), func(op disk.Op) error {
						if op.Index != at || op.Phase != phase {
							return nil
						}
						if hit = fmt.Sprint(model, " ", op); kill {
							p.Kill()
						}
						return disk.ErrInjected
					})
					var err error
					died := p.Survive(func() { err = disk.ReplaceFile(p, "a", []byte("new"), 0o600) })
					if done = hit == ""; done {
						must(t, err)
						break
					}
					if died != kill || !kill && !errors.Is(err, disk.ErrInjected) {
						t.Errorf("%s: died %v, %v", hit, died, err)
					}
					now := read(t, d.Process(), "a")
					switch renamed := strings.HasSuffix(hit, "syncdir . before}") || strings.HasSuffix(hit, "syncdir . after}"); {
					case now != "old" && now != "new":
						t.Errorf("%s: it has %q", hit, now)
					case err != nil && errors.Is(err, disk.ErrUncertain) != renamed:
						t.Errorf("%s: %v", hit, err)
					}
					if !kill && strings.Contains(names(t, d.Process(), "."), "tmp") && !strings.Contains(hit, "create") {
						t.Errorf("%s: left %s", hit, names(t, d.Process(), "."))
					}
					states, exhaustive := d.States(1000)
					for c := range states {
						cases++
						if got := read(t, c.Process(), "a"); got != "old" && got != "new" {
							t.Errorf("%s: after a loss of power %q", hit, got)
						}
					}
					if !exhaustive {
						t.Error("not all states were seen")
					}
				}
			}
			if done {
				t.Logf("%s: %d points, %d cases", model, at-1, cases)
				break
			}
		}
	}
}

func TestLock(t *testing.T) {
	for which, f := range both(t) {
		release, ok, err := f.Lock("lock")
		if must(t, err); !ok || disk.Holder(f, "lock") != os.Getpid() {
			t.Fatalf("%s: lock: %v, holder %d", which, ok, disk.Holder(f, "lock"))
		}
		if second, ok, err := f.Lock("lock"); ok || second != nil || err != nil {
			t.Errorf("%s: locked twice: %v", which, err)
		}
		must(t, errors.Join(release.Close(), release.Close()))
		if disk.Holder(f, "lock") != 0 || disk.Holder(f, "nothing") != 0 {
			t.Errorf("%s: a holder of a free lock", which)
		}
		release, ok, err = f.Lock("lock")
		if must(t, err); !ok {
			t.Errorf("%s: it is not free again", which)
		}
		must(t, release.Close())
		must(t, disk.ReplaceFile(f, "lock", []byte("nonsense"), 0o600))
		if disk.Holder(f, "lock") != 0 {
			t.Errorf("%s: nonsense is a process", which)
		}
	}
}

func TestErrors(t *testing.T) {
	if disk.Failed("read", "a", nil) != nil {
		t.Error("no error became one")
	}
	for _, c := range []struct {
		err  error
		hint string
	}{
		{&fs.PathError{Op: "x", Path: "y", Err: syscall.ENOSPC}, "free space"},
		{&os.LinkError{Op: "x", Old: "y", New: "z", Err: syscall.EROFS}, "read-only"},
		{fs.ErrPermission, "right to write"}, {syscall.EIO, "failing"}, {io.ErrUnexpectedEOF, ""},
	} {
		err := disk.Failed("write", "dir/a", c.err)
		e, ok := errors.AsType[*disk.Error](err)
		if !ok || !strings.Contains(e.Hint, c.hint) || c.hint == "" && e.Hint != "" || !strings.HasPrefix(err.Error(), "write dir/a: ") || strings.Contains(err.Error(), " y") {
			t.Errorf("%v: %v, hint %q", c.err, err, e.Hint)
		}
		if again := disk.Failed("open", "b", err); again != err {
			t.Errorf("an error of the disk became another: %v", again)
		}
	}
}

func TestPoints(t *testing.T) {
	var log []string
	p := disk.Points(disk.WithoutSync(open(t)), func(op disk.Op) error {
		log = append(log, fmt.Sprintf("%d %s %s %s", op.Index, op.Phase, op.Kind, op.Name))
		return nil
	})
	must(t, p.Mkdir("d", 0o700))
	f, err := p.OpenFile("d/a", os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	_, err = f.Write([]byte("1"))
	must(t, err)
	must(t, errors.Join(f.Truncate(0), f.Sync(), p.Rename("d/a", "b"), p.Link("b", "c"), p.Remove("b"), p.SyncDir(".")))
	must(t, f.Close())
	f, err = p.OpenFile("c", os.O_RDWR, 0) // changes nothing
	must(t, err)
	must(t, f.Close())
	if err := p.Remove("nothing"); err == nil {
		t.Error("removed nothing")
	}
	want := "mkdir d,create d/a,write d/a,truncate d/a,sync d/a,rename b,link c,remove b,syncdir .,remove nothing"
	var got []string
	for i := 0; i < len(log); i++ {
		if strings.Contains(log[i], "before") {
			_, op, _ := strings.Cut(log[i], "before ")
			got = append(got, op)
		}
	}
	if strings.Join(got, ",") != want || len(log) != 2*len(got)-1 || p.Ops() != len(got) || p.Syncs() != 2 {
		t.Errorf("%q\nwant %s; %d operations, %d syncs", log, want, p.Ops(), p.Syncs())
	}
	if release, ok, err := p.Lock("lock"); !ok || err != nil || release.Close() != nil || p.Ops() != len(got) {
		t.Errorf("a lock: %v, %v, %d operations", ok, err, p.Ops())
	}
	p = disk.Points(open(t), nil)
	must(t, disk.ReplaceFile(p, "a", nil, 0o600))
	if p.Syncs() != 2 {
		t.Errorf("ReplaceFile takes %d syncs, want 2", p.Syncs())
	}
}

func TestPlaceFiles(t *testing.T) {
	var files []disk.NewFile
	for i := range 150 {
		files = append(files, disk.NewFile{Name: fmt.Sprintf("%s/f%03d", []string{"a", "b"}[i%2], i), Data: fmt.Append(nil, i), Perm: 0o444})
	}
	d := simdisk.New(simdisk.Strict)
	for which, f := range map[string]disk.FS{"real": open(t), "sim": d.Process()} {
		for _, dir := range []string{"a", "b"} {
			_, err := disk.EnsureDir(f, dir, 0o700)
			must(t, err)
		}
		p := disk.Points(f, nil)
		must(t, disk.PlaceFiles(p, files[:10]))
		if p.Syncs() != 12 {
			t.Errorf("%s: %d syncs for 10 files in 2 folders", which, p.Syncs())
		}
		must(t, disk.PlaceFiles(f, files))
		must(t, disk.PlaceFiles(f, nil))
		bad := append(files[:1:1], disk.NewFile{Name: "none/x"}, disk.NewFile{Name: "a/last"})
		if err := disk.PlaceFiles(f, bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: into no folder: %v", which, err)
		}
		if which == "sim" {
			f = d.Crash(0).Process()
		}
		if got := strings.Fields(names(t, f, "a") + " " + names(t, f, "b")); len(got) != len(files) {
			t.Errorf("%s: %d files are there: %s", which, len(got), got)
		}
		for i, file := range files {
			if got := read(t, f, file.Name); got != fmt.Sprint(i) {
				t.Errorf("%s: %s has %q", which, file.Name, got)
			}
		}
	}
}
