package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mine, theirs Versions
		want         int
		hint         string // in the text of a VersionError
	}{
		{Versions{1, 1}, Versions{1, 1}, 1, ""},
		{Versions{1, 3}, Versions{2, 5}, 3, ""},
		{Versions{2, 5}, Versions{1, 3}, 3, ""},
		{Versions{1, 9}, Versions{4, 6}, 6, ""},
		{Versions{2, 2}, Versions{1, 2}, 2, ""},
		{Versions{2, 3}, Versions{1, 1}, 0, "versions 2 to 3 of the upgrade protocol, the older peer version 1"},
		{Versions{1, 1}, Versions{2, 3}, 0, "version 1 of the upgrade protocol, the newer peer versions 2 to 3"},
	} {
		got, err := Negotiate(Hello{Min: test.mine.Min, Max: test.mine.Max}, Hello{Min: test.theirs.Min, Max: test.theirs.Max})
		if got != test.want {
			t.Errorf("Negotiate(%v, %v) = %d, %v, want %d", test.mine, test.theirs, got, err, test.want)
		}
		if test.want != 0 {
			continue
		}
		var v *VersionError
		if !errors.As(err, &v) || v.Mine != test.mine || v.Theirs != test.theirs {
			t.Errorf("Negotiate(%v, %v): %v, want a VersionError of both", test.mine, test.theirs, err)
		} else if !strings.Contains(err.Error(), test.hint) {
			t.Errorf("error %q does not say %q", err, test.hint)
		}
	}
}

func TestNegotiateNonsense(t *testing.T) {
	t.Parallel()
	good := Hello{Min: 1, Max: 2}
	for _, bad := range []Hello{{}, {Min: 3, Max: 2}, {Min: -1, Max: 1}, {Min: 0, Max: 1}} {
		if v, err := Negotiate(good, bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("Negotiate(%+v, %+v) = %d, %v, want ErrMalformed", good, bad, v, err)
		}
		if v, err := Negotiate(bad, good); !errors.Is(err, ErrMalformed) {
			t.Errorf("Negotiate(%+v, %+v) = %d, %v, want ErrMalformed", bad, good, v, err)
		}
	}
}
