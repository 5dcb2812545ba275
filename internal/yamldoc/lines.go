package yamldoc

import (
	"bytes"
	"unicode/utf8"
)

// lines finds lines of a text and converts columns. It is used while a document
// is read and is not safe for concurrent use.
type lines struct {
	src    []byte
	starts []int // offset of each line
	at     int   // the line that offset describes; 0 for none
	offset []int // of each character of that line; nil when all are one byte
}

// position converts a line and a column that counts characters, as the library
// has them, to a line and a column that counts bytes.
func (l *lines) position(line, char int) (int, int) {
	line, char = max(1, line), max(1, char)
	text := l.line(line)
	if l.at != line {
		l.at, l.offset = line, l.offset[:0]
		if len(text) != utf8.RuneCount(text) {
			for i := range string(text) {
				l.offset = append(l.offset, i)
			}
		}
	}
	switch {
	case len(l.offset) == 0:
		return line, min(char, len(text)+1)
	case char > len(l.offset):
		return line, len(text) + 1
	}
	return line, l.offset[char-1] + 1
}

// line returns a 1-based line without its line break, nil outside of the text.
func (l *lines) line(n int) []byte {
	if l.starts == nil {
		l.starts = []int{0}
		for i, c := range l.src {
			if c == '\n' || c == '\r' && (i+1 == len(l.src) || l.src[i+1] != '\n') {
				l.starts = append(l.starts, i+1)
			}
		}
	}
	if n < 1 || n > len(l.starts) {
		return nil
	}
	end := len(l.src)
	if n < len(l.starts) {
		end = l.starts[n]
	}
	return bytes.TrimRight(l.src[l.starts[n-1]:end], "\r\n")
}
