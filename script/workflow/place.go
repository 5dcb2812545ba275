package workflow

import (
	"bytes"
	"errors"
	"strings"

	"github.com/theseus-run/theseus/script"
)

// misplaced records an error of an expression, whose position counts from the
// text at a path, at its place in the file.
func (c *compiler) misplaced(err error, at ...string) {
	e, ok := errors.AsType[*script.Error](err)
	if !ok {
		c.fail("", err.Error(), at...)
		return
	}
	p := c.doc.Problem(script.Syntax, e.Message, e.Hint, at...)
	if n := c.doc.Find(at...); n != nil {
		if line, column, ok := within(c.doc.Source(), n.Line(), n.Column(), n.Text(), e.Line, e.Column); ok {
			p.Line, p.Column = line, column
			p = p.WithFrame(c.doc.Source())
		}
	}
	c.errs = append(c.errs, p)
}

// within finds where in src the place (line, column) of a scalar's text is. The
// scalar begins at nodeLine and nodeColumn with its quote or block sign. ok is
// false when the text is not written as it reads, for its escapes or folds.
func within(src []byte, nodeLine, nodeColumn int, text string, line, column int) (int, int, bool) {
	parts := strings.Split(text, "\n")
	if line < 1 || line > len(parts) {
		return 0, 0, false
	}
	part := []byte(parts[line-1])
	lines := bytes.Split(src, []byte("\n"))
	for n := nodeLine + line - 1; n <= nodeLine+line && n <= len(lines); n++ {
		from := 0
		if n == nodeLine {
			from = min(nodeColumn-1, len(lines[n-1]))
		}
		if i := bytes.Index(lines[n-1][from:], part); i >= 0 && len(part) > 0 {
			return n, from + i + column, true
		}
	}
	return 0, 0, false
}
