package app

import (
	"sync"

	"github.com/theseus-run/theseus/internal/executable"
)

// Program is the fingerprint of a program: version, commit, digest, rollback counter.
type Program = executable.Fingerprint

// An identity is the fingerprint of the program that runs. Its digest takes some
// tens of milliseconds, and is computed once, when somebody wants to know.
type identity struct {
	stated *Program // without the digest; nil if nobody said
	once   sync.Once
	known  chan struct{}
	whole  Program // once known is closed
}

func newIdentity(stated *Program) *identity {
	return &identity{stated: stated, known: make(chan struct{})}
}

// begin computes the digest beside what goes on. A file that cannot be read has none.
func (i *identity) begin() {
	if i.stated == nil {
		return
	}
	i.once.Do(func() {
		go func() {
			defer close(i.known)
			i.whole = *i.stated
			i.whole.Digest, _ = executable.SelfDigest()
		}()
	})
}

// now returns what is known by now; nil if nobody said.
func (i *identity) now() *Program {
	i.begin()
	select {
	case <-i.known:
		return &i.whole
	default:
		return i.stated
	}
}

// wait returns the whole fingerprint.
func (i *identity) wait() *Program {
	if i.begin(); i.stated == nil {
		return nil
	}
	<-i.known
	return &i.whole
}
