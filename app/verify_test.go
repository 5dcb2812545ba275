package app_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
)

// rot changes a byte of the stored object of a file.
func rot(t *testing.T, dir, text string) {
	t.Helper()
	sum := tree.Sum([]byte(text))
	name := filepath.Join(dir, ".theseus", "objects", sum[:2], sum[2:])
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.ToUpper(text)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// An update finds what has rotted of the generation that serves, tells of it, and
// mends what the new one has in common with it.
func TestUpdateVerifiesWhatIsLive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := patient()
	write(t, dir, files)
	a := open(t, dir)
	write(t, dir, version(2))
	if u := reload(t, a); len(u.Warnings) > 0 {
		t.Fatalf("whole: %+v", u.Warnings)
	}
	rot(t, dir, files["theseus.yaml"])
	write(t, dir, version(3))
	u := reload(t, a)
	if len(u.Warnings) != 1 || !strings.Contains(u.Warnings[0].Message, "gen 2, which is live, is damaged on disk: ") {
		t.Fatalf("damaged: %+v", u.Warnings)
	}
	told := a.Events().Recent(1, func(e app.Event) bool { return e.Type == "generation" && e.Level == "error" })
	if len(told) != 1 || told[0].Generation != 2 {
		t.Errorf("events: %+v", told)
	}
	st, err := store.Open(filepath.Join(dir, ".theseus"), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if h := st.Check(true); !h.OK {
		t.Errorf("it was not mended: %+v", h.Findings)
	}

	// A rollback does not wait for the disk, and tells all the same.
	rot(t, dir, version(2)["handlers/v.js"])
	if _, err := a.Rollback(t.Context(), 2, app.Change{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "word of the damage", func() bool {
		return len(a.Events().Recent(9, func(e app.Event) bool { return e.Type == "generation" && e.Level == "error" })) == 2
	})
}

// BenchmarkVerify is what the verification of 1,000 files of 4 KiB costs.
func BenchmarkVerify(b *testing.B) {
	files := map[string]string{}
	for n := range 1000 {
		files[fmt.Sprintf("static/%d.txt", n)] = strings.Repeat(fmt.Sprintf("%04d", n), 1024)
	}
	tr := tree.Of(files)
	st, err := store.Open(filepath.Join(b.TempDir(), "state"), store.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	saved, err := st.Save(store.Record{Number: 1}, tr)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range saved { // as a commit does
		name := filepath.Join(st.Dir(), filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, fs.FileMode(f.Perm)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("live", func(b *testing.B) {
		for b.Loop() {
			if damaged := st.Verify(1); len(damaged) > 0 {
				b.Fatal(damaged[0])
			}
		}
	})
	b.Run("candidate", func(b *testing.B) {
		for b.Loop() {
			if err := tr.Verify(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
