package yamldoc

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"

	"github.com/theseus-run/theseus/script"
)

// The limits of a document. They hold before the YAML library does work that
// they bound: what it is given costs at most about 100 MB and a second.
const (
	MaxBytes    = 1 << 20 // bytes of a file
	MaxDepth    = 64      // nested lists and maps
	MaxNodes    = 50_000  // values, also after aliases are followed
	MaxAliases  = 100     // uses of aliases, merge keys included
	MaxKeys     = 4096    // keys of one map in block style
	MaxKeyBytes = 1024    // bytes of one key

	maxMarks  = 120_000  // characters that may start a token
	maxBlank  = 200      // blank lines in a row: the lexer is quadratic in them
	maxBlanks = 20_000   // blank lines in all
	maxPaths  = 32 << 20 // bytes of all paths: the parser stores one per value
)

// checkBytes refuses what must not reach the lexer. It makes one pass over the
// text and allocates nothing.
func (d *Doc) checkBytes() *script.Error {
	src := d.src
	if len(src) > MaxBytes {
		return d.tooMuch(0, 0, fmt.Sprintf("the file has %d bytes, at most %d are read", len(src), MaxBytes),
			"keep data of this size out of YAML, or split it into several files")
	}
	if i := bytes.IndexByte(src, 0); i >= 0 {
		line, col := lineCol(src, i)
		return d.bare(script.Syntax, line, col, "this is a binary file: it contains a NUL byte", "YAML is text in UTF-8")
	}
	if !utf8.Valid(src) {
		i := 0
		for i < len(src) {
			r, size := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		line, col := lineCol(src, i)
		return d.problem(script.Syntax, line, col, "the text is not valid UTF-8", "save the file as UTF-8")
	}
	line, start, marks, blank, blanks := 1, 0, 0, 0, 0
	for i, c := range src {
		switch {
		case c == '\n', c == '\r' && (i+1 == len(src) || src[i+1] != '\n'):
			if len(bytes.TrimSpace(src[start:i])) == 0 {
				blank++
				blanks++
			} else {
				blank = 0
			}
			if blank > maxBlank || blanks > maxBlanks {
				return d.tooMuch(line, 1, fmt.Sprintf("too many blank lines: at most %d in a row and %d in all", maxBlank, maxBlanks), "remove blank lines")
			}
			line, start = line+1, i+1
		case marker[c]:
			if marks++; marks > maxMarks {
				return d.tooMuch(line, i-start+1, fmt.Sprintf("too many values: at most %d", MaxNodes), "keep data of this size out of YAML")
			}
		case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
			return d.problem(script.Syntax, line, i-start+1, fmt.Sprintf("control character 0x%02x", c),
				`write it as an escape in double quotes, such as "\x1b"`)
		}
	}
	return nil
}

// marker holds the characters that can begin or end a token.
var marker = func() (m [256]bool) {
	for _, c := range "[]{},:-?&*!|>'\"%#@`" {
		m[c] = true
	}
	return m
}()

// lineCol returns the 1-based line and byte column of offset i.
func lineCol(src []byte, i int) (line, col int) {
	return bytes.Count(src[:i], []byte("\n")) + 1, i - bytes.LastIndexByte(src[:i], '\n')
}

func (d *Doc) tooMuch(line, col int, msg, hint string) *script.Error {
	if len(d.src) > MaxBytes {
		return d.bare(script.Refused, line, col, msg, hint)
	}
	return d.problem(script.Refused, line, col, msg, hint)
}

// bare is problem without a frame, for text that is not worth showing.
func (d *Doc) bare(kind script.Kind, line, col int, msg, hint string) *script.Error {
	return &script.Error{Kind: kind, Message: msg, Hint: hint, File: d.name, Line: line, Column: col}
}

// A level is one open list or map in block style.
type level struct {
	col   int
	isMap bool
	keys  int
	path  int // bytes of the path up to here
}

// A tokenGuard follows the structure of a token stream without building it.
type tokenGuard struct {
	doc               *Doc
	block             []level
	flow              int // open brackets
	nodes, aliases    int
	anchors, tags     int // in a row
	paths             int
	started, finished bool // seen content; seen the end of the document
}

// checkTokens refuses what must not reach the parser.
func (d *Doc) checkTokens(tokens token.Tokens) *script.Error {
	g := tokenGuard{doc: d}
	for _, t := range tokens {
		if e := g.token(t); e != nil {
			return e
		}
	}
	return nil
}

func (g *tokenGuard) token(t *token.Token) *script.Error {
	if t.Type == token.CommentType {
		return nil
	}
	if g.finished {
		return g.refuse(t, "a second document", "one file holds one document: remove what follows, or put it in a file of its own")
	}
	switch t.Type {
	case token.DocumentHeaderType:
		if g.started {
			return g.refuse(t, "a second document", "one file holds one document: remove the line ---, or put what follows it in a file of its own")
		}
		g.started = true
		return nil
	case token.DocumentEndType:
		g.finished = true
		return nil
	case token.DirectiveType:
		return g.refuse(t, "YAML directives are not supported", "remove the line; quote text that begins with %")
	}
	g.started = true
	if e := g.properties(t); e != nil {
		return e
	}
	switch t.Type {
	case token.MappingKeyType:
		return g.refuse(t, `explicit keys ("?") are not supported`, `write the key as "key: value"`)
	case token.SequenceStartType, token.MappingStartType:
		g.flow++
		g.nodes++
	case token.SequenceEndType, token.MappingEndType:
		g.flow = max(0, g.flow-1)
	case token.SequenceEntryType:
		if g.flow == 0 {
			g.entry(t.Position.Column)
		}
	case token.MappingValueType:
		if e := g.mapping(t); e != nil {
			return e
		}
	case token.CollectEntryType:
	default:
		g.nodes++
		g.paths += g.path() + 16
	}
	if depth := len(g.block) + g.flow; depth > MaxDepth {
		return g.refuse(t, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "flatten the data")
	}
	if g.nodes > MaxNodes {
		return g.refuse(t, fmt.Sprintf("too many values: at most %d", MaxNodes), "keep data of this size out of YAML")
	}
	if g.paths > maxPaths {
		return g.refuse(t, "the keys are too long for so many values", "use shorter keys, or fewer values")
	}
	return nil
}

// properties checks anchors, aliases and tags.
func (g *tokenGuard) properties(t *token.Token) *script.Error {
	switch t.Type {
	case token.AnchorType:
		if g.anchors++; g.anchors > 1 {
			return g.refuse(t, "a value has one anchor at most", "remove the others")
		}
	case token.TagType:
		if !knownTag(t.Value) {
			return g.refuse(t, fmt.Sprintf("tag %s is not supported", strings.TrimSpace(t.Value)),
				"remove the tag; the type follows from how the value is written")
		}
		if g.tags++; g.tags > 1 {
			return g.refuse(t, "a value has one tag at most", "remove the others")
		}
	case token.AliasType:
		if g.aliases++; g.aliases > MaxAliases {
			return g.refuse(t, fmt.Sprintf("more than %d uses of aliases", MaxAliases), "write the values out")
		}
	default:
		if t.Prev == nil || t.Prev.Type != token.AnchorType { // not the anchor's name
			g.anchors, g.tags = 0, 0
		}
	}
	return nil
}

// entry follows a "- " of a block list.
func (g *tokenGuard) entry(col int) {
	g.close(func(l level) bool { return l.col > col })
	if n := len(g.block); n == 0 || g.block[n-1].isMap || g.block[n-1].col != col {
		g.open(level{col: col, path: g.path() + 8})
	}
}

// mapping follows the ":" behind a key.
func (g *tokenGuard) mapping(t *token.Token) *script.Error {
	key := t.Prev
	if key == nil {
		return nil
	}
	if len(key.Value) > MaxKeyBytes {
		return g.refuse(key, fmt.Sprintf("a key of %d bytes, at most %d", len(key.Value), MaxKeyBytes), "use a shorter key")
	}
	g.paths += g.path() + len(key.Value)
	if g.flow > 0 {
		g.paths += len(key.Value)
		return nil
	}
	col := keyColumn(key)
	g.close(func(l level) bool { return l.col > col || l.col == col && !l.isMap })
	if n := len(g.block); n == 0 || g.block[n-1].col != col {
		base := g.path()
		g.open(level{col: col, isMap: true, path: base})
	}
	l := &g.block[len(g.block)-1]
	l.path = g.parentPath() + len(key.Value) + 1
	if l.keys++; l.keys > MaxKeys {
		return g.refuse(key, fmt.Sprintf("a map with more than %d keys", MaxKeys), "split it, or write it as a list")
	}
	return nil
}

// keyColumn returns where a key begins, its tag and anchor included.
func keyColumn(key *token.Token) int {
	first := key
	for p := key.Prev; p != nil && p.Position.Line == key.Position.Line; p = p.Prev {
		if p.Type != token.TagType && p.Type != token.AnchorType && (p.Prev == nil || p.Prev.Type != token.AnchorType) {
			break
		}
		first = p
	}
	return first.Position.Column
}

func (g *tokenGuard) open(l level) {
	g.nodes++
	g.block = append(g.block, l)
}

func (g *tokenGuard) close(done func(level) bool) {
	for n := len(g.block); n > 0 && done(g.block[n-1]); n-- {
		g.block = g.block[:n-1]
	}
}

func (g *tokenGuard) path() int {
	if n := len(g.block); n > 0 {
		return g.block[n-1].path
	}
	return 0
}

func (g *tokenGuard) parentPath() int {
	if n := len(g.block); n > 1 {
		return g.block[n-2].path
	}
	return 0
}

func (g *tokenGuard) refuse(t *token.Token, msg, hint string) *script.Error {
	line, col := g.doc.at(t)
	return g.doc.problem(script.Refused, line, col, msg, hint)
}

// knownTag reports whether tag only names a type of the core schema.
func knownTag(tag string) bool {
	switch strings.TrimSpace(tag) {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq":
		return true
	}
	return false
}
