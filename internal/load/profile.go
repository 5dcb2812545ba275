package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
)

// A Profile says what shoppers do and which answers are right.
type Profile struct {
	// Session makes the part of shopper n, counted from 0.
	Session func(n int) Session

	// StreamPath is the path of the event stream; empty when there is none.
	StreamPath string

	// Silence is how long a stream may send nothing before it counts as broken.
	// Zero means forever.
	Silence time.Duration
}

// A Session is one shopper's part. It is used by one goroutine; Next is called
// when the step before has ended.
type Session interface {
	Next(random *rand.Rand) Step
}

// A Step is one request.
type Step struct {
	Method string
	Path   string // with the query, escaped
	Body   []byte // JSON; may be nil
	Accept string // empty means */*

	// Check says why a complete response with a status below 500 is wrong; an
	// error that wraps ErrMixed counts as mixed. Nil accepts all of them.
	Check func(*Response) error

	// Lost is called when no complete response came, or one with a status of
	// 500 or above: whether the request had an effect is unknown. May be nil.
	Lost func()
}

// AutoProfile returns a profile for any app: it gets those of the given route
// patterns (of net/http's ServeMux) that can be got without knowing more, in
// turn. samples has a value for each "{name}" that may be filled in. Any answer
// with a status below 500 is right. Leave out routes of streams: a response has
// to end.
func AutoProfile(routes []string, samples map[string]string) (Profile, error) {
	var paths []string
	for _, r := range routes {
		if p, ok := samplePath(r, samples); ok {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return Profile{}, errors.New("load: no route can be got without knowing more: all have another method, a host or a {name}")
	}
	return Profile{Session: func(n int) Session { return &autoSession{paths: paths, next: n} }}, nil
}

// samplePath returns a path that matches the pattern, if GET may be sent there.
func samplePath(pattern string, samples map[string]string) (string, bool) {
	path := strings.TrimSpace(pattern)
	if method, rest, ok := strings.Cut(path, " "); ok {
		if method != "GET" {
			return "", false
		}
		path = strings.TrimSpace(rest)
	}
	if !strings.HasPrefix(path, "/") {
		return "", false // of one host
	}
	path = strings.TrimSuffix(path, "{$}")
	for {
		before, rest, ok := strings.Cut(path, "{")
		if !ok {
			break
		}
		name, after, ok := strings.Cut(rest, "}")
		value, known := samples[strings.TrimSuffix(name, "...")]
		if !ok || !known {
			return "", false
		}
		// A value must not open another wildcard.
		path = before + strings.ReplaceAll(url.PathEscape(value), "{", "%7B") + after
	}
	u, err := url.Parse(path)
	if err != nil || u.Host != "" {
		return "", false
	}
	return u.EscapedPath(), true
}

type autoSession struct {
	paths []string
	next  int
}

func (s *autoSession) Next(*rand.Rand) Step {
	path := s.paths[s.next%len(s.paths)]
	s.next++
	return Step{Method: "GET", Path: path}
}

// wantStatus returns an error unless the status is one of ok.
func wantStatus(r *Response, ok ...int) error {
	for _, s := range ok {
		if r.Status == s {
			return nil
		}
	}
	return fmt.Errorf("status %d, want %v: %s", r.Status, ok, excerpt(r.Body))
}
