package executable

import (
	"strconv"
	"strings"
	"time"
)

// A Fingerprint identifies a program: Digest alone says whether two are the
// same; the rest is for people, empty where the program does not say.
type Fingerprint struct {
	Digest   string    `json:"digest"`             // SHA-256 of the file, in hexadecimal
	Version  string    `json:"version,omitempty"`  // what the linker set main.version to, else the main module's version
	Commit   string    `json:"commit,omitempty"`   // the revision that it was built from
	Modified bool      `json:"modified,omitempty"` // with changes that are not in Commit
	Time     time.Time `json:"time,omitzero"`      // of Commit, UTC; Go programs do not hold the time of their build
	Counter  int64     `json:"counter,omitempty"`  // its rollback counter, what the linker set main.counter to; 0 for none
}

// Fingerprint identifies the file as it was read.
func (i *Info) Fingerprint() Fingerprint {
	f := Fingerprint{Digest: i.Digest}
	if b := i.Build; b != nil {
		f.Version, f.Commit, f.Modified, f.Time = b.version(), b.Revision, b.Modified, b.Time
		f.Counter, _ = strconv.ParseInt(b.linked("main.counter"), 10, 64)
	}
	return f
}

// String is a short form for logs: version, commit and digest, the latter two
// cut to 12 characters, as "v1.4.0 0123456789ab+ sha256:0123456789ab". A plus
// sign stands for a modified checkout.
func (f Fingerprint) String() string {
	var parts []string
	if f.Version != "" {
		parts = append(parts, f.Version)
	}
	if f.Commit != "" {
		commit := f.Commit[:min(len(f.Commit), 12)]
		if f.Modified {
			commit += "+"
		}
		parts = append(parts, commit)
	}
	return strings.Join(append(parts, "sha256:"+f.Digest[:min(len(f.Digest), 12)]), " ")
}

// version prefers what was given to the linker, as releases do.
func (b *Build) version() string {
	if v := b.linked("main.version", "main.Version"); v != "" {
		return v
	}
	if b.Version == "(devel)" {
		return ""
	}
	return b.Version
}

// linked is the value that the linker was told to give one of the variables; empty
// for none. Builds with -trimpath do not keep that.
func (b *Build) linked(names ...string) string {
	for _, s := range b.Settings {
		if s.Name == "-ldflags" {
			if v := linkerValue(s.Value, names...); v != "" {
				return v
			}
		}
	}
	return ""
}

// linkerValue is the value of the last -X NAME= in linker flags, with quotes around
// it removed.
func linkerValue(flags string, names ...string) string {
	found := ""
	for _, word := range strings.Fields(flags) {
		word = strings.TrimPrefix(strings.Trim(word, `'"`), "-X=")
		for _, name := range names {
			if v, ok := strings.CutPrefix(strings.Trim(word, `'"`), name+"="); ok {
				found = strings.Trim(v, `'"`)
			}
		}
	}
	return found
}
