package evalunit

import (
	"errors"
	"strings"
	"time"

	"github.com/theseus-run/theseus/script"
)

// OK is the outcome without an error; the others are the values of
// [script.Kind].
const OK = "ok"

// A Report is how an evaluation ended, in the form that is printed.
type Report struct {
	Outcome    string       `json:"outcome"`
	Result     script.Value `json:"result"`      // null unless Outcome is ok
	Error      *Failure     `json:"error"`       // null when Outcome is ok
	DurationMS float64      `json:"duration_ms"` // of the whole evaluation, the child's start included

	// NotEnforced names limits of the child that this system cannot hold.
	NotEnforced []string `json:"not_enforced,omitempty"`
}

// A Failure is the error of a report. All but Message may be zero.
type Failure struct {
	Message string `json:"message"`
	File    string `json:"file,omitempty"` // inside the tree
	Line    int    `json:"line,omitempty"` // 1-based
	Column  int    `json:"column,omitempty"`
	Frame   string `json:"frame,omitempty"`
	Stack   string `json:"stack,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// statuses maps outcomes to exit statuses; the package comment is its
// documentation.
var statuses = map[string]int{
	OK:                     0,
	string(script.Failed):  1,
	string(script.Syntax):  3,
	string(script.Refused): 4,
	string(script.Timeout): 10,
	string(script.Memory):  11,
	string(script.Depth):   12,
	string(script.Output):  13,
	string(script.Denied):  14,
}

// ExitStatus returns the exit status for the report's outcome.
func (r Report) ExitStatus() int {
	if status, ok := statuses[r.Outcome]; ok {
		return status
	}
	return statuses[string(script.Failed)]
}

// failed returns the report of an error.
func failed(err error) Report {
	r := Report{Outcome: string(script.KindOf(err)), Error: &Failure{Message: err.Error()}}
	if e, ok := errors.AsType[*script.Error](err); ok {
		r.Error = &Failure{Message: e.Message, File: e.File, Line: e.Line, Column: e.Column, Frame: e.Frame, Stack: e.Stack, Hint: flagHint(e.Hint)}
	}
	return r
}

// refused returns the report of an evaluation that was not started.
func refused(file, message, hint string) Report {
	return Report{Outcome: string(script.Refused), Error: &Failure{Message: message, File: file, Hint: hint}}
}

// took stamps the report with its duration.
func (r Report) took(since time.Time) Report {
	r.DurationMS = float64(time.Since(since).Microseconds()) / 1000
	return r
}

// flagHint names eval's flags where an engine's hint names the manifest's limits.
func flagHint(hint string) string {
	return strings.NewReplacer("raise limits.time", "raise --timeout", "raise limits.memory", "raise --memory").Replace(hint)
}
