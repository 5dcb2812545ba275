package kv

import (
	"slices"
	"testing"
	"time"
)

// A replaced value lives as long as the one before; a key that is gone stays gone.
func TestReplace(t *testing.T) {
	s := New(Options{})
	_ = s.Set("ever", []byte("1"), 0)
	_ = s.Set("hour", []byte("1"), time.Hour)
	_ = s.Set("null", []byte("1"), 0)
	until := s.part("hour").m["hour"].expires
	var b Batch
	b.Replace("ever", []byte("2"))
	b.Replace("hour", []byte("2"))
	b.Replace("null", nil)
	b.Replace("gone", []byte("2"))
	b.SetVersion("x", 1)
	if got := b.Keys(); !slices.Equal(got, []string{"ever", "hour", "null", "gone"}) {
		t.Error(got)
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if got := s.Keys(""); !slices.Equal(got, []string{"ever", "hour"}) {
		t.Fatal(got)
	}
	for key, want := range map[string]time.Duration{"ever": 0, "hour": until} {
		if e := s.part(key).m[key]; string(e.text) != "2" || e.expires != want {
			t.Errorf("%s is %s until %v, want %v", key, e.text, e.expires, want)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2]}`, `{ "b": [2.0], "a": 1 }`, true},
		{"null", "", true},
		{"1", "null", false},
		{"[1]", "[1", false},
		{"nonsense", "nonsense", true},
	} {
		var b []byte
		if c.b != "" {
			b = []byte(c.b)
		}
		if Equal([]byte(c.a), b) != c.want {
			t.Errorf("Equal(%s, %s) is not %v", c.a, c.b, c.want)
		}
	}
}
