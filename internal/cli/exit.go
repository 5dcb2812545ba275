package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/observe"
)

// The exit statuses of every command; the help of theseus lists them. `theseus
// eval` has statuses of its own for the outcomes of a script; see its help.
const (
	ExitOK          = 0
	ExitFailed      = 1   // unexpected
	ExitUsage       = 2   // wrong flags or arguments
	ExitRefused     = 3   // a check or a test refused it
	ExitNotFound    = 4   // no such generation, run or file
	ExitConflict    = 5   // the live generation is not the expected one
	ExitTimeout     = 8   // no answer within --timeout
	ExitChanges     = 10  // plan --detailed-exitcode: there is something to apply
	ExitUnreachable = 69  // no running instance answers
	ExitInterrupted = 130 // a second signal while draining
)

// A statusError carries an exit status, and a hint for the person.
type statusError struct {
	code int
	err  error
	hint string
	told bool // the message has been printed already
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// failure makes an error with an exit status and a hint.
func failure(code int, hint, format string, args ...any) error {
	return &statusError{code: code, hint: hint, err: fmt.Errorf(format, args...)}
}

// told makes an error whose message the command has printed itself.
func told(code int) error { return &statusError{code: code, err: errors.New("failed"), told: true} }

// report prints err as "theseus: error:" and "theseus: hint:" and returns the
// exit status. This is the one place where errors become statuses.
func report(w io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	code, hint := ExitFailed, ""
	if se, ok := errors.AsType[*statusError](err); ok {
		if code, hint = se.code, se.hint; se.told {
			return code
		}
	}
	if re, ok := errors.AsType[*app.RefusedError](err); ok {
		printProblems(w, "error", re.Update.Problems)
		return ExitRefused
	}
	switch {
	case errors.Is(err, app.ErrNotFound):
		code, hint = ExitNotFound, "`theseus history` lists what is kept"
	case errors.Is(err, app.ErrSuspended):
		code, hint = ExitConflict, "look at `theseus status` and try again"
	case errors.Is(err, app.ErrConflict):
		code, hint = ExitConflict, "look at `theseus status` and try again"
	case errors.Is(err, context.Canceled):
		code, err = ExitInterrupted, errors.New("interrupted")
	case errors.Is(err, store.ErrLocked):
		hint = "it runs already: edit its files, or look at it with `theseus status`"
	}
	if se, ok := errors.AsType[*store.Error](err); ok && hint == "" {
		hint = se.Hint
	}
	fmt.Fprintf(w, "theseus: error: %s\n", cleanLines(err.Error()))
	if hint != "" {
		fmt.Fprintf(w, "theseus: hint: %s\n", hint)
	}
	return code
}

// printProblems prints problems with their frames.
func printProblems(w io.Writer, level string, problems []app.Problem) {
	const most = 10 // more hide the first, which is usually the cause
	for i, p := range problems {
		if i == most {
			fmt.Fprintf(w, "theseus: %s: and %d more\n", level, len(problems)-most)
			return
		}
		fmt.Fprintf(w, "theseus: %s: %s\n", level, clean(p.String()))
		if p.Frame != "" {
			fmt.Fprintln(w, indent(strings.TrimRight(p.Frame, "\n")))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "theseus: hint: %s\n", clean(p.Hint))
		}
	}
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

// clean makes text safe for one line of a terminal.
func clean(s string) string { return observe.Escape(s) }

// cleanLines makes text of several lines safe for a terminal.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	return strings.Join(lines, "\n")
}
