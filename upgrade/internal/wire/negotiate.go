package wire

import "fmt"

// A VersionError reports two processes without a common version of the
// protocol. Neither has given anything away.
type VersionError struct {
	Mine, Theirs Versions
}

// Versions is a range of protocol versions, both ends included.
type Versions struct {
	Min, Max int
}

func (v Versions) String() string {
	if v.Min == v.Max {
		return fmt.Sprintf("version %d", v.Min)
	}
	return fmt.Sprintf("versions %d to %d", v.Min, v.Max)
}

func (v Versions) valid() bool { return v.Min >= 1 && v.Min <= v.Max }

func (e *VersionError) Error() string {
	age := "older"
	if e.Theirs.Min > e.Mine.Max {
		age = "newer"
	}
	return fmt.Sprintf("negotiate: this process speaks %s of the upgrade protocol, the %s peer %s: "+
		"upgrade by way of a release that speaks both, or stop and start the service", e.Mine, age, e.Theirs)
}

// Negotiate returns the newest version of the protocol that both sides speak.
// Both sides call it and get the same answer. Without a common version the
// error is a *[VersionError]; it wraps [ErrMalformed] if a range is not one.
func Negotiate(mine, theirs Hello) (version int, err error) {
	m, t := Versions{mine.Min, mine.Max}, Versions{theirs.Min, theirs.Max}
	for _, v := range []Versions{m, t} {
		if !v.valid() {
			return 0, fmt.Errorf("negotiate: %w: hello of %s", ErrMalformed, v)
		}
	}
	version = min(m.Max, t.Max)
	if version < max(m.Min, t.Min) {
		return 0, &VersionError{Mine: m, Theirs: t}
	}
	return version, nil
}
