package simdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, f disk.FS, name, data string) disk.File {
	t.Helper()
	file, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	_, err = file.Write([]byte(data))
	must(t, err)
	return file
}

// look describes the files of the top folder: "a=1 b=22".
func look(f disk.FS) string {
	list, _ := f.ReadDir(".")
	var out []string
	for _, e := range list {
		data, err := disk.ReadFile(f, e.Name(), 1<<20)
		text := string(data)
		if err != nil {
			text = "(" + class(err) + ")"
		}
		out = append(out, e.Name()+"="+strings.ReplaceAll(text, "\x00", "0"))
	}
	return strings.Join(out, " ")
}

// found returns what may be found after a crash.
func found(t *testing.T, d *Disk) []string {
	t.Helper()
	states, exhaustive := d.States(10_000)
	if !exhaustive {
		t.Fatal("there are too many states")
	}
	all := map[string]bool{}
	for c := range states {
		all[look(c.Process())] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// What each model allows after a few operations.
func TestWhatACrashLeaves(t *testing.T) {
	for _, c := range []struct {
		name            string
		do              func(t *testing.T, p *Process)
		strict, ordered string
	}{
		{"a new file", func(t *testing.T, p *Process) { create(t, p, "a", "xy") },
			", a=, a=00, a=x, a=x0, a=xy", ""},
		{"a synced file", func(t *testing.T, p *Process) { must(t, create(t, p, "a", "xy").Sync()) },
			", a=xy", "a=xy"},
		{"a synced file and folder", func(t *testing.T, p *Process) {
			must(t, create(t, p, "a", "xy").Sync())
			must(t, p.SyncDir("."))
		}, "a=xy", ""},
		{"a rename", func(t *testing.T, p *Process) {
			must(t, create(t, p, "a", "1").Sync())
			must(t, create(t, p, "b", "2").Sync())
			must(t, p.SyncDir("."))
			must(t, p.Rename("b", "a"))
		}, "a=1, a=1 b=2, a=2, a=2 b=2", "a=1 b=2, a=2"},
		{"a rename without a sync before", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("1"), 0o644))
			must(t, disk.WriteFileLazy(p, "a", []byte("2"), 0o644))
			must(t, p.SyncDir("."))
		}, "a=, a=0, a=2", ""},
		{"a removal", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("1"), 0o644))
			must(t, p.Remove("a"))
		}, ", a=1", ""},
		{"two removals", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("1"), 0o644))
			must(t, disk.ReplaceFile(p, "b", []byte("2"), 0o644))
			must(t, p.Remove("a"))
			must(t, p.Remove("b"))
		}, ", a=1, a=1 b=2, b=2", ", a=1 b=2, b=2"},
		{"a second name", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("1"), 0o644))
			must(t, p.Link("a", "b"))
		}, "a=1, a=1 b=1", ""},
		{"two appends", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("-"), 0o644))
			f, err := p.OpenFile("a", os.O_RDWR|os.O_APPEND, 0)
			must(t, err)
			_, err = f.Write([]byte("1"))
			must(t, err)
			_, err = f.Write([]byte("2"))
			must(t, err)
		}, "a=-, a=-0, a=-02, a=-1, a=-10, a=-12", ""},
		{"a truncation", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("12"), 0o644))
			f, err := p.OpenFile("a", os.O_RDWR, 0)
			must(t, err)
			must(t, f.Truncate(1))
		}, "a=1, a=12", ""},
		{"a sync that fails, and one that does not", func(t *testing.T, p *Process) {
			must(t, disk.ReplaceFile(p, "a", []byte("-"), 0o644))
			f, err := p.OpenFile("a", os.O_RDWR|os.O_APPEND, 0)
			must(t, err)
			_, err = f.Write([]byte("1"))
			must(t, err)
			p.d.FailSync(1)
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			_, err = f.Write([]byte("2"))
			must(t, err)
			must(t, f.Sync())
			if got := look(p); got != "a=-12" {
				t.Fatal(got)
			}
		}, "a=-02, a=-12", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.ordered == "" && c.name != "a new file" {
				c.ordered = c.strict
			}
			for model, want := range map[Model]string{Strict: c.strict, Ordered: c.ordered} {
				if c.name == "a new file" {
					want = c.strict
				}
				d := New(model)
				c.do(t, d.Process())
				if got := strings.Join(found(t, d), ", "); got != want {
					t.Errorf("%s: %s\nwant %s", model, got, want)
				}
			}
		})
	}
}

// A folder sync that failed is not made good by one that succeeds.
func TestLostNames(t *testing.T) {
	d := New(Strict)
	p := d.Process()
	must(t, create(t, p, "a", "1").Sync())
	d.FailSync(1)
	if err := p.SyncDir("."); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	must(t, p.SyncDir("."))
	if got := fmt.Sprint(found(t, d)); got != "[ a=1]" {
		t.Errorf("found %s", got)
	}
	must(t, disk.ReplaceFile(p, "a", []byte("2"), 0o644))
	if got := fmt.Sprint(found(t, d)); got != "[a=2]" {
		t.Errorf("after it was written anew: %s", got)
	}
}

func TestKill(t *testing.T) {
	d := New(Strict)
	p, q := d.Process(), d.Process()
	f := create(t, p, "a", "1")
	release, ok, err := p.Lock("lock")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := q.Lock("lock"); ok || err != nil {
		t.Fatalf("two have the lock: %v", err)
	}
	if disk.Holder(q, "lock") != os.Getpid() {
		t.Error("the lock does not tell whose it is")
	}
	p.Kill()
	if _, err := f.Write([]byte("2")); err == nil || release.Close() == nil {
		t.Error("a dead process writes")
	}
	if got := look(q); !strings.HasPrefix(got, "a=1 ") {
		t.Errorf("after the kill: %s", got)
	}
	release, ok, err = q.Lock("lock")
	if !ok || err != nil {
		t.Fatalf("the lock of a dead process: %v, %v", ok, err)
	}
	must(t, release.Close())
	if disk.Holder(q, "lock") != 0 {
		t.Error("the lock was given back and still has an owner")
	}
}

func TestFaults(t *testing.T) {
	d := New(Strict)
	p := d.Process()
	f := create(t, p, "a", "12345")
	d.SetSpace(8)
	if n, err := f.Write([]byte("67890")); n != 3 || !disk.IsFull(err) {
		t.Errorf("a write on a full disk: %d, %v", n, err)
	}
	if _, err := p.OpenFile("b", os.O_CREATE|os.O_RDWR, 0o644); !disk.IsFull(err) {
		t.Errorf("a new file on a full disk: %v", err)
	}
	if err := disk.ReplaceFile(p, "a", []byte("x"), 0o644); !disk.IsFull(err) {
		t.Errorf("ReplaceFile on a full disk: %v", err)
	}
	d.SetSpace(-1)
	d.SetReadOnly(true)
	if _, err := f.Write([]byte("x")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only: %v", err)
	}
	d.SetReadOnly(false)
	d.SetDenied(true)
	if err := p.Remove("a"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("denied: %v", err)
	}
	_, err := f.Write([]byte("9"))
	must(t, err)
	d.SetDenied(false)
	must(t, d.Flip("a", 8*8))
	if got := look(p); got != "a=123456788" {
		t.Errorf("content %s", got)
	}
}

// Seeds give states that the exhaustive list has, and the same each time.
func TestSeeds(t *testing.T) {
	for _, model := range []Model{Strict, Ordered} {
		d := New(model)
		p := d.Process()
		create(t, p, "a", "1")
		create(t, p, "b", "2")
		must(t, p.Rename("a", "c"))
		all := found(t, d)
		for seed := range uint64(200) {
			got := look(d.Crash(seed).Process())
			if again := look(d.Crash(seed).Process()); got != again {
				t.Fatalf("seed %d: %s, then %s", seed, got, again)
			}
			if !slices.Contains(all, got) {
				t.Errorf("%s, seed %d: %q is not among %q", model, seed, got, all)
			}
		}
		if got := look(d.Crash(1).Process()); got != "b=2 c=1" {
			t.Errorf("seed 1: %s", got)
		}
		if _, exhaustive := d.States(3); exhaustive {
			t.Error("more states than the limit are called all")
		}
	}
}

func TestConcurrent(t *testing.T) {
	d := New(Ordered)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			p := d.Process()
			for n := range 50 {
				if err := disk.ReplaceFile(p, fmt.Sprint("f", i), fmt.Append(nil, n), 0o644); err != nil {
					t.Error(err)
				}
				d.Crash(uint64(n))
			}
			p.Kill()
		})
	}
	wg.Wait()
	if got := look(d.Crash(0).Process()); got != "f0=49 f1=49 f2=49 f3=49" {
		t.Error(got)
	}
}
