package systemd

import (
	"strings"
	"testing"
)

func TestStoredName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, requested, want string }{
		{"tcp|:80", "tcp|:80", "theseus|tcp%7C%3A80"},
		{"http", "tcp|[::1]:80", "theseus|http|tcp%7C[%3A%3A1]%3A80"},
		{"ü 100%", "unix|/run/a b", "theseus|%C3%BC%20100%25|unix%7C/run/a%20b"},
	} {
		got, ok := StoredName(c.name, c.requested)
		if got != c.want || !ok {
			t.Errorf("StoredName(%q, %q) = %q, %v, want %q", c.name, c.requested, got, ok, c.want)
		}
		if name, requested, ok := ParseStoredName(got); name != c.name || requested != c.requested || !ok {
			t.Errorf("ParseStoredName(%q) = %q, %q, %v", got, name, requested, ok)
		}
	}
	if _, ok := StoredName("a", strings.Repeat("b", 255)); ok {
		t.Error("a name that systemd does not take")
	}
	for _, foreign := range []string{"", "http", "theseus", "theseus|%", "theseus|a|%zz"} {
		if _, _, ok := ParseStoredName(foreign); ok {
			t.Errorf("%q is taken for one of ours", foreign)
		}
	}
}

func FuzzStoredName(f *testing.F) {
	f.Add("http", "tcp|:80")
	f.Add("theseus|a", "%41|:")
	f.Fuzz(func(t *testing.T, name, requested string) {
		ParseStoredName(name)
		stored, ok := StoredName(name, requested)
		if !ok {
			return
		}
		for _, c := range []byte(stored) {
			if c <= ' ' || c > '~' || c == ':' {
				t.Errorf("StoredName(%q, %q) = %q", name, requested, stored)
			}
		}
		if n, r, ok := ParseStoredName(stored); n != name || r != requested || !ok {
			t.Errorf("ParseStoredName(%q) = %q, %q, %v, want %q, %q", stored, n, r, ok, name, requested)
		}
	})
}
