package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write puts files below dir; their times lie an hour back, so that a scan may
// trust them.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	for p, text := range files {
		name := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func scan(t testing.TB, dir string, prev *Tree) *Tree {
	t.Helper()
	tr, err := Scan(dir, prev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func paths(t *Tree) string {
	var out []string
	for _, f := range t.Files() {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

// wantProblem checks that err names the path, the reason and a hint.
func wantProblem(t *testing.T, err error, p, reason string) {
	t.Helper()
	var list []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	} else {
		list = []error{err}
	}
	for _, err := range list {
		if e := (*FileError)(nil); errors.As(err, &e) && e.Path == p && strings.Contains(e.Reason, reason) && e.Hint != "" {
			return
		}
	}
	t.Errorf("error = %v, want one about %s: %s, with a hint", err, p, reason)
}

func TestScanReadsTheApp(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"theseus.yaml": "app: x", "handlers/a.js": "a", "handlers/lib/b.js": "b", "public/.well-known/security.txt": "s"}
	write(t, dir, files)
	write(t, dir, map[string]string{
		".git/HEAD": "", ".theseus/current": "1", ".env": "", "handlers/.#a.js": "", "handlers/a.js~": "", "handlers/#a.js#": "",
		"handlers/.a.js.swp": "", "handlers/a.js.swx": "", "handlers/4913": "", "handlers/a.js.tmp": "", "node_modules/x/i.js": "",
		"..2026_01/x": "", "public/.secret": "", "handlers/a.js___jb_tmp___": "", ".well-known/x": "",
	})
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := scan(t, dir, nil)
	if want := Of(files); got.Digest() != want.Digest() {
		t.Errorf("Scan found %s, want %s", paths(got), paths(want))
	}
}

func TestScanOfASingleFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"hello.js": "h", "other.js": "o"})
	tr := scan(t, filepath.Join(dir, "hello.js"), nil)
	if got := paths(tr); got != "hello.js" {
		t.Errorf("Scan found %q, want hello.js", got)
	}
	again := scan(t, filepath.Join(dir, "hello.js"), tr)
	if again.files[0] != tr.files[0] {
		t.Error("the unchanged file is not the same object")
	}
}

func TestScanOfAMissingRoot(t *testing.T) {
	_, err := Scan(filepath.Join(t.TempDir(), "nowhere"), nil, Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), "nowhere: does not exist") {
		t.Errorf("error = %v, want one wrapping fs.ErrNotExist", err)
	}
}

func TestScanReusesUnchangedFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.js": "a", "b.js": "b"})
	first := scan(t, dir, nil)
	write(t, dir, map[string]string{"b.js": "B"}) // same size and modification time
	second := scan(t, dir, first)
	a1, _ := first.File("a.js")
	a2, _ := second.File("a.js")
	b2, _ := second.File("b.js")
	if a1 != a2 {
		t.Error("the unchanged file is not the same object")
	}
	if string(b2.Data) != "B" {
		t.Errorf("b.js = %q, want the new content", b2.Data)
	}
	if first.Digest() == second.Digest() {
		t.Error("the digest did not change")
	}
}

// A stamp is believed only when it was old enough as it was taken: here the
// scanner's clock is what makes it so.
func TestScanTrustsOnlySettledStamps(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.js": "a"})
	at := func(now time.Time, prev *Tree) *Tree {
		s := &scanner{opt: Options{}.withDefaults(), prev: prev, started: now, links: map[string]string{}, stamps: map[string]stamp{}}
		if err := s.run(dir); err != nil || s.moved != "" {
			t.Fatal(err, s.moved)
		}
		tr, err := build(s.files, s.stamps)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	forge := func(tr *Tree) *Tree { // give the earlier tree a content that is not on disk
		f := &File{Path: "a.js", Digest: Sum([]byte("forged")), Data: []byte("forged")}
		out, err := build([]*File{f}, tr.stamps)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	young := forge(at(time.Now(), nil))
	if f, _ := at(time.Now(), young).File("a.js"); string(f.Data) != "a" {
		t.Error("a file that was young when it was read was not read again")
	}
	settled := forge(at(time.Now().Add(time.Minute), nil))
	if f, _ := at(time.Now(), settled).File("a.js"); string(f.Data) != "forged" {
		t.Error("a file with a settled stamp was read again")
	}
}

func TestScanLimits(t *testing.T) {
	dir := t.TempDir()
	sparse := func(p string, size int64) {
		write(t, dir, map[string]string{p: ""})
		if err := os.Truncate(filepath.Join(dir, p), size); err != nil {
			t.Fatal(err)
		}
	}
	sparse("handlers/big.js", 1<<40)
	sparse("public/video.mp4", 16<<20+1)
	sparse("public/ok.bin", 2<<20)
	sparse("handlers/ok.js", 1<<20)
	_, err := Scan(dir, nil, Options{})
	wantProblem(t, err, "handlers/big.js", "has 1 TiB; the limit for a file outside public/ is 1 MiB")
	wantProblem(t, err, "public/video.mp4", "has 16 MiB; the limit for a file in public/ is 16 MiB")
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n != 2 {
		t.Errorf("%d problems, want 2: %v", n, err)
	}
	_, err = Scan(dir, nil, Options{MaxFile: 1 << 41, MaxTotal: 3 << 20, MaxPublic: 17 << 20})
	wantProblem(t, err, "handlers/big.js", "brings the app to more than 3 MiB")
	_, err = Scan(dir, nil, Options{MaxFiles: 3})
	if err == nil || !strings.Contains(err.Error(), "more than 3 files and folders") {
		t.Errorf("error = %v, want one about 3 files", err)
	}
}

func TestScanDepth(t *testing.T) {
	dir := t.TempDir()
	deep := strings.TrimSuffix(strings.Repeat("d/", MaxDepth), "/")
	write(t, dir, map[string]string{deep + "/f": ""})
	_, err := Scan(dir, nil, Options{})
	wantProblem(t, err, deep+"/f", "lies 33 folders deep")
}

// within fails the test when f does not come back: nothing may block a scan.
func within(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("the scan hangs")
	}
}

func BenchmarkScan(b *testing.B) {
	for _, n := range []int{50, 5000} {
		dir := b.TempDir()
		files := make(map[string]string, n)
		for i := range n {
			files[fmt.Sprintf("handlers/d%02d/f%d.js", i%50, i)] = strings.Repeat(fmt.Sprintf("line %d\n", i), 200)
		}
		write(b, dir, files)
		b.Run(fmt.Sprintf("files=%d/cold", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				scan(b, dir, nil)
			}
		})
		b.Run(fmt.Sprintf("files=%d/warm", n), func(b *testing.B) {
			prev := scan(b, dir, nil)
			for p, st := range prev.stamps {
				st.settled = true
				prev.stamps[p] = st
			}
			b.ReportAllocs()
			for b.Loop() {
				if t := scan(b, dir, prev); t.files[0] != prev.files[0] {
					b.Fatal("not reused")
				}
			}
		})
	}
}
