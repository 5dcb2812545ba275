package script

import (
	"errors"
	"fmt"
	"strings"

	"github.com/theseus-run/theseus/internal/codeframe"
)

// A Kind says what stopped a script. The values are also the outcomes that
// `theseus eval` prints; "ok" is the outcome without an error.
type Kind string

// The kinds of script errors.
const (
	Failed  Kind = "error"   // the script threw, or an internal error
	Syntax  Kind = "syntax"  // the source is not a program of its language
	Refused Kind = "refused" // the source is valid but not allowed or not found
	Timeout Kind = "timeout" // the wall-time limit or the caller's deadline
	Memory  Kind = "memory"  // the memory limit
	Depth   Kind = "depth"   // the limit of nested calls
	Output  Kind = "output"  // the result is larger than the output limit
	Denied  Kind = "denied"  // a capability that was not granted
)

// An Error is what stopped a script, and where.
type Error struct {
	Kind    Kind
	Message string // one sentence, lower case, without position
	Hint    string // what to do about it; may be empty
	File    string // path inside the app; empty when unknown
	Line    int    // 1-based; 0 when unknown
	Column  int    // 1-based, in bytes; 0 when unknown
	Frame   string // the source around the place, ready to print; may be empty
	Stack   string // the script's own call stack; may be empty
	Err     error  // cause, if any
}

// Error returns "file:line:column: message".
func (e *Error) Error() string {
	var b strings.Builder
	if pos := e.Position(); pos != "" {
		b.WriteString(pos + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Position returns "file:line:column", as far as it is known.
func (e *Error) Position() string {
	switch {
	case e.File == "":
		return ""
	case e.Line == 0:
		return e.File
	case e.Column == 0:
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
}

// WithFrame fills Frame from the source of the file that e names and returns e.
func (e *Error) WithFrame(src []byte) *Error {
	e.Frame = codeframe.Render(src, e.Line, e.Column, "")
	return e
}

// KindOf returns the kind of the first *Error in err's tree, Failed when there
// is none, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}
