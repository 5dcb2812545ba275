package simdisk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
)

// class is what two file systems must agree on about an error.
func class(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, fs.ErrNotExist):
		return "none"
	case errors.Is(err, fs.ErrExist):
		return "exists"
	case errors.Is(err, fs.ErrClosed):
		return "closed"
	}
	return "refused"
}

// A player does a sequence of operations and writes down what it sees.
type player struct {
	fs    disk.FS
	files []disk.File
	log   []string
}

func (p *player) note(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

func (p *player) play(r *rand.Rand, steps int) {
	names := []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "a/x", "e"}
	name := func() string { return names[r.IntN(len(names))] }
	flags := []int{os.O_RDWR | os.O_CREATE, os.O_RDWR, os.O_RDONLY, os.O_WRONLY | os.O_CREATE | os.O_TRUNC,
		os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_RDWR | os.O_CREATE | os.O_APPEND, os.O_WRONLY}
	for range steps {
		switch r.IntN(11) {
		case 0, 1:
			n, flag := name(), flags[r.IntN(len(flags))]
			f, err := p.fs.OpenFile(n, flag, 0o644)
			p.note("open %s %x: %s", n, flag, class(err))
			if err == nil {
				if p.files = append(p.files, f); len(p.files) > 4 {
					p.note("close: %s, %s", class(p.files[0].Close()), class(p.files[0].Close()))
					p.files = p.files[1:]
				}
			}
		case 2:
			n := name()
			p.note("mkdir %s: %s", n, class(p.fs.Mkdir(n, 0o755)))
		case 3:
			a, b := name(), name()
			p.note("rename %s %s: %s", a, b, class(p.fs.Rename(a, b)))
		case 4:
			n := name()
			p.note("remove %s: %s", n, class(p.fs.Remove(n)))
		case 5:
			a, b := name(), name()
			p.note("link %s %s: %s", a, b, class(p.fs.Link(a, b)))
		case 6:
			n := name()
			p.note("syncdir %s: %s", n, class(p.fs.SyncDir(n)))
		default:
			if len(p.files) > 0 {
				p.use(r, p.files[r.IntN(len(p.files))])
			}
		}
	}
	p.tree(".")
	for _, f := range p.files {
		p.note("close: %s", class(f.Close()))
	}
}

// use does one operation on an open file.
func (p *player) use(r *rand.Rand, f disk.File) {
	buf := make([]byte, r.IntN(700))
	at := int64(r.IntN(900))
	switch r.IntN(8) {
	case 0:
		n, err := f.Read(buf)
		p.note("read %d: %d %s %x", len(buf), n, class(err), buf)
	case 1:
		n, err := f.ReadAt(buf, at)
		p.note("read %d at %d: %d %s %x", len(buf), at, n, class(err), buf)
	case 2, 3:
		for i := range buf {
			buf[i] = byte(r.IntN(256))
		}
		n, err := f.Write(buf)
		p.note("write %d: %d %s", len(buf), n, class(err))
	case 4:
		n, err := f.WriteAt([]byte("at an offset"), at-1)
		p.note("write at %d: %d %s", at-1, n, class(err))
	case 5:
		p.note("truncate %d: %s", at-1, class(f.Truncate(at-1)))
	case 6:
		p.note("sync: %s", class(f.Sync()))
	case 7:
		info, err := f.Stat()
		if p.note("stat: %s", class(err)); err == nil {
			p.note("size %d", info.Size())
		}
	}
}

// tree writes down all that is there.
func (p *player) tree(dir string) {
	list, err := p.fs.ReadDir(dir)
	p.note("list %s: %s", dir, class(err))
	for _, e := range list {
		name := path.Join(dir, e.Name())
		info, err := p.fs.Lstat(name)
		if err != nil {
			p.note("stat %s: %s", name, class(err))
			continue
		}
		p.note("%s %v %v", name, info.Mode(), e.IsDir())
		if e.IsDir() {
			p.tree(name)
			continue
		}
		data, err := disk.ReadFile(p.fs, name, 1<<20)
		p.note("content %x %s", data, class(err))
	}
}

// The same operations on a real folder and on a disk here have the same results.
func TestAsTheRealOne(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("open files can neither be renamed over nor removed there")
	}
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for seed := range uint64(rounds) {
		real, err := disk.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		a := player{fs: real}
		a.play(rand.New(rand.NewPCG(seed, 1)), 120)
		model := []Model{Strict, Ordered}[seed%2]
		b := player{fs: New(model).Process()}
		b.play(rand.New(rand.NewPCG(seed, 1)), 120)
		for i := range min(len(a.log), len(b.log)) {
			if a.log[i] != b.log[i] {
				t.Fatalf("seed %d, step %d: the real one says\n%s\nand %s\n%s\nafter\n%s", seed, i, a.log[i], model, b.log[i], strings.Join(a.log[max(0, i-12):i], "\n"))
			}
		}
		if err := real.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A power loss right after everything was synced changes nothing, whatever went
// before.
func TestSyncedStays(t *testing.T) {
	for seed := range uint64(100) {
		d := New([]Model{Strict, Ordered}[seed%2])
		p := player{fs: d.Process()}
		p.play(rand.New(rand.NewPCG(seed, 2)), 150)
		syncAll(t, d.Process(), ".")
		var before, after player
		before.fs = d.Process()
		before.tree(".")
		states, exhaustive := d.States(10)
		count := 0
		for c := range states {
			count++
			after = player{fs: c.Process()}
			after.tree(".")
			if got, want := strings.Join(after.log, "\n"), strings.Join(before.log, "\n"); got != want {
				t.Fatalf("seed %d: after a power loss\n%s\nwant\n%s", seed, got, want)
			}
		}
		if count != 1 || !exhaustive {
			t.Errorf("seed %d: %d states of a disk without anything in doubt", seed, count)
		}
	}
}

func syncAll(t *testing.T, f disk.FS, dir string) {
	t.Helper()
	list, err := f.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			syncAll(t, f, name)
			continue
		}
		file, err := f.OpenFile(name, os.O_RDWR, 0)
		if err == nil {
			err = errors.Join(file.Sync(), file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
}
