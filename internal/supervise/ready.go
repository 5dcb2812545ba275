package supervise

import (
	"fmt"
	"strings"
	"time"
)

// ReadyKind is how a child's readiness is learned.
type ReadyKind string

// The kinds of readiness.
const (
	ReadyNotify ReadyKind = "notify" // the child says READY=1, see sd_notify(3)
	ReadyTCP    ReadyKind = "tcp"    // the child accepts a connection
	ReadyHTTP   ReadyKind = "http"   // the child answers GET with a status from 200 to 399
	ReadyDelay  ReadyKind = "delay"  // the child has run for a time
)

// Ready says how a child's readiness is learned. The zero value means
// [ReadyNotify].
//
// Probes connect to the first stream socket. Old and new child share it, so a
// connection may reach either; on Linux the supervisor looks up in /proc which
// process accepted, and counts only those of the child in question. Elsewhere
// it cannot tell, and a probe says only that somebody answers.
type Ready struct {
	Kind  ReadyKind
	Path  string        // for ReadyHTTP: begins with "/"
	Delay time.Duration // for ReadyDelay
}

// ParseReady reads notify, tcp, http:/PATH or delay:DURATION; empty is notify.
func ParseReady(s string) (Ready, error) {
	kind, rest, _ := strings.Cut(s, ":")
	r := Ready{Kind: ReadyKind(kind)}
	switch r.Kind {
	case "", ReadyNotify, ReadyTCP:
		if s != kind {
			return Ready{}, fmt.Errorf("readiness %q: %s takes no value", s, kind)
		}
		if kind == "" {
			r.Kind = ReadyNotify
		}
	case ReadyHTTP:
		r.Path = rest
	case ReadyDelay:
		d, err := time.ParseDuration(rest)
		if err != nil {
			return Ready{}, fmt.Errorf("readiness %q: write delay:DURATION, such as delay:500ms", s)
		}
		r.Delay = d
	default:
		return Ready{}, fmt.Errorf("readiness %q: write notify, tcp, http:/PATH or delay:DURATION", s)
	}
	return r, r.check()
}

// String is what [ParseReady] reads.
func (r Ready) String() string {
	switch r.Kind {
	case ReadyHTTP:
		return "http:" + r.Path
	case ReadyDelay:
		return "delay:" + r.Delay.String()
	case "":
		return string(ReadyNotify)
	}
	return string(r.Kind)
}

func (r Ready) probes() bool { return r.Kind == ReadyTCP || r.Kind == ReadyHTTP }

func (r Ready) check() error {
	switch r.Kind {
	case "", ReadyNotify, ReadyTCP:
	case ReadyHTTP:
		if !strings.HasPrefix(r.Path, "/") || strings.ContainsFunc(r.Path, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return fmt.Errorf("readiness %q: the path begins with / and has printable ASCII characters only", r.String())
		}
	case ReadyDelay:
		if r.Delay < 0 {
			return fmt.Errorf("readiness %q: the delay is negative", r.String())
		}
	default:
		return fmt.Errorf("readiness %q is not known", string(r.Kind))
	}
	return nil
}
