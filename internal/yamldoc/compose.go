package yamldoc

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/theseus-run/theseus/script"
)

// A composer turns the library's tree into Nodes. It stops at the first error
// that makes the rest meaningless and collects the others.
type composer struct {
	doc     *Doc
	anchors map[string]*Node
	errs    Errors // duplicate keys
}

func (c *composer) node(in ast.Node) (*Node, *script.Error) {
	switch in := in.(type) {
	case *ast.AnchorNode:
		n, err := c.node(in.Value)
		if err == nil && in.Name != nil {
			c.anchors[in.Name.GetToken().Value] = n
		}
		return n, err
	case *ast.AliasNode:
		return c.alias(in)
	case *ast.TagNode:
		return c.tagged(in)
	case *ast.MappingNode:
		return c.mapping(in, in.Values)
	case *ast.MappingValueNode:
		return c.mapping(in, []*ast.MappingValueNode{in})
	case *ast.SequenceNode:
		return c.list(in)
	case *ast.LiteralNode:
		n := c.at(in.Start, String)
		n.text = in.Value.Value
		n.value = n.text
		return n, nil
	case *ast.CommentGroupNode, nil:
		return &Node{doc: c.doc, kind: Null, line: 1, col: 1, size: 1, height: 1}, nil
	}
	return c.scalar(in.GetToken())
}

// at returns a node that stands where t does.
func (c *composer) at(t *token.Token, kind Kind) *Node {
	line, col := c.doc.at(t)
	return &Node{doc: c.doc, kind: kind, line: line, col: col, size: 1, height: 1}
}

func (c *composer) scalar(t *token.Token) (*Node, *script.Error) {
	n := c.at(t, String)
	n.text = t.Value
	switch t.Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		n.value = n.text
		return n, nil
	case token.ImplicitNullType:
		n.kind, n.text = Null, ""
		return n, nil
	}
	if leadingZero.MatchString(n.text) {
		return nil, n.Problem(script.Refused, fmt.Sprintf("number %s begins with 0", n.text),
			fmt.Sprintf("write %q for text, 0o… for an octal number", n.text))
	}
	n.resolve()
	if f, ok := n.value.(float64); ok && !finite(f) {
		return nil, n.Problem(script.Refused, n.text+" is not a number that JSON knows", "use a finite number, or text in quotes")
	}
	return n, nil
}

var (
	integer     = regexp.MustCompile(`^[-+]?[0-9]+$`)
	leadingZero = regexp.MustCompile(`^[-+]?0[0-9]+$`)
	radix       = regexp.MustCompile(`^0(x[0-9a-fA-F]+|o[0-7]+)$`)
	float       = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	special     = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// resolve gives a plain scalar its type by the core schema of YAML 1.2.
func (n *Node) resolve() {
	n.value = n.text
	switch n.text {
	case "", "~", "null", "Null", "NULL":
		n.kind, n.value, n.text = Null, nil, ""
		return
	case "true", "True", "TRUE", "false", "False", "FALSE":
		n.kind, n.value = Bool, n.text[0] == 't' || n.text[0] == 'T'
		return
	}
	if strings.IndexByte("+-.0123456789", n.text[0]) < 0 {
		return
	}
	switch {
	case integer.MatchString(n.text), radix.MatchString(n.text):
		n.kind = Number
		base := 10
		if len(n.text) > 2 && (n.text[1] == 'x' || n.text[1] == 'o') {
			base = 0
		}
		if i, err := strconv.ParseInt(n.text, base, 64); err == nil {
			n.value = i
		} else if u, err := strconv.ParseUint(n.text, base, 64); err == nil {
			n.value = u
		} else {
			f, _ := strconv.ParseFloat(n.text, 64)
			n.value = f
		}
	case float.MatchString(n.text), special.MatchString(n.text):
		n.kind = Number
		f, _ := strconv.ParseFloat(strings.Replace(strings.ToLower(n.text), ".inf", "inf", 1), 64)
		if strings.EqualFold(n.text, ".nan") {
			f = math.NaN()
		}
		n.value = f
	}
}

func (c *composer) alias(in *ast.AliasNode) (*Node, *script.Error) {
	t := in.Value.GetToken()
	n, ok := c.anchors[t.Value]
	if !ok {
		line, col := c.doc.at(in.Start)
		return nil, c.doc.problem(script.Syntax, line, col, fmt.Sprintf("no anchor &%s stands before this alias", t.Value),
			fmt.Sprintf("mark the value with &%s first, or quote text that begins with *", t.Value))
	}
	return n, nil
}

func (c *composer) tagged(in *ast.TagNode) (*Node, *script.Error) {
	tag := strings.TrimSpace(in.Start.Value)
	want := map[string]Kind{"!!str": String, "!!int": Number, "!!float": Number, "!!bool": Bool, "!!null": Null, "!!map": Map, "!!seq": List}[tag]
	if in.Value == nil {
		n := c.at(in.Start, Null)
		if want == String {
			n.kind, n.value = String, ""
		}
		return n, nil
	}
	if want == String {
		if s, ok := in.Value.(ast.ScalarNode); ok && s.GetToken().Type != token.LiteralType && s.GetToken().Type != token.FoldedType {
			t := s.GetToken()
			n := c.at(t, String)
			if t.Type != token.ImplicitNullType {
				n.text = t.Value
			}
			n.value = n.text
			return n, nil
		}
	}
	n, err := c.node(in.Value)
	if err != nil {
		return nil, err
	}
	if n.kind != want {
		return nil, n.Problem(script.Syntax, fmt.Sprintf("tag %s on %s", tag, n.Describe()), "remove the tag")
	}
	return n, nil
}

func (c *composer) list(in *ast.SequenceNode) (*Node, *script.Error) {
	n := c.at(in.Start, List)
	n.items = make([]*Node, 0, len(in.Values))
	for _, v := range in.Values {
		x, err := c.node(v)
		if err == nil {
			err = n.hold(x)
		}
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, x)
	}
	return n, nil
}

func (c *composer) mapping(in ast.Node, values []*ast.MappingValueNode) (*Node, *script.Error) {
	n := c.at(in.GetToken(), Map)
	n.pairs = make([]Entry, 0, len(values))
	if len(values) > 8 {
		n.index = make(map[string]int, len(values))
	}
	var merged []*Node
	for i, v := range values {
		value, err := c.node(v.Value)
		if err == nil {
			err = n.hold(value)
		}
		if err != nil {
			return nil, err
		}
		if v.Key.IsMergeKey() {
			sources, err := c.sources(value)
			if err != nil {
				return nil, err
			}
			merged = append(merged, sources...)
			continue
		}
		key, err := c.mapKey(v.Key)
		if err != nil {
			return nil, err
		}
		if m, ok := in.(*ast.MappingNode); i == 0 && (!ok || !m.IsFlowStyle) {
			n.line, n.col = key.line, key.col
		}
		if first := n.key(key.text); first != nil {
			c.errs = append(c.errs, key.Problem(script.Refused, fmt.Sprintf("duplicate key %q", key.text),
				fmt.Sprintf("it is already set in line %d: remove one of them", first.line)))
			continue
		}
		n.add(Entry{key, value})
	}
	for _, m := range merged {
		for _, e := range m.pairs {
			if n.find(e.Key.text) < 0 {
				n.add(e)
			}
		}
	}
	return n, nil
}

// sources returns the maps that the value of a merge key names.
func (c *composer) sources(n *Node) ([]*Node, *script.Error) {
	all := []*Node{n}
	if n.kind == List {
		all = n.items
	}
	for _, m := range all {
		if m.kind != Map {
			return nil, m.Problem(script.Syntax, "a merge key takes a map, or a list of maps, not "+m.Describe(), "write <<: *name where &name marks a map")
		}
	}
	return all, nil
}

func (c *composer) mapKey(in ast.MapKeyNode) (*Node, *script.Error) {
	var node ast.Node = in
	for {
		switch k := node.(type) {
		case *ast.AnchorNode:
			node = k.Value
			continue
		case *ast.MappingKeyNode:
			node = k.Value
			continue
		}
		break
	}
	n, err := c.node(node)
	if err != nil {
		return nil, err
	}
	if n.kind == List || n.kind == Map {
		return nil, n.Problem(script.Refused, "a "+string(n.kind)+" as a key", "keys are text")
	}
	if n.kind == Null {
		n.text = node.GetToken().Value
	}
	if n.kind != String { // the key is the text as written
		n = &Node{doc: n.doc, line: n.line, col: n.col, size: 1, height: 1, text: n.text}
	}
	n.kind, n.value = String, n.text
	if n.text == "" && node.GetToken().Type != token.SingleQuoteType && node.GetToken().Type != token.DoubleQuoteType {
		return nil, n.Problem(script.Syntax, `a key is missing before ":"`, `write "key: value"`)
	}
	return n, nil
}

// add appends an entry whose key is new.
func (n *Node) add(e Entry) {
	if n.index != nil {
		n.index[e.Key.text] = len(n.pairs)
	}
	n.pairs = append(n.pairs, e)
}

// hold counts child as part of n.
func (n *Node) hold(child *Node) *script.Error {
	n.size += child.size
	n.height = max(n.height, child.height+1)
	if n.size > MaxNodes {
		return n.Problem(script.Refused, fmt.Sprintf("aliases expand to more than %d values", MaxNodes), "write fewer aliases of aliases")
	}
	if n.height > MaxDepth+1 {
		return n.Problem(script.Refused, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "flatten the data")
	}
	return nil
}

// syntax returns the library's message about a token in our words.
func (d *Doc) syntax(msg string, t *token.Token) *script.Error {
	line, col := d.at(t)
	hint := ""
	for _, h := range syntaxHints {
		if strings.Contains(msg, h.part) {
			hint = h.hint
		}
	}
	text := string(d.lines.line(line))
	switch {
	case strings.HasPrefix(strings.TrimLeft(text, " "), "\t"):
		hint = "indent with spaces: YAML allows no tabs there"
	case strings.Contains(text, "${"):
		hint = `quote values that contain "${": in { } and [ ] the braces are YAML's own`
	}
	return d.problem(script.Syntax, line, col, strings.ToLower(msg[:1])+msg[1:], hint)
}

// syntaxHints explains the library's messages, the last match first.
var syntaxHints = []struct{ part, hint string }{
	{"value is not allowed in this context", "check the indentation, and quote text that contains \": \""},
	{"non-map value is specified", "a line of a map is \"key: value\"; check the indentation"},
	{"unexpected key name", "a line of a map is \"key: value\"; check the line before"},
	{"could not find flow mapping end", "close the { with }"},
	{"sequence end token", "close the [ with ]"},
	{"',' or ']'", "separate with \",\", close the [ with ]"},
	{"',' or '}'", "separate with \",\", close the { with }"},
	{"invalid key", "keys are text"},
	{"end character", "close the quote"},
}
