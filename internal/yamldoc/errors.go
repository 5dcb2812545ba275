package yamldoc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/internal/spell"
	"github.com/theseus-run/theseus/script"
)

// maxErrors is how many mistakes one call reports.
const maxErrors = 20

// Errors is a list of mistakes in the order they stand in the file. It works
// with errors.Is and errors.As.
type Errors []*script.Error

// Error returns the messages, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, x := range e {
		out[i] = x
	}
	return out
}

// Err returns e, sorted by position and cut at 20, or nil when it is empty.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *script.Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if more := len(e) - maxErrors; more > 0 {
		e = slices.Clone(e[:maxErrors])
		last := *e[maxErrors-1]
		last.Hint = strings.TrimPrefix(fmt.Sprintf("%s; %d more mistakes are not shown", last.Hint, more), "; ")
		e[maxErrors-1] = &last
	}
	return e
}

// Flatten returns the mistakes in err's tree. An error that is none becomes one of
// kind Failed about the file name; nil gives nil.
func Flatten(name string, err error) []*script.Error {
	if err == nil {
		return nil
	}
	if all, ok := errors.AsType[Errors](err); ok {
		return all
	}
	if one, ok := errors.AsType[*script.Error](err); ok {
		return []*script.Error{one}
	}
	return []*script.Error{{Kind: script.Failed, File: name, Message: err.Error(), Err: err}}
}

// DidYouMean returns a hint for an unknown word: the nearest known one, else
// the list of all.
func DidYouMean(word string, known []string) string {
	if s := spell.Nearest(word, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	if len(known) == 0 {
		return ""
	}
	known = slices.Sorted(slices.Values(known))
	if len(known) > 20 {
		return "known: " + strings.Join(known[:20], ", ") + ", …"
	}
	return "known: " + strings.Join(known, ", ")
}
