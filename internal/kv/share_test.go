package kv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

// play is a process of a test: a number counts so far, and changes two keys under a
// lock of its own now and then; "forever" counts until it is killed; "alone" has the
// store for itself, replaces its log all the time and says how far it came.
func play(role, dir string) int {
	if err := playRole(role, dir); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("done")
	return 0
}

func playRole(role, dir string) error {
	root, err := disk.Open(dir)
	if err != nil {
		return err
	}
	s, err := Open(root, "kv", Options{Shared: role != "alone", LockWait: 5 * time.Minute})
	if err != nil {
		return err
	}
	if role == "alone" {
		return countAlone(s)
	}
	fmt.Println("open")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	me := strconv.Itoa(os.Getpid())
	if role == "forever" {
		for {
			if _, err := s.Incr("count:"+me, 1); err != nil {
				return err
			}
		}
	}
	n, err := strconv.Atoi(role)
	if err != nil {
		return err
	}
	for i := range n {
		if _, err := s.Incr("count", 1); err != nil {
			return err
		}
		if i%100 == 0 {
			if err := underLock(s, me); err != nil {
				return err
			}
		}
	}
	return s.Close()
}

func countAlone(s *Store) error {
	go func() {
		for s.Compact() == nil {
		}
	}()
	for {
		n, err := s.Incr("n", 1)
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// A process is killed in the middle of changes and of the replacing of its log:
// what it said to have done is done, and at most one change more.
func TestKilled(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	r := realDisk(t)
	from := 0
	for range rounds {
		exe, err := os.Executable()
		must(t, err)
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), "KV_TEST_ROLE=alone", "KV_TEST_DIR="+r.Dir())
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		said := 0
		for lines.Scan() {
			said, err = strconv.Atoi(lines.Text())
			must(t, err)
			if said == from+100+rand.IntN(400) || said > from+1000 {
				must(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		s := mustOpen(t, r, Options{})
		n, err := strconv.Atoi(get(s, "n"))
		if err != nil || n < said || n > said+1 || n < from+100 {
			t.Fatalf("n = %d, but the process said %d, %v", n, said, err)
		}
		if rec := s.Recovered(); rec.Cut != 0 || rec.Damaged != nil || rec.Missing {
			t.Errorf("out of order after a kill: %+v", rec)
		}
		must(t, s.Close())
		from = n
	}
}

// underLock takes a spin lock made of CAS and changes two keys that must stay equal.
func underLock(s *Store, me string) error {
	for {
		if ok, err := s.CAS("lock", nil, []byte(me)); err != nil {
			return err
		} else if ok {
			break
		}
	}
	for _, key := range []string{"left", "right"} {
		text, _, err := s.Lookup(key)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(text))
		if err := s.Set(key, strconv.AppendInt(nil, int64(n+1), 10), 0); err != nil {
			return err
		}
	}
	if ok, err := s.CAS("lock", []byte(me), nil); !ok || err != nil {
		return fmt.Errorf("the lock was taken away: %v", err)
	}
	return nil
}

// A peer is another process.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startPeer(t *testing.T, role, dir string) *peer {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	p := &peer{cmd: exec.CommandContext(t.Context(), exe)}
	p.cmd.Env = append(os.Environ(), "KV_TEST_ROLE="+role, "KV_TEST_DIR="+dir)
	p.cmd.Stderr = os.Stderr
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.out = bufio.NewReader(out)
	must(t, p.cmd.Start())
	p.expect(t, "open")
	return p
}

func (p *peer) expect(t *testing.T, want string) {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if strings.TrimSpace(line) != want {
		t.Fatalf("process %d says %q (%v), want %s", p.cmd.Process.Pid, line, err, want)
	}
}

// begin tells it to begin.
func (p *peer) begin(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(p.in, "\n")
	must(t, err)
}

// Four processes and this one use one store, while others are killed in the middle
// and the log is replaced again and again: no change is lost or made twice, and a
// lock made of CAS keeps.
func TestProcesses(t *testing.T) {
	each, kills := 10_000, 10
	if testing.Short() {
		each, kills = 1_000, 2
	}
	r := realDisk(t)
	s := mustOpen(t, r, Options{LockWait: 5 * time.Minute})
	must(t, s.Share(true))
	var peers []*peer
	for range 4 {
		peers = append(peers, startPeer(t, strconv.Itoa(each), r.Dir()))
	}
	for _, p := range peers {
		p.begin(t)
	}
	dead := map[string]float64{} // the counters of those that were killed
	for range kills {
		victim := startPeer(t, "forever", r.Dir())
		victim.begin(t)
		counter := "count:" + strconv.Itoa(victim.cmd.Process.Pid)
		seen := 0.0
		for seen < 100 { // then it is in the middle of something
			seen = mustFloat("0" + strings.TrimPrefix(get(s, counter), "absent"))
		}
		must(t, victim.cmd.Process.Kill())
		_ = victim.cmd.Wait()
		if dead[counter] = mustFloat(get(s, counter)); dead[counter] < seen {
			t.Errorf("the counter of a dead process fell from %v to %v", seen, dead[counter])
		}
	}
	for range 5 {
		must(t, s.Compact())
	}
	for _, p := range peers {
		p.expect(t, "done")
		must(t, p.cmd.Wait())
	}
	if got := get(s, "count"); got != strconv.Itoa(4*each) {
		t.Errorf("count = %s, want %d", got, 4*each)
	}
	if l, r := get(s, "left"), get(s, "right"); l != r || l != strconv.Itoa(4*((each+99)/100)) {
		t.Errorf("under the lock: %s and %s", l, r)
	}
	for counter, at := range dead {
		if got := mustFloat(get(s, counter)); got != at {
			t.Errorf("the counter of a dead process went from %v to %v", at, got)
		}
	}
	must(t, s.Share(false))
	want := content(s)
	must(t, s.Close())
	s = mustOpen(t, r, Options{})
	if got := content(s); got != want {
		t.Errorf("opened again: %s, want %s", got, want)
	}
	if rec := s.Recovered(); rec.Damaged != nil {
		t.Errorf("damaged: %+v", rec)
	}
	must(t, s.Close())
}

// Two stores in one process, through an upgrade: the old one lends, the new one
// opens, the old one ends, the new one keeps.
func TestShare(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	opt := Options{SyncInterval: -1, LockWait: time.Millisecond}
	a := mustOpen(t, d.Process(), opt)
	set(t, a, "x", "1")
	must(t, a.Share(true))
	must(t, a.Share(true))
	opt.Shared = true
	b := mustOpen(t, d.Process(), opt)
	if !a.Shared() || !b.Shared() || get(b, "x") != "1" {
		t.Errorf("content %s", content(b))
	}
	set(t, b, "x", "2")
	set(t, a, "y", "1")
	if get(a, "x") != "2" || get(b, "y") != "1" {
		t.Errorf("a has %s, b %s", content(a), content(b))
	}
	must(t, a.Compact())
	set(t, b, "z", "1")
	must(t, b.Compact())
	var batch Batch
	batch.SetVersion("v", 5)
	batch.Delete("y")
	must(t, a.Apply(&batch))
	if b.Version("v") != 5 || content(a) != content(b) {
		t.Errorf("a has %s, b %s", content(a), content(b))
	}

	d.SetSpace(a.LogSize() + 10)
	if err := a.Compact(); !disk.IsFull(err) {
		t.Errorf("Compact on a full disk: %v", err)
	}
	d.SetSpace(-1)
	set(t, a, "x", "2") // the old log goes on
	set(t, b, "x", "2")

	must(t, b.Share(false))
	if err := a.Set("no", []byte("1"), 0); !errors.Is(err, ErrLocked) {
		t.Errorf("Set while another keeps the store: %v", err)
	}
	if text, _, err := a.Lookup("x"); !errors.Is(err, ErrLocked) || string(text) != "2" {
		t.Errorf("Lookup while another keeps the store: %s, %v", text, err)
	}
	if err := a.Share(false); !errors.Is(err, ErrLocked) {
		t.Errorf("Share(false) of both: %v", err)
	}
	must(t, b.Share(true))
	set(t, a, "a", "1")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	must(t, b.Share(false))
	if got := content(b); got != "a=1 x=2 z=1 |v=5" {
		t.Errorf("in the end %s", got)
	}
	if err := New(Options{}).Share(true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a store in memory: %v", err)
	}
	must(t, b.Close())
}

// Two stores on one disk, by turns shared, kept, replaced and opened again, are the
// same as one in memory.
func TestSharedAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := simdisk.New(simdisk.Strict)
	opt := byHand
	opt.Shared = true
	stores := []*Store{mustOpen(t, d.Process(), opt), mustOpen(t, d.Process(), opt)}
	model := New(Options{})
	for n := range 4_000 {
		s := stores[r.IntN(2)]
		key := fmt.Sprint("k", r.IntN(40))
		value := fmt.Appendf(nil, "%d", r.IntN(5))
		seed := r.Uint64()
		do := func(s *Store) string {
			r := rand.New(rand.NewPCG(seed, 0))
			switch r.IntN(7) {
			case 0:
				return fmt.Sprint(s.Remove(key))
			case 1:
				return fmt.Sprint(s.Incr(key, 1))
			case 2:
				return fmt.Sprint(s.CAS(key, value, []byte("7")))
			case 3:
				var b Batch
				b.Set(key, value, 0)
				b.Delete("k1")
				b.SetVersion(key, uint64(r.IntN(3)))
				return fmt.Sprint(s.Apply(&b))
			case 4:
				return content(s)
			}
			return fmt.Sprint(s.Set(key, value, 0), get(s, key), s.Version(key))
		}
		if got, want := do(s), do(model); got != want {
			t.Fatalf("%d: %s, want %s", n, got, want)
		}
		switch r.IntN(60) {
		case 0:
			must(t, s.Compact())
		case 1:
			must(t, s.Share(false))
			must(t, s.Sync())
			must(t, s.Compact())
			must(t, s.Share(true))
		case 2:
			i := r.IntN(2)
			if r.IntN(2) == 0 {
				must(t, stores[i].Close())
			} else {
				abandon(stores[i])
			}
			stores[i] = mustOpen(t, d.Process(), opt)
		}
	}
}

// A process dies in the middle of a write: the next one cuts that off.
func TestOtherTears(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	opt := byHand
	opt.Shared = true
	a, b := mustOpen(t, d.Process(), opt), mustOpen(t, d.Process(), opt)
	set(t, a, "x", "1")
	appendTo(t, d, strings.Repeat("\x00", 100))
	if get(b, "x") != "1" || b.Recovered().Cut != 100 {
		t.Errorf("content %s, %+v", content(b), b.Recovered())
	}
	set(t, b, "x", "2")
	set(t, a, "y", "1")
	c := mustOpen(t, d.Crash(1).Process(), byHand)
	if got := content(c); got != "x=2 y=1 " || c.Recovered().Cut != 0 || a.Recovered().Cut != 0 {
		t.Errorf("content %s, %+v", got, c.Recovered())
	}
}

// One of two processes dies at each point; the other one goes on with all that had
// returned, and with the change in progress as a whole or not at all.
func TestOtherDies(t *testing.T) {
	for at := 1; ; at++ {
		died := false
		for _, phase := range []disk.Phase{disk.Before, disk.After} {
			d := simdisk.New(simdisk.Strict)
			opt := byHand
			opt.Shared = true
			other := mustOpen(t, d.Process(), opt)
			proc := d.Process()
			var p *disk.Pointed
			p = disk.Points(proc, func(op disk.Op) error {
				if op.Index == at && op.Phase == phase {
					p.Kill()
				}
				return nil
			})
			l := life{t: t}
			died = p.Survive(func() { l.live(p, opt) })
			if l.store != nil {
				abandon(l.store)
			}
			proc.Kill()
			if got := content(other); !l.may(false)[got] {
				t.Fatalf("point %d, %s: the other finds %s, want one of %v", at, phase, got, l.may(false))
			}
			set(t, other, "more", "1")
			want := content(other)
			must(t, other.Close())
			c := mustOpen(t, d.Crash(0).Process(), byHand)
			if got := content(c); got != want {
				t.Fatalf("point %d, %s: synced and found %s, want %s", at, phase, got, want)
			}
			must(t, c.Close())
		}
		if !died {
			if at < 20 {
				t.Errorf("there are only %d points", at)
			}
			return
		}
	}
}

// Readers and writers of one process, while it shares and keeps by turns and
// replaces its log.
func TestDurableConcurrent(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	s := mustOpen(t, d.Process(), Options{SyncInterval: time.Millisecond})
	opt := Options{Shared: true, SyncInterval: time.Millisecond, LockWait: time.Minute}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			last := -1.0
			for range 300 {
				n, err := s.Incr("n", 1)
				if err != nil || n <= last {
					t.Errorf("%v after %v, %v", n, last, err)
				}
				last = n
				if v, ok := s.Get("n"); !ok || mustFloat(string(v)) < last {
					t.Errorf("%s was read after %v", v, last)
				}
				_ = s.Set("t", []byte("1"), time.Nanosecond)
				s.Get("t")
			}
		})
	}
	for range 10 {
		must(t, s.Compact())
		must(t, s.Sync())
		must(t, s.Share(true))
		b := mustOpen(t, d.Process(), opt)
		for range 10 {
			_, err := b.Incr("m", 1)
			must(t, err)
		}
		must(t, b.Compact())
		must(t, b.Close())
		must(t, s.Share(false))
	}
	wg.Wait()
	if n, m := get(s, "n"), get(s, "m"); n != "900" || m != "100" {
		t.Errorf("n = %s, m = %s", n, m)
	}
	must(t, s.Close())
	if got := mustOpen(t, d.Crash(0).Process(), byHand); get(got, "n") != "900" {
		t.Errorf("after Close and a loss of power: %s", content(got))
	}
}

// A hookFS runs a function before the first attempt to lock.
type hookFS struct {
	disk.FS
	before func()
}

type hookFile struct {
	disk.File
	fs *hookFS
}

func (h *hookFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err == nil && name == "kv/lock" {
		f = hookFile{f, h}
	}
	return f, err
}

func (h hookFile) TryLock() (bool, error) {
	if do := h.fs.before; do != nil {
		h.fs.before = nil
		do()
	}
	return h.File.TryLock()
}

// What a store reads before it has the lock is right, whatever happens until then.
func TestPreload(t *testing.T) {
	before := uint32(0) // what the last frame names
	for name, meanwhile := range map[string]func(t *testing.T, d *simdisk.Disk, a *Store){
		"nothing": func(*testing.T, *simdisk.Disk, *Store) {},
		"changes": func(t *testing.T, _ *simdisk.Disk, a *Store) { set(t, a, "b", "2") },
		"new log": func(t *testing.T, _ *simdisk.Disk, a *Store) { set(t, a, "b", "2"); must(t, a.Compact()) },
		"no log":  func(t *testing.T, d *simdisk.Disk, a *Store) { must(t, d.Process().Remove("kv/data.log")); get(a, "a") },
		"torn":    func(t *testing.T, d *simdisk.Disk, a *Store) { appendTo(t, d, "\x01\x02\x03") },
		"taken back": func(t *testing.T, d *simdisk.Disk, a *Store) {
			f, err := d.Process().OpenFile("kv/data.log", os.O_RDWR, 0)
			must(t, err)
			must(t, f.Truncate(a.LogSize()-int64(len(a.log.frame))))
			a.log.end -= int64(len(a.log.frame))
			a.log.sum = before
			set(t, a, "c", "4") // as long as what was there
			delete(a.part("a").m, "a")
		},
	} {
		d := simdisk.New(simdisk.Strict)
		opt := byHand
		opt.Shared = true
		a := mustOpen(t, d.Process(), opt)
		set(t, a, "x", "1")
		before = a.log.sum
		set(t, a, "a", "3")
		b := mustOpen(t, &hookFS{FS: d.Process(), before: func() { meanwhile(t, d, a) }}, opt)
		if got, want := content(b), content(a); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		set(t, b, "more", "1")
		if got, want := content(b), content(a); got != want {
			t.Errorf("%s: then %s, want %s", name, got, want)
		}
		if r := b.Recovered(); r.Damaged != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func appendTo(t *testing.T, d *simdisk.Disk, text string) {
	t.Helper()
	f, err := d.Process().OpenFile("kv/data.log", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write([]byte(text))
	must(t, err)
	must(t, f.Close())
}
