package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

// byHand leaves syncing to the test.
var byHand = Options{SyncInterval: -1}

func mustOpen(t *testing.T, f disk.FS, opt Options) *Store {
	t.Helper()
	s, err := Open(f, "kv", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { abandon(s) })
	return s
}

// abandon stops what a store runs that will not be closed.
func abandon(s *Store) {
	s.w.Lock()
	defer s.w.Unlock()
	if !s.log.closed {
		s.log.closed = true
		close(s.log.stop)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content describes all that a store has: "a=1 b=2 |orders=3".
func content(s *Store) string {
	var b strings.Builder
	for _, k := range s.Keys("") {
		fmt.Fprintf(&b, "%s=%s ", k, get(s, k))
	}
	v := s.Versions()
	for _, name := range slices.Sorted(maps.Keys(v)) {
		fmt.Fprintf(&b, "|%s=%d", name, v[name])
	}
	return b.String()
}

func realDisk(t *testing.T) *disk.Root {
	t.Helper()
	r, err := disk.Open(t.TempDir())
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// Everything that returned is there again, however the process ended.
func TestReopen(t *testing.T) {
	sim := simdisk.New(simdisk.Strict)
	for name, next := range map[string]func(kill bool) disk.FS{
		"real": func() func(bool) disk.FS { r := realDisk(t); return func(bool) disk.FS { return r } }(),
		"sim": func() func(bool) disk.FS {
			p := sim.Process()
			return func(kill bool) disk.FS {
				if kill {
					p.Kill()
					p = sim.Process()
				}
				return p
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, next(false), Options{})
			set(t, s, "a", `{"x": 1}`)
			set(t, s, "b", "2")
			set(t, s, "c", "3")
			s.Delete("b")
			_, err := s.Incr("n", 41)
			must(t, err)
			_, err = s.CAS("c", []byte("3.0"), []byte(`"é"`))
			must(t, err)
			must(t, s.Set("gone", []byte("1"), time.Nanosecond))
			must(t, s.Set("later", []byte("1"), time.Hour))
			var b Batch
			b.Set("d", []byte("[4]"), 0)
			b.Delete("nothing")
			b.SetVersion("orders", 7)
			must(t, s.Apply(&b))
			want := content(s)
			if want != `a={"x": 1} c="é" d=[4] later=1 n=41 |orders=7` {
				t.Fatalf("content %s", want)
			}
			must(t, s.Close())
			must(t, s.Close())
			if err := s.Set("x", []byte("1"), 0); !errors.Is(err, ErrClosed) {
				t.Errorf("Set after Close: %v", err)
			}
			if got := content(s); got != want {
				t.Errorf("after Close: %s", got)
			}

			s = mustOpen(t, next(false), Options{})
			if got := content(s); got != want {
				t.Errorf("opened again: %s\nwant %s", got, want)
			}
			set(t, s, "a", "[]")
			must(t, s.Compact())
			set(t, s, "e", "5")
			want = content(s)
			if name == "real" {
				must(t, s.Close())
			}
			s = mustOpen(t, next(true), Options{})
			if got := content(s); got != want {
				t.Errorf("after a kill: %s\nwant %s", got, want)
			}
			if r := s.Recovered(); r.Cut != 0 || r.Damaged != nil || r.Missing {
				t.Errorf("found out of order: %+v", r)
			}
			must(t, s.Close())
		})
	}
}

func TestBatch(t *testing.T) {
	for name, s := range map[string]*Store{"memory": New(Options{MaxKeys: 3, MaxTotal: 60, MaxValue: 40}),
		"disk": mustOpen(t, simdisk.New(simdisk.Strict).Process(), Options{MaxKeys: 3, MaxTotal: 60, MaxValue: 40})} {
		t.Run(name, func(t *testing.T) {
			var b Batch
			b.Set("a", []byte("1"), 0)
			b.Set("b", []byte("2"), time.Hour)
			b.SetVersion("v", 1)
			must(t, s.Apply(&b))
			want := "a=1 b=2 |v=1"
			for what, c := range map[string]struct {
				fill func(b *Batch)
				is   error
			}{
				"keys": {func(b *Batch) {
					b.Delete("a")
					b.Set("c", []byte("1"), 0)
					b.Set("d", []byte("1"), 0)
					b.Set("e", []byte("1"), 0)
				}, nil},
				"total": {func(b *Batch) {
					b.Set("a", []byte(strings.Repeat("1", 30)), 0)
					b.Set("c", []byte(strings.Repeat("1", 30)), 0)
				}, nil},
				"value":   {func(b *Batch) { b.Delete("a"); b.Set("c", []byte(strings.Repeat("1", 41)), 0) }, nil},
				"JSON":    {func(b *Batch) { b.Delete("a"); b.Set("c", []byte("{"), 0) }, ErrInvalid},
				"ttl":     {func(b *Batch) { b.Delete("a"); b.Set("c", []byte("1"), -1) }, ErrInvalid},
				"name":    {func(b *Batch) { b.Delete("a"); b.SetVersion("", 1) }, ErrInvalid},
				"version": {func(b *Batch) { b.Delete("a"); b.Expect("v", 2) }, ErrConflict},
			} {
				var b Batch
				c.fill(&b)
				err := s.Apply(&b)
				if limit := (*LimitError)(nil); err == nil || c.is != nil && !errors.Is(err, c.is) || c.is == nil && !errors.As(err, &limit) {
					t.Errorf("%s: %v", what, err)
				}
				if got := content(s); got != want {
					t.Fatalf("%s: a refused batch left %s", what, got)
				}
			}
			b = Batch{}
			b.Expect("v", 1)
			b.Expect("w", 0)
			b.Delete("a")
			b.Set("c", []byte("3"), 0)
			b.Set("d", []byte("4"), 0)
			b.Set("c", []byte("null"), 0)
			b.SetVersion("v", 0)
			must(t, s.Apply(&b))
			if got := content(s); got != "b=2 d=4 " {
				t.Errorf("after the batch: %s", got)
			}
		})
	}
}

// What a migration did on a fork is done to the store in one step.
func TestDiff(t *testing.T) {
	s := mustOpen(t, simdisk.New(simdisk.Strict).Process(), Options{})
	for i := range 500 {
		set(t, s, fmt.Sprint("k", i), "1")
	}
	must(t, s.Set("t", []byte("1"), time.Hour))
	base := s.Fork()
	shadow := s.Fork()
	for i := range 10 {
		set(t, shadow, fmt.Sprint("k", i), `{"v":2}`)
		shadow.Delete(fmt.Sprint("k", 100+i))
	}
	var up Batch
	up.SetVersion("orders", 2)
	up.Set("new", []byte("1"), time.Hour)
	must(t, shadow.Apply(&up))
	d := Diff(base, shadow)
	d.Expect("orders", 0)
	if d.Len() != 22 {
		t.Errorf("%d changes, want 22", d.Len())
	}
	must(t, s.Apply(d))
	if content(s) != content(shadow) {
		t.Errorf("%s\nwant %s", content(s), content(shadow))
	}
	if err := s.Apply(d); !errors.Is(err, ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
	other := New(Options{}) // not a fork of it
	set(t, other, "x", "1")
	must(t, s.Apply(Diff(s, other)))
	if content(s) != "x=1 " {
		t.Errorf("content %s", content(s))
	}
}

// A log that ends anywhere has a beginning of what was done, and says that it was
// cut.
func TestTornTail(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	s := mustOpen(t, d.Process(), byHand)
	states := map[string]bool{content(s): true}
	for i := range 5 {
		var b Batch
		b.Set("a", fmt.Append(nil, i), 0)
		b.Set(fmt.Sprint("k", i), []byte(`"text"`), 0)
		must(t, s.Apply(&b))
		states[content(s)] = true
	}
	whole, err := disk.ReadFile(d.Process(), "kv/data.log", 1<<20)
	must(t, err)
	base := s.log.head.base
	for size := base; size < int64(len(whole)); size++ {
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", string(whole[base : base+40])} {
			c := planted(t, string(whole[:size])+tail)
			s := mustOpen(t, c.Process(), byHand)
			got := content(s)
			if !states[got] {
				t.Fatalf("cut at %d of %d: %s", size, len(whole), got)
			}
			r := s.Recovered()
			if r.Damaged != nil || tail != "" && r.Cut < int64(len(tail)) {
				t.Fatalf("cut at %d with a tail of %d: %+v", size, len(tail), r)
			}
			set(t, s, "more", "1")
			want := content(s)
			must(t, s.Close())
			s = mustOpen(t, c.Crash(0).Process(), byHand)
			if got := content(s); got != want || s.Recovered().Cut != 0 {
				t.Fatalf("the second time: %s, want %s; %+v", got, want, s.Recovered())
			}
			must(t, s.Close())
		}
	}
}

// planted returns a disk with a log of this content.
func planted(t *testing.T, text string) *simdisk.Disk {
	t.Helper()
	d := simdisk.New(simdisk.Ordered)
	p := d.Process()
	must(t, p.Mkdir("kv", 0o700))
	must(t, disk.ReplaceFile(p, "kv/data.log", []byte(text), 0o600))
	must(t, p.SyncDir("."))
	return d
}

// Each single flipped bit of a log that was closed is found, reported, and costs
// at most the frame that it is in.
func TestFlippedBits(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	s := mustOpen(t, d.Process(), byHand)
	set(t, s, "a", "1")
	set(t, s, "b", "2")
	must(t, s.Compact())
	for i := range 4 {
		set(t, s, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	set(t, s, "a", "3")
	want := content(s)
	must(t, s.Close())
	size := s.LogSize()
	valid := map[string]string{"a": "1 3", "b": "2", "k0": "0", "k1": "1", "k2": "2", "k3": "3"}
	silent := 0
	for bit := int64(0); bit < 8*size; bit += 3 {
		c := d.Crash(1)
		must(t, c.Flip("kv/data.log", bit))
		p := c.Process()
		s := mustOpen(t, p, byHand)
		r := s.Recovered()
		if r.Damaged == nil && r.Cut == 0 {
			silent++
			t.Errorf("bit %d was flipped and nothing is said", bit)
		}
		if bit/8 < headerSize || r.Damaged == nil {
			if got := content(s); got != want {
				t.Errorf("bit %d, nothing was lost that counts: %s", bit, got)
			}
		}
		for _, k := range s.Keys("") {
			if !slices.Contains(strings.Fields(valid[k]), get(s, k)) {
				t.Fatalf("bit %d: a value that nobody stored: %s=%s", bit, k, get(s, k))
			}
		}
		if r.Damaged != nil && len(s.Keys("")) < 4 {
			t.Errorf("bit %d: only %s is left", bit, content(s))
		}
		if r.Damaged != nil {
			kept, err := disk.ReadFile(p, "kv/"+r.Aside, 1<<20)
			if err != nil || int64(len(kept)) != size {
				t.Errorf("bit %d: the damaged file: %d bytes, %v", bit, len(kept), err)
			}
		}
		got := content(s)
		must(t, s.Close())
		s = mustOpen(t, p, byHand)
		if r := s.Recovered(); r.Damaged != nil || content(s) != got {
			t.Fatalf("bit %d, the second time: %+v, %s, want %s", bit, r, content(s), got)
		}
		must(t, s.Close())
	}
}

// Cuts, zeros, doubled and swapped parts of a closed log are never taken for data.
func TestMutants(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	s := mustOpen(t, d.Process(), byHand)
	states := map[string]bool{content(s): true}
	must(t, s.Sync())
	for i := range 20 {
		set(t, s, "n", fmt.Sprint(i))
		states[content(s)] = true
		if i%5 == 0 {
			must(t, s.Sync())
		}
	}
	must(t, s.Close())
	whole, err := disk.ReadFile(d.Process(), "kv/data.log", 1<<20)
	must(t, err)
	text := string(whole)
	n := 0
	try := func(what, mutant string) {
		n++
		s := mustOpen(t, planted(t, mutant).Process(), byHand)
		defer s.Close()
		if got := content(s); !states[got] {
			t.Errorf("%s: a third value: %s", what, got)
		}
		if r := s.Recovered(); mutant != text && r.Damaged == nil && r.Cut == 0 && !strings.HasPrefix(text, mutant) {
			t.Errorf("%s: nothing is said", what)
		}
	}
	step := 7
	for at := 0; at < len(text); at += step {
		try(fmt.Sprint("cut at ", at), text[:at])
		for _, size := range []int{1, 12, 64, 512} {
			end := min(at+size, len(text))
			try(fmt.Sprint("zeros at ", at), text[:at]+strings.Repeat("\x00", end-at)+text[end:])
			try(fmt.Sprint("doubled at ", at), text[:end]+text[at:])
			try(fmt.Sprint("missing at ", at), text[:at]+text[end:])
			try(fmt.Sprint("stale at ", at), text[:at]+text[headerSize:min(headerSize+size, len(text))]+text[at:])
		}
	}
	// The next frame of another log, in the block that this one got.
	next := appendChange(startFrame(nil, 1), change{op: opSet, key: "n", text: []byte(`"another's"`)}, 1)
	new(scratch).seal(next, s.log.head.id+1, int64(len(text)), s.log.sum)
	try("recycled block", text+string(next))
	t.Logf("%d mutants", n)
}

func TestBadFolder(t *testing.T) {
	newer := header{id: 1, base: headerSize}.encode()
	newer[8] = 2
	if h, damaged, err := decodeHeader(newer); !damaged || err != nil || h.id != 1 {
		t.Errorf("a header of which one half has a wrong checksum: %+v, %v, %v", h, damaged, err)
	}
	newer = slices.Concat(resum(newer[:headerPart]), resum(newer[:headerPart]))
	kind := startFrame(nil, 1)
	kind = append(kind, 99)
	new(scratch).seal(kind, 1, headerSize, 0)
	for name, text := range map[string]string{"newer": string(newer), "newer entry": string(header{id: 1, base: headerSize}.encode()) + string(kind)} {
		d := planted(t, text)
		if _, err := Open(d.Process(), "kv", byHand); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := disk.ReadFile(d.Process(), "kv/data.log", 1<<20); string(got) != text || err != nil {
			t.Errorf("%s: it was changed: %v", name, err)
		}
	}

	d := simdisk.New(simdisk.Strict)
	s := mustOpen(t, d.Process(), byHand)
	set(t, s, "a", "1")
	must(t, s.Close())
	must(t, d.Process().Remove("kv/data.log"))
	s = mustOpen(t, d.Process(), byHand)
	if !s.Recovered().Missing || len(s.Keys("")) != 0 {
		t.Errorf("the data are gone: %+v", s.Recovered())
	}
	must(t, s.Close())

	if runtime.GOOS == "windows" {
		return
	}
	r := realDisk(t)
	for name, plant := range map[string]func(path string) error{
		"folder": func(p string) error { return os.Mkdir(p, 0o700) },
		"link":   func(p string) error { return os.Symlink("elsewhere", p) },
		"pipe":   mkfifo,
	} {
		for _, file := range []string{"data.log", "lock"} {
			dir := filepath.Join(r.Dir(), name+file)
			must(t, os.Mkdir(dir, 0o700))
			must(t, plant(filepath.Join(dir, file)))
			_, err := Open(r, name+file, byHand)
			if e := (*disk.Error)(nil); !errors.As(err, &e) || e.Hint == "" {
				t.Errorf("%s is a %s: %v", file, name, err)
			}
		}
	}
	must(t, os.WriteFile(filepath.Join(r.Dir(), "file"), nil, 0o600))
	if _, err := Open(r, "file", byHand); err == nil {
		t.Error("the folder is a file")
	}
	if _, err := Open(r, "no/such", byHand); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// resum corrects the checksum of half a header.
func resum(b []byte) []byte {
	b = slices.Clone(b)
	sum := checksum(b[:28])
	b[28], b[29], b[30], b[31] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return b
}

func TestLocked(t *testing.T) {
	r := realDisk(t)
	s := mustOpen(t, r, Options{})
	for _, shared := range []bool{false, true} {
		_, err := Open(r, "kv", Options{Shared: shared, LockWait: time.Millisecond})
		if e := (*LockedError)(nil); !errors.Is(err, ErrLocked) || !errors.As(err, &e) || e.PID != os.Getpid() {
			t.Errorf("shared %v: %v", shared, err)
		}
	}
	must(t, s.Close())
	must(t, mustOpen(t, r, Options{}).Close())
}

// The disk refuses: nothing changes, and all goes on when it takes things again.
func TestDiskRefuses(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	s := mustOpen(t, d.Process(), byHand)
	set(t, s, "a", "1")
	want := content(s)
	for name, fault := range map[string]func(on bool){
		"full": func(on bool) {
			if d.SetSpace(-1); on {
				d.SetSpace(s.LogSize() + 10)
			}
		},
		"read-only": d.SetReadOnly,
	} {
		fault(true)
		_, incr := s.Incr("a", 1)
		_, cas := s.CAS("a", []byte("1"), []byte("2"))
		_, remove := s.Remove("a")
		var b Batch
		b.Set("x", []byte("1"), 0)
		for op, err := range map[string]error{"set": s.Set("b", []byte("1"), 0), "incr": incr, "cas": cas, "remove": remove, "batch": s.Apply(&b)} {
			if e := (*disk.Error)(nil); !errors.Is(err, ErrNotSaved) || !errors.As(err, &e) || e.Hint == "" {
				t.Errorf("%s, %s: %v", name, op, err)
			}
		}
		if got := content(s); got != want {
			t.Errorf("%s: it has %s", name, got)
		}
		if err := s.Compact(); err == nil {
			t.Errorf("%s: a new log was made", name)
		}
		fault(false)
		set(t, s, name, "1")
		want = content(s)
		must(t, s.Sync())
		c := mustOpen(t, d.Crash(0).Process(), byHand)
		if got := content(c); got != want {
			t.Errorf("%s: after a loss of power %s, want %s", name, got, want)
		}
	}
	d.SetDenied(true)
	set(t, s, "open files are not affected", "1")
	if err := s.Compact(); err == nil {
		t.Error("denied: a new log was made")
	}
	d.SetDenied(false)
	must(t, s.Close())
}

func TestCompacts(t *testing.T) {
	r := realDisk(t)
	s := mustOpen(t, disk.WithoutSync(r), Options{})
	value := `"` + strings.Repeat("x", 1000) + `"`
	longest := int64(0)
	for i := range 20_000 { // 20 MiB in the log
		set(t, s, fmt.Sprint("k", i%100), value)
		longest = max(longest, s.LogSize())
	}
	set(t, s, "last", "1")
	deadline := time.Now().Add(time.Minute)
	for s.LogSize() > 2*minLog && time.Now().Before(deadline) {
		s.log.nudge()
		runtime.Gosched()
	}
	if s.LogSize() > 2*minLog || s.Err() != nil {
		t.Errorf("the log has %d bytes; longest %d; %v", s.LogSize(), longest, s.Err())
	}
	want := content(s)
	must(t, s.Close())
	s = mustOpen(t, r, Options{})
	if got := content(s); got != want {
		t.Error("the content has changed")
	}
	must(t, s.Close())
	list, err := r.ReadDir("kv")
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "data.log format lock" {
		t.Errorf("the folder has %s", got)
	}
}

// How many syncs each step costs.
func TestSyncs(t *testing.T) {
	p := disk.Points(simdisk.New(simdisk.Strict).Process(), nil)
	was := 0
	cost := func(what string, want int) {
		t.Helper()
		if got := p.Syncs() - was; got != want {
			t.Errorf("%s takes %d syncs, want %d", what, got, want)
		}
		was = p.Syncs()
	}
	s := mustOpen(t, p, byHand)
	cost("the first Open", 3)
	for i := range 10 {
		set(t, s, "a", fmt.Sprint(i))
	}
	cost("Set", 0)
	must(t, s.Sync())
	cost("Sync", 1)
	must(t, s.Sync())
	cost("Sync of nothing", 0)
	set(t, s, "a", "1")
	must(t, s.Compact())
	cost("Compact", 2)
	must(t, s.Close())
	cost("Close after it", 0)
	s = mustOpen(t, p, byHand)
	cost("Open", 0)
	set(t, s, "a", "2")
	must(t, s.Close())
	cost("Close, the first time that anything is synced", 3)
}
