package expr

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a source.
const (
	maxSource = 4 << 10 // bytes
	maxDepth  = 32      // nested brackets, filters behind one another and signs before a value
	maxTokens = 1000
)

type kind uint8

const (
	tName kind = iota
	tNumber
	tString
	tOp
	tEnd
)

// A token is a piece of source; pos and end are byte offsets in it.
type token struct {
	kind     kind
	text     string
	pos, end int
}

// A fault is an error at a byte offset of the source.
type fault struct {
	pos     int
	message string
	hint    string
}

func (f *fault) Error() string { return f.message }

func faultf(pos int, format string, args ...any) *fault {
	return &fault{pos: pos, message: fmt.Sprintf(format, args...)}
}

func (f *fault) withHint(hint string) *fault {
	f.hint = hint
	return f
}

// operators, longest first where one begins another.
var operators = []string{
	"**", "==", "!=", "<=", ">=", "&&", "||", "??", "?.",
	"+", "-", "*", "/", "%", "<", ">", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}", "|",
}

// lex splits src into tokens. When embedded is set the source ends at the "}}"
// that closes no bracket, and what follows is left alone; the returned offset
// is that of the end.
func lex(src string, embedded bool) ([]token, int, error) {
	var toks []token
	depth, braces := 0, 0
	for i := 0; ; {
		for i < len(src) && strings.IndexByte(" \t\r\n", src[i]) >= 0 {
			i++
		}
		if i > maxSource {
			return nil, i, faultf(0, "the expression is longer than %d bytes", maxSource)
		}
		if i == len(src) {
			if embedded {
				return nil, i, faultf(i, "${{ is not closed").withHint("end the expression with }}; write $${{ for the text ${{")
			}
			return toks, i, nil
		}
		if embedded && braces == 0 && strings.HasPrefix(src[i:], "}}") {
			return toks, i, nil
		}
		t, err := next(src, i)
		if err != nil {
			return nil, i, err
		}
		if toks = append(toks, t); len(toks) > maxTokens {
			return nil, i, faultf(t.pos, "the expression has more than %d parts", maxTokens)
		}
		if t.kind == tOp {
			switch t.text {
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth--
			}
			switch t.text {
			case "{":
				braces++
			case "}":
				braces--
			}
			if depth > maxDepth {
				return nil, i, faultf(t.pos, "more than %d nested brackets", maxDepth)
			}
		}
		i = t.end
	}
}

// next reads the token at offset i, which is not blank.
func next(src string, i int) (token, error) {
	r, size := utf8.DecodeRuneInString(src[i:])
	switch {
	case isNameStart(r):
		end := i + size
		for end < len(src) {
			r, size := utf8.DecodeRuneInString(src[end:])
			if !isNameStart(r) && !unicode.IsDigit(r) {
				break
			}
			end += size
		}
		return token{tName, src[i:end], i, end}, nil
	case r >= '0' && r <= '9':
		end := number(src, i)
		return token{tNumber, src[i:end], i, end}, nil
	case r == '"' || r == '\'':
		for end := i + 1; end < len(src); end++ {
			switch src[end] {
			case '\\':
				end++
			case '\n':
				return token{}, faultf(i, "the text is not closed on its line")
			case byte(r):
				return token{tString, src[i : end+1], i, end + 1}, nil
			}
		}
		return token{}, faultf(i, "the text is not closed").withHint("add a closing " + string(r))
	}
	for _, op := range operators {
		if strings.HasPrefix(src[i:], op) {
			return token{tOp, op, i, i + len(op)}, nil
		}
	}
	f := faultf(i, "unexpected %q", r)
	switch r {
	case '=':
		f.hint = "compare with =="
	case '&':
		f.hint = "write && or and"
	case '`':
		f.hint = `write texts as "…" or '…'`
	case '$':
		f.hint = "names are written without $"
	case utf8.RuneError:
		f = faultf(i, "invalid UTF-8")
	}
	return token{}, f
}

// number returns the offset behind the number that starts at i.
func number(src string, i int) int {
	digits := func() {
		for i < len(src) && (src[i] >= '0' && src[i] <= '9') {
			i++
		}
	}
	isDigit := func(at int) bool { return at < len(src) && src[at] >= '0' && src[at] <= '9' }
	digits()
	if i < len(src) && src[i] == '.' && isDigit(i+1) {
		i++
		digits()
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		switch {
		case isDigit(i + 1):
			i++
			digits()
		case i+1 < len(src) && (src[i+1] == '-' || src[i+1] == '+') && isDigit(i+2):
			i += 2
			digits()
		}
	}
	return i
}

func isNameStart(r rune) bool {
	return r == '_' || (unicode.IsLetter(r) && r != utf8.RuneError)
}

// wordOps are the binary operators that are words.
var wordOps = []string{"and", "or", "in", "contains", "startsWith", "endsWith", "matches"}

// symbolOps are the binary operators that are symbols.
var symbolOps = []string{"**", "==", "!=", "<=", ">=", "&&", "||", "??", "+", "-", "*", "/", "%", "<", ">"}

func isWordOp(s string) bool   { return slices.Contains(wordOps, s) }
func isSymbolOp(s string) bool { return slices.Contains(symbolOps, s) }
