package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

func open(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if !opt.ReadOnly {
		if _, err := s.Step(update.Restart{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// app returns a tree of n files; those named in changes differ from the others.
func app(n int, changes ...string) *tree.Tree {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("handlers/f%d.js", i)] = fmt.Sprintf("export default () => %d\n", i)
	}
	for _, c := range changes {
		files["handlers/f0.js"] += c
	}
	return tree.Of(files)
}

// save makes tr the live, proven generation.
func save(t testing.TB, s *Store, tr *tree.Tree) int {
	t.Helper()
	n := s.Next()
	if err := apply(s, n, tr); err != nil {
		t.Fatal(err)
	}
	return n
}

func apply(s *Store, n int, tr *tree.Tree) error {
	files, err := s.Save(Record{Number: n, Trigger: "test"}, tr)
	if err != nil {
		return err
	}
	if err := swap(s, n, tr.Digest(), files...); err != nil {
		s.Drop(n)
		return err
	}
	return nil
}

// swap takes the machine through one change.
func swap(s *Store, n int, digest string, files ...update.File) error {
	err := func() error {
		for _, e := range []update.Event{
			update.Trigger{Change: update.Change{ID: fmt.Sprint("u", n), Slot: AppSlot, Kind: update.KindApp, Proven: true}},
			update.Begin{}, update.Prepared{To: update.Version{Number: n, Digest: digest}}, update.Proceed{}, update.Synced{},
		} {
			if _, err := s.Step(e); err != nil {
				return err
			}
		}
		if _, err := s.Step(update.Proceed{}, files...); err != nil {
			return err
		}
		_, _ = s.Step(update.Swapped{At: time.Now()}) // it serves, whether that can be noted or not
		return nil
	}()
	if err != nil && s.Machine().Phase != update.Idle {
		s.Step(update.Failed{Why: err.Error()})
		s.Step(update.Reverted{})
	}
	return err
}

// wantCurrent checks that generation n is current and holds want; 0 for none.
func wantCurrent(t testing.TB, s *Store, n int, want *tree.Tree) {
	t.Helper()
	if got := s.Current(); got != n {
		t.Fatalf("Current() = %d, want %d", got, n)
	}
	if n == 0 {
		return
	}
	r, tr, err := s.Load(n)
	if err != nil {
		t.Fatal(err)
	}
	if tr.Digest() != want.Digest() || r.Digest != want.Digest() || len(r.Files) != want.Len() {
		t.Errorf("generation %d holds another tree than was saved", n)
	}
}

// found returns all files of the store, relative to it.
func found(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{})
	wantCurrent(t, s, 0, nil)
	if n := s.Next(); n != 1 {
		t.Errorf("Next() = %d, want 1", n)
	}
	a, b := app(3), app(3, "// edited")
	created := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	files, err := s.Save(Record{Number: 1, Created: created, Update: "u1", Trigger: "start", Message: "first", Units: 3, Carried: 1, Tests: 7}, a)
	if err != nil {
		t.Fatal(err)
	}
	wantCurrent(t, s, 0, nil) // saving alone changes nothing
	if err := swap(s, 1, a.Digest(), files...); err != nil {
		t.Fatal(err)
	}
	if n := save(t, s, b); n != 2 {
		t.Errorf("the second generation is %d, want 2", n)
	}
	wantCurrent(t, s, 2, b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}

	s = open(t, dir, Options{})
	if p := s.Problems(); len(p) > 0 {
		t.Errorf("problems after a clean end: %v", p)
	}
	wantCurrent(t, s, 2, b)
	r, _, err := s.Load(1)
	if err != nil {
		t.Fatal(err)
	}
	r.Files = nil
	want := Record{Number: 1, Digest: a.Digest(), Created: created, Update: "u1", Trigger: "start", Message: "first", Units: 3, Carried: 1, Tests: 7}
	if fmt.Sprint(r) != fmt.Sprint(want) {
		t.Errorf("record = %+v, want %+v", r, want)
	}
	if list := s.List(); len(list) != 2 || list[0].Number != 1 || list[1].Number != 2 {
		t.Errorf("List() = %v, want generations 1 and 2", list)
	}
	if err := swap(s, 1, a.Digest()); err != nil { // as a rollback does
		t.Fatal(err)
	}
	wantCurrent(t, s, 1, a)
	if n := s.Next(); n != 3 {
		t.Errorf("Next() = %d after a rollback, want 3", n)
	}
	for _, err := range []error{third(s.Load(9)), second(s.Record(9))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("error = %v, want ErrNotFound", err)
		}
	}
	if _, err := s.Save(Record{Number: 2}, a); err == nil {
		t.Error("Save took a number that is in use")
	}
	if _, err := s.Save(Record{Number: 3, Digest: b.Digest()}, a); err == nil {
		t.Error("Save took a record about another tree")
	}
}

func second[A, B any](_ A, b B) B        { return b }
func third[A, B, C any](_ A, _ B, c C) C { return c }

// The layout is a promise: people recover with ls and cat.
func TestLayoutIsPlainFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{})
	save(t, s, tree.Of(map[string]string{"hello.js": "hello"}))
	if err := s.Append("updates", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"current":            "1\n",
		"permanent":          "1\n",
		"format":             "2\n",
		".gitignore":         "*\n",
		"lock":               fmt.Sprintln(os.Getpid()),
		"log/updates.ndjson": "{\"n\":1}\n",
		"objects/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824": "hello",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	record, err := os.ReadFile(filepath.Join(dir, "generations/000001.json"))
	if err != nil || !strings.Contains(string(record), `"path": "hello.js"`) {
		t.Errorf("the record is %s (%v)", record, err)
	}
}

// counted opens a store on a disk that counts.
func counted(t testing.TB, noSync bool) (*Store, *disk.Pointed) {
	t.Helper()
	root, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := disk.Points(root, nil)
	return open(t, root.Dir(), Options{FS: p, NoSync: noSync}), p
}

// Whatever the number of files, an update costs two fsyncs when it is proven at once;
// beginning the journal anew costs more, once in hundreds.
func TestSaveNeedsFewSyncs(t *testing.T) {
	s, p := counted(t, false)
	save(t, s, app(50))
	for n := 2; n < 20; n++ {
		before := p.Syncs()
		save(t, s, app(50, fmt.Sprint("// edit ", n)))
		if got := p.Syncs() - before; got > 2 {
			t.Errorf("one changed file of 50 took %d fsyncs, want at most 2", got)
		}
	}
}

func TestRetain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{NoSync: true})
	s.Retain(100)
	for i := range 10 {
		save(t, s, app(3, fmt.Sprint("v", i)))
	}
	s.Retain(4, 5)
	if err := swap(s, 2, app(3, "v1").Digest()); err != nil {
		t.Fatal(err)
	}
	numbers := func() (out []int) {
		for _, r := range s.List() {
			out = append(out, r.Number)
		}
		return out
	}
	if got := numbers(); !slices.Equal(got, []int{2, 5, 9, 10}) {
		t.Errorf("left are %v, want 2 (live), 5 (protected), 9, 10 (anchor)", got)
	}
	for _, n := range numbers() {
		if _, _, err := s.Load(n); err != nil {
			t.Error(err)
		}
	}
	objects := 0
	for _, p := range found(t, dir) {
		if strings.HasPrefix(p, "objects/") {
			objects++
		}
	}
	if objects != 2+4 {
		t.Errorf("%d objects are left, want 6", objects)
	}
	if n := s.Next(); n != 11 {
		t.Errorf("Next() = %d, want 11", n)
	}
	s.Retain(0)
	if err := swap(s, 2, app(3, "v1").Digest()); err != nil {
		t.Fatal(err)
	}
	if got := numbers(); !slices.Equal(got, []int{2, 10}) {
		t.Errorf("left are %v, want what serves and the anchor", got)
	}
}

func TestReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	if _, err := Open(dir, Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v, want fs.ErrNotExist", err)
	}
	w := open(t, dir, Options{})
	save(t, w, app(2))
	r := open(t, dir, Options{ReadOnly: true})
	wantCurrent(t, r, 1, app(2))
	for _, err := range []error{second(r.Save(Record{Number: 2}, app(1))), swap(r, 1, ""), r.Append("x", 1)} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("error = %v, want ErrReadOnly", err)
		}
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("error = %v, want ErrLocked naming this process", err)
	}
	w.Close()
	for _, err := range []error{second(w.Save(Record{Number: 2}, app(1))), swap(w, 1, ""), w.Append("x", 1), third(w.Load(1))} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("error = %v, want ErrClosed", err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), ".theseus"), Options{NoSync: true})
	save(t, s, app(5))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 30 {
				if err := s.Append("runs", i); err != nil {
					t.Error(err)
				}
				if _, _, err := s.Load(s.Current()); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	for i := range 30 {
		s.Retain(3)
		save(t, s, app(5, fmt.Sprint(i)))
	}
	wg.Wait()
}

func BenchmarkSave(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, changed := range []int{1, 50} {
			b.Run(fmt.Sprintf("files=50/changed=%d/sync=%v", changed, sync), func(b *testing.B) {
				s, p := counted(b, !sync)
				s.Retain(20)
				i, before := 0, p.Syncs()
				for b.Loop() {
					i++
					files := map[string]string{}
					for f := range 50 {
						files[fmt.Sprint("f", f)] = fmt.Sprint(f, i*max(0, min(1, changed-f)))
					}
					save(b, s, tree.Of(files))
				}
				b.ReportMetric(float64(p.Syncs()-before)/float64(i), "fsyncs/op")
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		dir, i := b.TempDir(), 0
		for b.Loop() {
			i++
			s, err := Open(filepath.Join(dir, fmt.Sprint(i)), Options{})
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
	b.Run("generations=20/files=50", func(b *testing.B) {
		dir := filepath.Join(b.TempDir(), ".theseus")
		s := open(b, dir, Options{NoSync: true})
		for i := range 20 {
			save(b, s, app(50, fmt.Sprint(i)))
		}
		s.Close()
		for b.Loop() {
			s, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}
