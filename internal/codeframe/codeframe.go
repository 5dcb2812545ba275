// Package codeframe points at a place in a source file the way a compiler
// does: the lines around it, the line itself marked, a caret below the column.
//
//	  3 | export default (req) => {
//	> 4 |   return { id: req.params.id
//	    |                             ^ expected "," or "}"
//	  5 | }
package codeframe

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// context is how many lines are shown on either side of the marked one.
const context = 2

// maxWidth bounds the bytes of a source line that are shown, so that a frame
// of a minified file stays readable.
const maxWidth = 160

// Render returns the frame for line and column (both 1-based; column counts
// bytes) of src, with note behind the caret. It returns "" when line is 0 or
// lies outside src. A column of 0 marks the line without a caret. Control
// characters of the source are shown as '·', so that a frame never steers a
// terminal.
func Render(src []byte, line, column int, note string) string {
	lines := bytes.Split(src, []byte("\n"))
	if line < 1 || line > len(lines) {
		return ""
	}
	first, last := max(1, line-context), min(len(lines), line+context)
	for last > line && len(bytes.TrimSpace(lines[last-1])) == 0 {
		last--
	}
	width := len(fmt.Sprint(last))
	var b strings.Builder
	for n := first; n <= last; n++ {
		mark := " "
		if n == line {
			mark = ">"
		}
		text, caret := clip(lines[n-1], column, n == line)
		fmt.Fprintf(&b, "%s %*d | %s\n", mark, width, n, text)
		if n == line && column > 0 {
			fmt.Fprintf(&b, "  %*s | %s^", width, "", strings.Repeat(" ", caret))
			if note != "" {
				b.WriteString(" " + note)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// clip makes one source line printable and no wider than maxWidth, keeping the
// 1-based byte column in view when marked; caret is the number of cells before it.
func clip(line []byte, column int, marked bool) (text string, caret int) {
	line = bytes.TrimRight(line, "\r")
	start := 0
	if marked && column > maxWidth {
		start = column - maxWidth/2
		for start < len(line) && !utf8.RuneStart(line[start]) {
			start++
		}
	}
	start = min(start, len(line))
	end := min(len(line), start+maxWidth)
	var b strings.Builder
	if start > 0 {
		b.WriteString("…")
	}
	cells := utf8.RuneCountInString(b.String())
	caret = -1
	for i := start; i < end; {
		if i >= column-1 && caret < 0 {
			caret = cells
		}
		r, size := utf8.DecodeRune(line[i:])
		switch {
		case r == '\t':
			b.WriteString("  ")
			cells++
		case r < ' ' || r == 0x7f || (r == utf8.RuneError && size == 1) || (r >= 0x80 && r < 0xa0):
			b.WriteRune('·')
		default:
			b.WriteRune(r)
		}
		cells++
		i += size
	}
	if caret < 0 {
		caret = cells
	}
	if end < len(line) {
		b.WriteString("…")
	}
	return b.String(), caret
}
