package kv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What one store exports, with what changed since, makes another the same.
func TestExportImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		from := New(Options{})
		change := func(n int) {
			for range n {
				key := fmt.Sprintf("k%d <&> é", r.IntN(500))
				switch r.IntN(5) {
				case 0:
					from.Delete(key)
				case 1:
					if err := from.Set(key, []byte(`"passing"`), time.Duration(1+r.IntN(100))*time.Second); err != nil {
						t.Fatal(err)
					}
				default:
					set(t, from, key, fmt.Sprintf(`{"n": %d, "s":"<a> \u2028"}`, r.IntN(100)))
				}
			}
		}
		change(2000)
		time.Sleep(10 * time.Second)
		var all, changes bytes.Buffer
		base, err := from.Export(&all)
		if err != nil {
			t.Fatal(err)
		}
		change(30)
		time.Sleep(5 * time.Second)
		from.Fork() // somebody else's: it must not hide what changed
		change(30)
		if err := from.ExportChanges(&changes, base); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(changes.String(), "\n"); n == 0 || n > 200 {
			t.Errorf("%d lines of changes", n)
		}
		to := New(Options{})
		for _, in := range []*bytes.Buffer{&all, &changes} {
			if err := to.Import(in); err != nil {
				t.Fatal(err)
			}
		}
		same := func(when string) {
			t.Helper()
			keys := from.Keys("")
			if got := to.Keys(""); fmt.Sprint(got) != fmt.Sprint(keys) {
				t.Fatalf("%s: %d keys, want %d", when, len(got), len(keys))
			}
			for _, k := range keys {
				if a, b := get(from, k), get(to, k); a != b {
					t.Fatalf("%s: %s = %s, want %s", when, k, b, a)
				}
			}
		}
		same("at once")
		time.Sleep(30 * time.Second)
		same("30 s later")
		time.Sleep(time.Hour)
		same("when all that passes has gone")
	})
}

// An import is all or nothing.
func TestImportRefuses(t *testing.T) {
	for _, bad := range []string{`{"k":"b","v":"{"}`, `{"k":"","v":"1"}`, `{"k":"b","v":1}`, `{"k":"b"`, `nonsense`, `{"k":"big","v":"\"` + strings.Repeat("x", 100) + `\""}`} {
		s := New(Options{MaxValue: 50})
		set(t, s, "a", "1")
		if err := s.Import(strings.NewReader(`{"k":"a"}` + "\n" + `{"k":"c","v":"3"}` + "\n" + bad)); err == nil {
			t.Errorf("%.40s: no error", bad)
		}
		if got := fmt.Sprint(s.Keys(""), s.Stats()); got != "[a] {1 2}" {
			t.Errorf("%.40s: left %s", bad, got)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"k":"a","v":"1","x":99}` + "\n" + `{"k":"b"}`))
	f.Add([]byte(`{"k":"a","v":"[1]","x":9223372036854775807}{"k":"a","v":"null"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := New(Options{MaxTotal: 1 << 10, MaxKeys: 20})
		if s.Import(bytes.NewReader(text)) != nil && s.Stats() != (Stats{}) {
			t.Fatal("a refused import left something")
		}
		if st := s.Stats(); st.Bytes > 1<<10 || st.Keys > 20 {
			t.Fatalf("beyond the limits: %+v", st)
		}
		var out bytes.Buffer
		if _, err := s.Export(&out); err != nil {
			t.Fatal(err)
		}
		if err := New(Options{}).Import(&out); err != nil {
			t.Fatalf("its own export: %v", err)
		}
	})
}
