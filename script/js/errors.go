package js

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"modernc.org/quickjs"

	"github.com/theseus-run/theseus/script"
)

// errInterrupted is what the engine would say.
var errInterrupted = errors.New("interrupted")

// What the engine says when it reaches a limit.
const (
	saysInterrupted = "interrupted"
	saysMemory      = "out of memory"
	saysDepth       = "stack overflow"
)

// ended is the error for a caller whose context ended before the call began.
func ended(ctx context.Context, file string) *script.Error {
	return &script.Error{Kind: script.Timeout, File: file, Message: "the caller ended the execution: " + context.Cause(ctx).Error(), Err: context.Cause(ctx)}
}

// timeout is the error for an execution that was stopped.
func (u *Unit) timeout(ctx context.Context) *script.Error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ended(ctx, u.Name())
	}
	e := &script.Error{Kind: script.Timeout, File: u.Name(), Message: fmt.Sprintf("took longer than the time limit of %s", u.limits.Time),
		Hint: "do less in one call, or raise limits.time"}
	if ctx.Err() != nil {
		e.Message, e.Err = "took longer than the caller's deadline", context.Cause(ctx)
	}
	return e
}

func (u *Unit) memory() *script.Error {
	return &script.Error{Kind: script.Memory, File: u.Name(), Message: fmt.Sprintf("used more memory than the limit of %s", size(u.limits.Memory)),
		Hint: "hold less data at a time, or raise limits.memory"}
}

func (u *Unit) depth() *script.Error {
	return &script.Error{Kind: script.Depth, File: u.Name(), Message: fmt.Sprintf("nested calls deeper than the limit of %d", min(u.limits.Depth, maxDepth)),
		Hint: "look for a recursion without end, or raise limits.depth"}
}

// engineError turns an error that the engine gave to Go into one of ours. The
// prelude catches what scripts throw, so these are mostly limits.
func (u *Unit) engineError(ctx context.Context, deadline time.Time, err error) error {
	e, ok := errors.AsType[*quickjs.Error](err)
	switch {
	case errors.Is(err, errInterrupted):
		return u.timeout(ctx)
	case !ok:
		return &script.Error{Kind: script.Failed, File: u.Name(), Message: err.Error(), Err: err}
	}
	r := record{Name: e.Name, Message: e.Message, Stack: e.Stack, Null: e.Error() == "null"}
	if e.Message == "" {
		r.Message = e.Error()
	}
	return u.recorded(ctx, deadline, r, nil)
}

// A record is an exception as the prelude describes it.
type record struct {
	Thrown  bool   // not an Error
	Null    bool   // null itself
	Host    *int   // index in run.errs
	Name    string // of the Error
	Message string
	Stack   string
	// Constructor is the name of the Error's class, whose own frames say nothing.
	Constructor string
	File        string // syntax errors only, with line and column
	Line        int
	Column      int
}

// thrown turns the prelude's record of an exception into an error.
func (u *Unit) thrown(ctx context.Context, deadline time.Time, text string, run *run) error {
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return &script.Error{Kind: script.Failed, File: u.Name(), Message: "an exception that cannot be read", Err: err}
	}
	return u.recorded(ctx, deadline, r, run)
}

func (u *Unit) recorded(ctx context.Context, deadline time.Time, r record, run *run) error {
	frames := u.closure.frames(r.Stack)
	for r.Constructor != "" && len(frames) > 1 && frames[0].function == r.Constructor {
		frames = frames[1:]
	}
	var e *script.Error
	switch {
	case r.Name == "InternalError" && r.Message == saysInterrupted && (ctx.Err() != nil || !time.Now().Before(deadline)):
		e = u.timeout(ctx)
	case r.Name == "InternalError" && r.Message == saysMemory, r.Null && !u.closure.throwsNull():
		e = u.memory()
	case (r.Name == "InternalError" || r.Name == "SyntaxError") && r.Message == saysDepth:
		e = u.depth()
	case r.Host != nil && run != nil && *r.Host < len(run.errs):
		e = hostError(run.errs[*r.Host], u.Name())
	default:
		e = &script.Error{Kind: script.Failed, File: u.Name(), Message: r.text()}
	}
	switch {
	case r.Name == "SyntaxError" && u.closure.sources[r.File] != "":
		e.Kind, e.File, e.Line, e.Column = script.Syntax, r.File, r.Line, u.closure.column(r.File, r.Line, r.Column)
	case r.Name == "SyntaxError" && missingExport.MatchString(r.Message):
		u.closure.placeMissingExport(e, r.Message)
	case len(frames) > 0:
		f := frames[0]
		e.File, e.Line, e.Column = f.file, f.line, u.closure.column(f.file, f.line, f.column)
	}
	if len(frames) > 1 {
		e.Stack = stackText(frames)
	}
	return u.closure.errorAt(e)
}

// text is the message of a script's own exception.
func (r record) text() string {
	switch {
	case r.Thrown && r.Message == "":
		return "threw an empty string"
	case r.Thrown:
		return "threw " + r.Message
	case r.Name == "" || r.Name == "Error":
		if r.Message == "" {
			return "threw an Error without a message"
		}
		return r.Message
	case r.Message == "":
		return r.Name
	}
	return r.Name + ": " + r.Message
}

// hostError is the error for an uncaught error of the host: of the same kind,
// and wrapping it.
func hostError(err error, file string) *script.Error {
	e := &script.Error{Kind: script.KindOf(err), File: file, Message: err.Error(), Err: err}
	if inner, ok := errors.AsType[*script.Error](err); ok {
		e.Message, e.Hint = inner.Message, inner.Hint
		if p := inner.Position(); p != "" {
			e.Message = p + ": " + inner.Message
		}
	}
	return e
}

// throwsNull reports whether a file of the closure may throw null itself. The
// engine throws null when it is too short of memory to make an Error, so this
// tells the two apart.
func (c *closure) throwsNull() bool {
	for _, source := range c.sources {
		if nullThrown.MatchString(source) {
			return true
		}
	}
	return false
}

var nullThrown = regexp.MustCompile(`\bthrow\s*\(?\s*null\b|\breject\s*\(\s*null\b`)

// syntaxError turns an error of the parser or linker into one of ours.
func (u *Unit) syntaxError(err error) error {
	e, ok := errors.AsType[*quickjs.Error](err)
	if !ok {
		return &script.Error{Kind: script.Failed, File: u.Name(), Message: err.Error(), Err: err}
	}
	if e.Message == saysMemory || e.Error() == "null" {
		return u.memory()
	}
	out := &script.Error{Kind: script.Syntax, File: u.Name(), Message: e.Message}
	if e.Message == saysDepth {
		out.Kind, out.Message = script.Depth, "the source is nested too deep"
	}
	if out.Message == "" {
		out.Message = e.Error()
	}
	file, line, column := e.FileName, e.LineNumber, e.ColumnNumber
	if file == "" {
		if f := u.closure.frames(e.Stack); len(f) > 0 {
			file, line, column = f[0].file, f[0].line, f[0].column
		}
	}
	if _, ok := u.closure.sources[file]; ok {
		out.File, out.Line, out.Column = file, line, u.closure.column(file, line, column)
	}
	return u.closure.errorAt(out)
}

// missingExport finds the import that names an export that is not there.
var missingExport = regexp.MustCompile(`^Could not find export '(.*)' in module '(.*)'$`)

// placeMissingExport gives the linker's error, which has no position, one.
func (c *closure) placeMissingExport(e *script.Error, message string) {
	m := missingExport.FindStringSubmatch(message)
	if m == nil {
		return
	}
	e.Kind, e.Message = script.Syntax, fmt.Sprintf("imports %q from %s, which does not export it", m[1], m[2])
	for _, edge := range c.edges {
		if edge.to != m[2] {
			continue
		}
		clause := regexp.MustCompile(`\b(?:import|export)\b[^;"']*?\b(` + regexp.QuoteMeta(m[1]) + `)\b[^;"']*?from\s*["']` + regexp.QuoteMeta(edge.specifier) + `["']`)
		if at := clause.FindStringSubmatchIndex(c.sources[edge.from]); at != nil {
			e.File = edge.from
			e.Line, e.Column = position([]byte(c.sources[edge.from]), at[2])
			return
		}
	}
}

// A frame is one line of a script's call stack.
type frame struct {
	function     string
	file         string
	line, column int
}

// frames parses the engine's stack and keeps what is in files of the app.
func (c *closure) frames(stack string) []frame {
	var out []frame
	for line := range strings.Lines(stack) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "at ")
		if !ok {
			continue
		}
		name, place := "", line
		if i := strings.LastIndex(line, " ("); i >= 0 && strings.HasSuffix(line, ")") {
			name, place = line[:i], line[i+2:len(line)-1]
		}
		file, at, ok := cutPlace(place)
		if !ok {
			continue
		}
		if _, known := c.sources[file]; !known {
			continue
		}
		at.file, at.function = file, strings.Trim(name, "<>")
		if out = append(out, at); len(out) == 20 {
			break
		}
	}
	return out
}

// cutPlace splits "file:line:column" or "file:line".
func cutPlace(place string) (file string, at frame, ok bool) {
	i := strings.LastIndexByte(place, ':')
	if i < 0 {
		return "", at, false
	}
	n, err := strconv.Atoi(place[i+1:])
	if err != nil {
		return "", at, false
	}
	place = place[:i]
	if j := strings.LastIndexByte(place, ':'); j >= 0 {
		if line, err := strconv.Atoi(place[j+1:]); err == nil {
			return place[:j], frame{line: line, column: n}, true
		}
	}
	return place, frame{line: n}, true
}

func stackText(frames []frame) string {
	var b strings.Builder
	for _, f := range frames {
		name := f.function
		if name == "" {
			name = "anonymous"
		}
		fmt.Fprintf(&b, "at %s (%s:%d:%d)\n", name, f.file, f.line, f.column)
	}
	return b.String()
}

// column turns the engine's column, in characters, into bytes.
func (c *closure) column(file string, line, column int) int {
	if line < 1 || column < 1 {
		return 0
	}
	n := 1
	for text := range strings.Lines(c.sources[file]) {
		if n == line {
			i := 1
			for offset := range text {
				if i == column {
					return offset + 1
				}
				i++
			}
			return len(strings.TrimRight(text, "\r\n")) + 1
		}
		n++
	}
	return column
}
