package yamldoc

import (
	"fmt"
	"math"
	"strconv"

	"github.com/theseus-run/theseus/script"
)

// A Kind is the shape of a Node.
type Kind string

// The kinds of nodes. They read well in messages: "want a list, got text".
const (
	Null   Kind = "null"
	Bool   Kind = "bool"
	Number Kind = "number"
	String Kind = "string"
	List   Kind = "list"
	Map    Kind = "map"
)

// A Node is one value of a document. Aliases share the Node they name.
type Node struct {
	doc    *Doc
	kind   Kind
	value  any    // nil, bool, int64, uint64, float64 or string
	text   string // a scalar as written; a string without quotes
	raw    string // a string before Substitute changed it
	line   int
	col    int
	size   int // nodes, aliases followed
	height int // levels, a scalar being one
	items  []*Node
	pairs  []Entry
	index  map[string]int // of pairs; nil for small maps
}

// An Entry is one key of a map with its value. Key is a Node of kind String.
type Entry struct{ Key, Value *Node }

// Kind returns what n is.
func (n *Node) Kind() Kind { return n.kind }

// IsNull reports whether n is null.
func (n *Node) IsNull() bool { return n.kind == Null }

// Text returns a scalar as it is written, a string without its quotes; "" for
// lists, maps and null.
func (n *Node) Text() string { return n.text }

// Scalar returns nil, a bool, int64, uint64, float64 or string; nil for lists
// and maps.
func (n *Node) Scalar() any { return n.value }

// Items returns the elements of a list. The slice must not be changed.
func (n *Node) Items() []*Node { return n.items }

// Entries returns the keys and values of a map in the order of the file. The
// slice must not be changed.
func (n *Node) Entries() []Entry { return n.pairs }

// Line returns the 1-based line of n.
func (n *Node) Line() int { return n.line }

// Column returns the 1-based byte column of n.
func (n *Node) Column() int { return n.col }

// Get returns the value of a map's key, or nil.
func (n *Node) Get(key string) *Node {
	if i := n.find(key); i >= 0 {
		return n.pairs[i].Value
	}
	return nil
}

func (n *Node) key(key string) *Node {
	if i := n.find(key); i >= 0 {
		return n.pairs[i].Key
	}
	return nil
}

func (n *Node) find(key string) int {
	if n.index != nil {
		if i, ok := n.index[key]; ok {
			return i
		}
		return -1
	}
	for i := range n.pairs {
		if n.pairs[i].Key.text == key {
			return i
		}
	}
	return -1
}

// Any returns n as plain data, see [DecodeAny].
func (n *Node) Any() any {
	switch n.kind {
	case List:
		out := make([]any, len(n.items))
		for i, x := range n.items {
			out[i] = x.Any()
		}
		return out
	case Map:
		out := make(map[string]any, len(n.pairs))
		for _, e := range n.pairs {
			out[e.Key.text] = e.Value.Any()
		}
		return out
	}
	return n.value
}

// Decode stores n in the value that into points to, as [Doc.Decode] does.
func (n *Node) Decode(into any, opts ...Option) error { return decode(n, into, opts) }

// Problem returns an error about n, with position and frame.
func (n *Node) Problem(kind script.Kind, msg, hint string) *script.Error {
	return n.doc.problem(kind, n.line, n.col, msg, hint)
}

// Problemf returns an error of kind Refused about n without a hint.
func (n *Node) Problemf(format string, args ...any) *script.Error {
	return n.Problem(script.Refused, fmt.Sprintf(format, args...), "")
}

// Show returns a scalar for a message, quoted when it is a string and cut at 80
// bytes. A string that came from outside the file is shown as the reference in
// it, so that messages tell no secrets.
func (n *Node) Show() string {
	text := n.text
	if n.raw != "" {
		text = n.raw
	}
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	switch n.kind {
	case String:
		return strconv.Quote(text)
	case List, Map:
		return "a " + string(n.kind)
	case Null:
		return "null"
	}
	return text
}

// Describe names n in a message about a wrong type: "number 3", "a list".
func (n *Node) Describe() string {
	switch n.kind {
	case String, Number, Bool:
		return string(n.kind) + " " + n.Show()
	}
	return n.Show()
}

// finite reports whether f can be written as JSON.
func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
