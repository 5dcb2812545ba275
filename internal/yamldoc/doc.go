// Package yamldoc reads YAML strictly and remembers where everything stood.
//
// [Parse] returns a [Doc]: a tree of [Node] with the line and column of every
// key and value. [Doc.Decode] stores it in Go values and reports every mistake
// at once; [Decode] does both. A guard with fixed limits ([MaxBytes] and the
// constants next to it) stands before the YAML library, so that hostile text is
// refused in bounded time and memory.
//
// What is read is YAML 1.2 with one document and text keys, without custom tags,
// directives and explicit "?" keys. Anchors, aliases and merge keys work within
// the limits.
//
// Every error is an [Errors], a list of *script.Error with position and frame:
// kind Syntax for text that is not YAML, Refused for what is not allowed. A Doc
// may be read by several goroutines; Substitute is the only method that changes it.
package yamldoc

import (
	"errors"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/theseus-run/theseus/script"
)

// A Doc is one YAML document that was read.
type Doc struct {
	name  string
	src   []byte
	root  *Node // nil for a document without content
	lines lines
}

// Decode reads src, called name in messages, into the value that into points
// to. See [Doc.Decode].
func Decode(name string, src []byte, into any, opts ...Option) error {
	d, err := Parse(name, src)
	if err != nil {
		return err
	}
	return d.Decode(into, opts...)
}

// DecodeAny reads src as plain data: nil, bool, int64, uint64, float64, string,
// []any and map[string]any. A document without content is nil.
func DecodeAny(name string, src []byte) (any, error) {
	d, err := Parse(name, src)
	if err != nil {
		return nil, err
	}
	return d.Any(), nil
}

// Parse reads src. name is the path shown in messages. src must not be changed
// while the Doc is in use.
func Parse(name string, src []byte) (doc *Doc, err error) {
	d := &Doc{name: name, src: src, lines: lines{src: src}}
	if e := d.checkBytes(); e != nil {
		return nil, Errors{e}
	}
	defer func() {
		if r := recover(); r != nil { // a defect of the library on odd input
			doc, err = nil, Errors{d.problem(script.Syntax, 0, 0, "this is not readable as YAML", "simplify the file until it is accepted")}
		}
	}()
	tokens := lexer.Tokenize(string(src))
	if bad := tokens.InvalidToken(); bad != nil {
		return nil, Errors{d.syntax(bad.Error, bad)}
	}
	if e := d.checkTokens(tokens); e != nil {
		return nil, Errors{e}
	}
	file, perr := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if perr != nil {
		if se, ok := errors.AsType[*yaml.SyntaxError](perr); ok {
			return nil, Errors{d.syntax(se.Message, se.Token)}
		}
		return nil, Errors{d.problem(script.Syntax, 0, 0, perr.Error(), "")}
	}
	c := composer{doc: d, anchors: map[string]*Node{}}
	for _, fd := range file.Docs {
		if fd.Body == nil {
			continue
		}
		n, e := c.node(fd.Body)
		if e != nil {
			return nil, Errors{e}
		}
		d.root = n
	}
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	return d, nil
}

// Name returns the name given to Parse.
func (d *Doc) Name() string { return d.name }

// Source returns the text that was read. It must not be changed.
func (d *Doc) Source() []byte { return d.src }

// Empty reports whether the document has no content besides comments.
func (d *Doc) Empty() bool { return d.root == nil }

// Root returns the document's value; a null Node at 1:1 when it is empty.
func (d *Doc) Root() *Node {
	if d.root == nil {
		return &Node{doc: d, kind: Null, line: 1, col: 1, size: 1, height: 1}
	}
	return d.root
}

// Any returns the document as plain data, see [DecodeAny].
func (d *Doc) Any() any { return d.Root().Any() }

// Find returns the value at path: keys, and indexes in decimal. Nil means there
// is none.
func (d *Doc) Find(path ...string) *Node {
	n := d.root
	for _, p := range path {
		if n = n.step(p); n == nil {
			return nil
		}
	}
	return n
}

func (n *Node) step(p string) *Node {
	if n == nil {
		return nil
	}
	if n.kind == List {
		if i, err := strconv.Atoi(p); err == nil && i >= 0 && i < len(n.items) {
			return n.items[i]
		}
		return nil
	}
	return n.Get(p)
}

// Position returns the 1-based line and byte column of the value at path; of
// the deepest part of the path that exists when it does not; 0, 0 in an empty
// document.
func (d *Doc) Position(path ...string) (line, column int) {
	n := d.root
	for _, p := range path {
		next := n.step(p)
		if next == nil {
			break
		}
		n = next
	}
	if n == nil {
		return 0, 0
	}
	return n.line, n.col
}

// KeyPosition is like Position but returns where the last element's key stands.
// For an element of a list it is the element.
func (d *Doc) KeyPosition(path ...string) (line, column int) {
	n := d.root
	line, column = d.Position()
	for _, p := range path {
		next := n.step(p)
		if next == nil {
			break
		}
		line, column = next.line, next.col
		if n.kind == Map {
			if k := n.key(p); k != nil {
				line, column = k.line, k.col
			}
		}
		n = next
	}
	return line, column
}

// Problem returns an error about the value at path, with frame.
func (d *Doc) Problem(kind script.Kind, msg, hint string, path ...string) *script.Error {
	line, col := d.Position(path...)
	return d.problem(kind, line, col, msg, hint)
}

// KeyProblem returns an error about the key at path, with frame.
func (d *Doc) KeyProblem(kind script.Kind, msg, hint string, path ...string) *script.Error {
	line, col := d.KeyPosition(path...)
	return d.problem(kind, line, col, msg, hint)
}

// at returns the line and byte column of a token.
func (d *Doc) at(t *token.Token) (line, col int) {
	if t == nil || t.Position == nil {
		return 0, 0
	}
	return d.lines.position(t.Position.Line, t.Position.Column)
}

// problem returns an error at a position; line 0 is the whole file.
func (d *Doc) problem(kind script.Kind, line, col int, msg, hint string) *script.Error {
	e := &script.Error{Kind: kind, Message: msg, Hint: hint, File: d.name, Line: line, Column: col}
	return e.WithFrame(d.src)
}
