package kv

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func set(t *testing.T, s *Store, key, value string) {
	t.Helper()
	if err := s.Set(key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func get(s *Store, key string) string {
	v, ok := s.Get(key)
	if !ok {
		return "absent"
	}
	return string(v)
}

func TestSetGetDelete(t *testing.T) {
	s := New(Options{})
	set(t, s, "a", `{"x": 1}`)
	if got := get(s, "a"); got != `{"x": 1}` {
		t.Errorf("Get = %s", got)
	}
	v, _ := s.Get("a")
	v[0] = 'X' // the caller's copy
	set(t, s, "b", `2`)
	set(t, s, "a", `[1]`)
	if got := get(s, "a"); got != "[1]" {
		t.Errorf("after Set: %s", got)
	}
	if !s.Delete("b") || s.Delete("b") {
		t.Error("Delete must report whether the key was there")
	}
	set(t, s, "a", " null ")
	if got := get(s, "a"); got != "absent" {
		t.Errorf("null is stored as %s", got)
	}
	if st := s.Stats(); st != (Stats{}) {
		t.Errorf("Stats() = %+v of an empty store", st)
	}
}

func TestKeys(t *testing.T) {
	s := New(Options{})
	for _, k := range []string{"cart:2", "cart:1", "user:1", "c"} {
		set(t, s, k, "1")
	}
	for prefix, want := range map[string]string{"": "c cart:1 cart:2 user:1", "cart:": "cart:1 cart:2", "x": ""} {
		if got := strings.Join(s.Keys(prefix), " "); got != want {
			t.Errorf("Keys(%q) = %s, want %s", prefix, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	s := New(Options{MaxValue: 10, MaxTotal: 40, MaxKeys: 3})
	big := []byte(`"` + strings.Repeat("x", 8) + `"`)
	for _, k := range []string{"a", "b", "c"} {
		if err := s.Set(k, big, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Stats()
	_, incrErr := s.Incr("d", 1)
	_, casErr := s.CAS("d", nil, []byte("1"))
	for _, c := range []struct {
		name, limit string
		err         error
	}{
		{"value", "value", s.Set("a", append([]byte(" "), big...), 0)},
		{"keys", "keys", s.Set("d", []byte("1"), 0)},
		{"keys by Incr", "keys", incrErr},
		{"keys by CAS", "keys", casErr},
		{"key", "key", s.Set(strings.Repeat("k", 513), []byte("1"), 0)},
	} {
		limit, ok := errors.AsType[*LimitError](c.err)
		if !ok || limit.Limit != c.limit || limit.Size <= limit.Max {
			t.Errorf("%s: %v, want a limit error about %s", c.name, c.err, c.limit)
		}
	}
	if s.Stats() != before {
		t.Errorf("a refused write changed %+v to %+v", before, s.Stats())
	}

	s = New(Options{MaxTotal: 40})
	set(t, s, "a", strings.Repeat("1", 30))
	err := s.Set("b", []byte(strings.Repeat("1", 9)), 0)
	if limit, ok := errors.AsType[*LimitError](err); !ok || limit.Limit != "total" || limit.Size != 41 {
		t.Errorf("total: %v", err)
	}
	set(t, s, "b", strings.Repeat("1", 8))
	set(t, s, "a", strings.Repeat("2", 30)) // in place of itself
}

func TestInvalid(t *testing.T) {
	s := New(Options{})
	set(t, s, "text", `"x"`)
	_, casOld := s.CAS("a", []byte("{"), []byte("1"))
	_, casNew := s.CAS("a", nil, []byte("{"))
	_, incr := s.Incr("", 1)
	for name, err := range map[string]error{
		"empty key": s.Set("", []byte("1"), 0), "key not UTF-8": s.Set("\xff", []byte("1"), 0),
		"no JSON": s.Set("a", []byte("{x}"), 0), "empty": s.Set("a", []byte{}, 0), "not UTF-8": s.Set("a", []byte("\"\xff\""), 0),
		"ttl": s.Set("a", []byte("1"), -1), "old": casOld, "new": casNew, "incr": incr,
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if s.Stats().Keys != 1 {
		t.Errorf("%v are stored", s.Keys(""))
	}
}

func TestIncr(t *testing.T) {
	s := New(Options{})
	for _, c := range []struct {
		by   float64
		want string
	}{{1, "1"}, {41, "42"}, {-42, "0"}, {-0.5, "-0.5"}, {0.5, "0"}, {maxExact, "9007199254740992"}} {
		n, err := s.Incr("n", c.by)
		if err != nil || get(s, "n") != c.want || fmt.Sprint(n) != fmt.Sprint(mustFloat(c.want)) {
			t.Errorf("Incr(%v) = %v, %v; stored %s, want %s", c.by, n, err, get(s, "n"), c.want)
		}
	}
	set(t, s, "text", `"1"`)
	set(t, s, "huge", `1e999`)
	for key, by := range map[string]float64{"n": 2, "text": 1, "huge": 1, "inf": math.Inf(1), "nan": math.NaN()} {
		if _, err := s.Incr(key, by); !errors.Is(err, ErrNotNumber) {
			t.Errorf("Incr(%s, %v): %v, want ErrNotNumber", key, by, err)
		}
	}
}

func mustFloat(s string) (f float64) {
	if _, err := fmt.Sscan(s, &f); err != nil {
		panic(err)
	}
	return f
}

func TestCAS(t *testing.T) {
	for _, c := range []struct{ value, old, new, want string }{
		{"", "", "1", "1"},
		{"", "null", "1", "1"},
		{"", "1", "2", ""},
		{"1", "null", "2", ""},
		{"1", "1", "null", "absent"},
		{"1", "1.0", "2", "2"},
		{"100", "1e2", "2", "2"},
		{"0.001", "1E-3", "2", "2"},
		{"0", "-0.0", "2", "2"},
		{"-1", "1", "2", ""},
		{"9007199254740993", "9007199254740992", "2", ""},
		{"1e999999999999", "1e999999999999", "2", "2"},
		{"1e999999999999", "1e999999999998", "2", ""},
		{`{"a":1,"b":[1,2]}`, ` {"b" : [1, 2.0], "a":1}`, "2", "2"},
		{`{"a":1}`, `{"a":1,"b":null}`, "2", ""},
		{`[1,2]`, `[2,1]`, "2", ""},
		{`"é"`, `"\u00e9"`, "2", "2"},
		{`"1"`, `1`, "2", ""},
		{`[]`, `{}`, "2", ""},
		{`true`, `[]`, "2", ""},
	} {
		s := New(Options{})
		if c.value != "" {
			set(t, s, "k", c.value)
		}
		before := get(s, "k")
		done, err := s.CAS("k", text(c.old), text(c.new))
		want := c.want
		if want == "" {
			want = before
		}
		if err != nil || done != (c.want != "") || get(s, "k") != want {
			t.Errorf("%q: CAS(%q, %q) = %v, %v; then %s, want %s", c.value, c.old, c.new, done, err, get(s, "k"), want)
		}
	}
}

// text returns nil for an empty string.
func text(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{MaxKeys: 100})
		put := func(key string, ttl time.Duration) {
			t.Helper()
			if err := s.Set(key, []byte("1"), ttl); err != nil {
				t.Fatal(err)
			}
		}
		put("a", 100*time.Millisecond)
		put("for good", math.MaxInt64)
		put("kept", 100*time.Millisecond)
		put("kept", 0)
		put("counted", 100*time.Millisecond)
		put("swapped", 100*time.Millisecond)
		if _, err := s.Incr("counted", 1); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.CAS("swapped", []byte("1"), []byte("2")); !ok || err != nil {
			t.Fatal(ok, err)
		}
		time.Sleep(99 * time.Millisecond)
		if got := strings.Join(s.Keys(""), " "); got != "a counted for good kept swapped" {
			t.Errorf("before its time: %s", got)
		}
		time.Sleep(time.Millisecond)
		if got := strings.Join(s.Keys(""), " "); got != "for good kept" {
			t.Errorf("after it: %s", got)
		}
		if get(s, "a") != "absent" || s.Delete("a") {
			t.Error("an expired key is there")
		}
		if n, err := s.Incr("counted", 5); n != 5 || err != nil {
			t.Errorf("Incr of an expired key = %v, %v", n, err)
		}
		if ok, err := s.CAS("swapped", nil, []byte("3")); !ok || err != nil {
			t.Errorf("CAS of an expired key = %v, %v", ok, err)
		}
		time.Sleep(time.Hour)
		if get(s, "counted") != "5" || get(s, "swapped") != "3" {
			t.Error("a new key has the time of the one that expired")
		}
	})
}

// Expired keys make room, and writes give their memory back.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{MaxKeys: 1000})
		fill := func(ttl time.Duration) {
			for i := range 1000 {
				if err := s.Set(fmt.Sprint("k", i), []byte("1"), ttl); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill(time.Second)
		if err := s.Set("one more", []byte("1"), 0); err == nil {
			t.Error("the limit does not hold")
		}
		time.Sleep(time.Second)
		if err := s.Set("one more", []byte("1"), 0); err != nil {
			t.Error(err)
		}
		if got := s.Keys(""); len(got) != 1 {
			t.Errorf("%d keys are there, want 1", len(got))
		}
		s.Delete("one more")

		fill(time.Second) // needs the room of all
		time.Sleep(time.Second)
		for range 4 * shards {
			s.Delete("nothing")
		}
		if st := s.Stats(); st.Keys > 50 {
			t.Errorf("%d expired keys are left after %d writes", st.Keys, 4*shards)
		}
	})
}

// A store and its forks, against maps.
func TestForkAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	type pair struct {
		store *Store
		model map[string]string
	}
	all := []pair{{New(Options{}), map[string]string{}}}
	for range 20_000 {
		p := all[r.IntN(len(all))]
		key := fmt.Sprint("k", r.IntN(300))
		switch r.IntN(12) {
		case 0, 1:
			_, had := p.model[key]
			if p.store.Delete(key) != had {
				t.Fatalf("Delete(%s) = %v", key, !had)
			}
			delete(p.model, key)
		case 2:
			if r.IntN(20) == 0 && len(all) < 30 {
				m := make(map[string]string)
				for k, v := range p.model {
					m[k] = v
				}
				all = append(all, pair{p.store.Fork(), m})
			}
		default:
			v := fmt.Sprint(r.IntN(1000))
			set(t, p.store, key, v)
			p.model[key] = v
		}
	}
	for i, p := range all {
		var want []string
		var size int64
		for k, v := range p.model {
			want = append(want, k)
			size += int64(len(k) + len(v))
			if got := get(p.store, k); got != v {
				t.Errorf("store %d: %s = %s, want %s", i, k, got, v)
			}
		}
		slices.Sort(want)
		if !slices.Equal(p.store.Keys(""), want) {
			t.Errorf("store %d has %d keys, want %d", i, len(p.store.Keys("")), len(want))
		}
		if st := p.store.Stats(); st.Keys != len(want) || st.Bytes != size {
			t.Errorf("store %d: %+v, want %d keys and %d bytes", i, st, len(want), size)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := New(Options{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 500 {
				if _, err := s.Incr("count", 1); err != nil {
					t.Error(err)
				}
				for {
					old, _ := s.Get("list")
					if ok, err := s.CAS("list", old, fmt.Appendf(nil, "[%d,%d]", i, n)); err != nil {
						t.Error(err)
					} else if ok {
						break
					}
				}
				if n%50 == 0 {
					f := s.Fork()
					if _, err := f.Incr("count", 1e6); err != nil {
						t.Error(err)
					}
					f.Keys("")
				}
				_ = s.Set(fmt.Sprint("t", n%20), []byte("1"), time.Microsecond)
			}
		})
	}
	wg.Wait()
	if got := get(s, "count"); got != "2000" {
		t.Errorf("count = %s, want 2000", got)
	}
}

func FuzzEqual(f *testing.F) {
	f.Add(`{"a":[1,2.50]}`, `{"a":[1.0,25e-1]}`)
	f.Add(`1e-400`, `0`)
	f.Add(`-0`, `0.0e5`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if checkText("a", "a", []byte(a)) != nil || checkText("b", "b", []byte(b)) != nil {
			return
		}
		if !equal([]byte(a), []byte(a+" ")) {
			t.Fatalf("%q does not equal itself", a)
		}
		if equal([]byte(a), []byte(b)) != equal([]byte(b), []byte(a)) {
			t.Fatalf("equal(%q, %q) depends on the order", a, b)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	s := New(Options{})
	_ = s.Set("session:1", []byte(`{"cart":[1,2,3]}`), time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		s.Get("session:1")
	}
}

func BenchmarkSet(b *testing.B) {
	s := New(Options{})
	v := []byte(`{"cart":[1,2,3]}`)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Set("session:1", v, time.Hour)
	}
}

func BenchmarkFork100k(b *testing.B) {
	s := New(Options{})
	for i := range 100_000 {
		_ = s.Set(fmt.Sprint("k", i), []byte("1"), 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Fork()
	}
}
