package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/tree"
)

// saved returns a closed store with generations 1 (a) and 2 (b), 2 being current.
func saved(t testing.TB) (dir string, a, b *tree.Tree) {
	t.Helper()
	dir, a, b = filepath.Join(t.TempDir(), ".theseus"), app(3), app(3, "// edited")
	s := open(t, dir, Options{NoSync: true})
	save(t, s, a)
	save(t, s, b)
	s.Close()
	return dir, a, b
}

func put(t testing.TB, name, text string) {
	t.Helper()
	os.Remove(name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedObject(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, object string){
		"flipped": func(t *testing.T, o string) {
			put(t, o, "export default () => 9// edited\n"[:len("export default () => 0\n// edited")])
		},
		"truncated": func(t *testing.T, o string) { put(t, o, "") },
		"grown":     func(t *testing.T, o string) { put(t, o, strings.Repeat("x", 1<<20)) },
		"missing":   func(t *testing.T, o string) { os.Remove(o) },
		"link": func(t *testing.T, o string) {
			put(t, o+".real", "export default () => 0\n// edited")
			os.Remove(o)
			if err := os.Symlink(filepath.Base(o)+".real", o); err != nil {
				t.Skip(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, a, b := saved(t)
			f, _ := b.File("handlers/f0.js")
			object := filepath.Join(dir, filepath.FromSlash(objectName(f.Digest)))
			damage(t, object)
			s := open(t, dir, Options{})
			_, _, err := s.Load(2)
			if e := (*CorruptError)(nil); !errors.As(err, &e) || e.Generation != 2 || e.Path != "handlers/f0.js" || e.Object != object {
				t.Fatalf("Load(2) = %v, want a CorruptError about handlers/f0.js", err)
			}
			if _, tr, err := s.Load(1); err != nil || tr.Digest() != a.Digest() {
				t.Errorf("generation 1 cannot be loaded: %v", err)
			}
			if name == "link" {
				return
			}
			n := save(t, s, b) // saving the same content again repairs it
			wantCurrent(t, s, n, b)
			if _, _, err := s.Load(2); err != nil {
				t.Errorf("generation 2 is not repaired: %v", err)
			}
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	for _, c := range []struct {
		name, file, text, problem string
		current                   int
	}{
		{"empty record", "generations/000002.json", "", "the record is damaged", 2},
		{"half a record", "generations/000002.json", `{"format":1,"number":2`, "the record is damaged", 2},
		{"record of another", "generations/000002.json", `{"format":1,"number":1,"digest":"` + strings.Repeat("a", 64) + `"}`, "it is about generation 1", 2},
		{"record with a path for a digest", "generations/000002.json", `{"format":1,"number":2,"digest":"` + strings.Repeat("a", 64) + `","files":[{"path":"x","digest":"../../../../etc/passwd","size":1}]}`, "no valid digest", 2},
		{"newer record", "generations/000002.json", `{"format":9}`, "format 9", 2},
		{"stray file", "generations/notes.txt", "hello", "not the name of a record", 2},
		{"empty current", "current", "", "", 2},
		{"current of nothing", "current", "77\n", "", 2},
		{"huge current", "current", strings.Repeat("9", 100), "", 2},
		{"empty journal", "journal", "", "", 2},
		{"garbage for a journal", "journal", "00000000 1 {}\n\x00", "", 2},
		{"file left by a crash", "generations/000003.json.tmp-0", "half", "", 2},
		{"empty format", "format", "", "is not a version", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, a, _ := saved(t)
			put(t, filepath.Join(dir, c.file), c.text)
			s := open(t, dir, Options{})
			text := fmt.Sprint(errors.Join(s.Problems()...))
			if c.problem == "" && len(s.Problems()) > 0 || !strings.Contains(text, c.problem) {
				t.Errorf("problems = %s, want %q", text, c.problem)
			}
			if n := s.Current(); n != c.current {
				t.Errorf("Current() = %d, want %d", n, c.current)
			}
			// The rest works on, and no number is used again.
			if _, tr, err := s.Load(1); err != nil || tr.Digest() != a.Digest() {
				t.Errorf("generation 1 cannot be loaded: %v", err)
			}
			next := app(4)
			m := save(t, s, next)
			if m <= 2 || m <= c.current {
				t.Errorf("the next generation is %d, a number used before", m)
			}
			wantCurrent(t, s, m, next)
			s.Retain(1)
			wantCurrent(t, s, save(t, s, app(5)), app(5))
		})
	}
}

// While a record cannot be read, nobody knows which objects it needs.
func TestPruneKeepsObjectsOfUnreadableRecords(t *testing.T) {
	dir, _, b := saved(t)
	name := filepath.Join(dir, "generations/000002.json")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	put(t, name, "garbage")
	s := open(t, dir, Options{})
	save(t, s, app(1))
	s.Retain(1)
	save(t, s, app(2))
	s.Close()
	put(t, name, string(good))
	s = open(t, dir, Options{})
	if _, tr, err := s.Load(2); err != nil || tr.Digest() != b.Digest() {
		t.Errorf("the restored record cannot be loaded: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		damage     func(dir string) error
	}{
		{"a newer format", "written by a newer theseus: it has format 3", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "format"), []byte("3\n"), 0o644)
		}},
		{"a file for the store", "not a folder", func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o644))
		}},
		{"a file for a folder", "not a folder", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "objects")), os.WriteFile(filepath.Join(dir, "objects"), nil, 0o644))
		}},
		{"a link for a folder", "not a folder", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "log")), os.Symlink("/", filepath.Join(dir, "log")))
		}},
		{"a folder for the journal", "a folder, not a file", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "journal")), os.Mkdir(filepath.Join(dir, "journal"), 0o755))
		}},
		{"a link for the journal", "a symbolic link, not a file", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "journal")), os.Symlink("current", filepath.Join(dir, "journal")))
		}},
		{"a folder for the lock", "a folder, not a file", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "lock")), os.Mkdir(filepath.Join(dir, "lock"), 0o755))
		}},
		{"a link for the lock", "a symbolic link, not a file", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "lock")), os.Symlink("current", filepath.Join(dir, "lock")))
		}},
		{"a folder that is missing", "no such file or directory", func(dir string) error {
			return os.RemoveAll(filepath.Dir(dir))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _, _ := saved(t)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{})
			if err == nil {
				s.Close()
				t.Fatal("Open succeeded")
			}
			if e := (*Error)(nil); !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open = %v, want an Error with a hint saying %q", err, c.want)
			}
		})
	}
	dir, _, _ := saved(t)
	put(t, filepath.Join(dir, "format"), "3\n")
	for _, opt := range []Options{{}, {ReadOnly: true}} {
		if _, err := Open(dir, opt); !errors.Is(err, ErrNewer) {
			t.Errorf("Open(%+v) = %v, want ErrNewer", opt, err)
		}
	}
}

// Where a link or a folder stands for a file that is written, it is not followed.
func TestWritesRefuseLinks(t *testing.T) {
	dir, _, _ := saved(t)
	outside := filepath.Join(t.TempDir(), "precious")
	put(t, outside, "precious")
	for _, name := range []string{"current", "log/runs.ndjson"} {
		os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	s := open(t, dir, Options{})
	wantCurrent(t, s, save(t, s, app(4)), app(4)) // the journal counts
	if err := s.Append("runs", 1); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("Append = %v, want an error about the link", err)
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != "precious" {
		t.Errorf("the file outside holds %q (%v)", got, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"format":1,"number":2,"digest":"` + strings.Repeat("a", 64) + `","files":[{"path":"x","digest":"` + strings.Repeat("b", 64) + `","size":1}]}`))
	f.Add([]byte(`{"format":1e9}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		for _, e := range r.Files {
			if !strings.HasPrefix(objectName(e.Digest), "objects/") || strings.Contains(objectName(e.Digest), "..") {
				t.Errorf("the digest %q leads out of the objects", e.Digest)
			}
		}
	})
}
