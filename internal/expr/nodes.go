package expr

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// A compiler turns the library's tree into nodes.
type compiler struct {
	toks   []token
	starts []int
	funcs  map[string]*function
}

// pos maps a rune offset in the plain text to a byte offset in the source.
func (c *compiler) pos(at int) int {
	pos := 0
	for i, start := range c.starts {
		if start > at {
			break
		}
		pos = c.toks[i].pos
	}
	return pos
}

// node compiles n. The rewriter lets through only the forms that stand here.
func (c *compiler) node(n ast.Node) (node, error) {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(nil), nil
	case *ast.BoolNode:
		return constant(n.Value), nil
	case *ast.IntegerNode:
		return constant(int64(n.Value)), nil
	case *ast.FloatNode:
		return constant(n.Value), nil
	case *ast.StringNode:
		return constant(n.Value), nil
	case *ast.IdentifierNode:
		name := strings.TrimPrefix(n.Value, "$")
		return func(s *state) (any, error) { return s.vars[name], nil }, nil
	case *ast.MemberNode:
		return c.member(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ArrayNode:
		return c.list(n)
	case *ast.MapNode:
		return c.object(n)
	}
	return nil, faultf(c.pos(n.Location().From), "this form is not part of the language")
}

func constant(v any) node { return func(*state) (any, error) { return v, nil } }

func (c *compiler) nodes(list []ast.Node) ([]node, error) {
	out := make([]node, len(list))
	for i, n := range list {
		var err error
		if out[i], err = c.node(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *compiler) member(n *ast.MemberNode) (node, error) {
	parts, err := c.nodes([]ast.Node{n.Node, n.Property})
	if err != nil {
		return nil, err
	}
	of, key, pos := parts[0], parts[1], c.pos(n.Location().From)
	return func(s *state) (any, error) {
		v, err := of(s)
		if err != nil {
			return nil, err
		}
		k, err := key(s)
		if err != nil {
			return nil, err
		}
		v, err = field(v, k)
		return v, at(pos, err)
	}, nil
}

func (c *compiler) call(n *ast.CallNode) (node, error) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	pos := c.pos(n.Location().From)
	if !ok {
		return nil, faultf(pos, "only functions can be called")
	}
	name := strings.TrimPrefix(callee.Value, "$")
	f := c.funcs[name]
	if f == nil {
		return nil, faultf(pos, "unknown function %q", name)
	}
	if got := len(n.Arguments); got < f.min || f.max >= 0 && got > f.max {
		return nil, faultf(pos, "%s takes %s, got %d", f.name, f.arity(), got)
	}
	args, err := c.nodes(n.Arguments)
	if err != nil {
		return nil, err
	}
	return func(s *state) (any, error) {
		values := make([]any, len(args))
		for i, a := range args {
			v, err := a(s)
			if err != nil {
				return nil, err
			}
			values[i] = v
		}
		v, err := f.call(s, values)
		if err != nil {
			return nil, at(pos, fmt.Errorf("%s: %w", f.name, err))
		}
		return v, nil
	}, nil
}

func (c *compiler) unary(n *ast.UnaryNode) (node, error) {
	x, err := c.node(n.Node)
	if err != nil {
		return nil, err
	}
	pos := c.pos(n.Location().From)
	return func(s *state) (any, error) {
		v, err := x(s)
		if err != nil {
			return nil, err
		}
		switch n.Operator {
		case "-", "+":
			v, err = arithmetic(n.Operator, int64(0), v)
		default:
			var b bool
			b, err = truth(v)
			v = !b
		}
		return v, at(pos, err)
	}, nil
}

func (c *compiler) binary(n *ast.BinaryNode) (node, error) {
	sides, err := c.nodes([]ast.Node{n.Left, n.Right})
	if err != nil {
		return nil, err
	}
	left, right, op, pos := sides[0], sides[1], n.Operator, c.pos(n.Location().From)
	switch op {
	case "and", "&&", "or", "||":
		return logical(op == "or" || op == "||", left, right, pos), nil
	case "??":
		return func(s *state) (any, error) {
			if v, err := left(s); err != nil || v != nil {
				return v, err
			}
			return right(s)
		}, nil
	case "matches":
		return c.matches(n, left, pos)
	}
	return func(s *state) (any, error) {
		a, err := left(s)
		if err != nil {
			return nil, err
		}
		b, err := right(s)
		if err != nil {
			return nil, err
		}
		v, err := operate(s, op, a, b)
		return v, at(pos, err)
	}, nil
}

// logical is "and", or "or" when stop is true: the right side is not computed
// when the left one is stop.
func logical(stop bool, left, right node, pos int) node {
	return func(s *state) (any, error) {
		for _, side := range []node{left, right} {
			v, err := side(s)
			if err != nil {
				return nil, err
			}
			b, err := truth(v)
			if err != nil {
				return nil, at(pos, err)
			}
			if b == stop {
				return stop, nil
			}
		}
		return !stop, nil
	}
}

func (c *compiler) matches(n *ast.BinaryNode, left node, pos int) (node, error) {
	pattern, ok := n.Right.(*ast.StringNode)
	if !ok {
		return nil, faultf(pos, "matches takes a literal pattern")
	}
	re, err := regexp.Compile(pattern.Value)
	if err != nil {
		return nil, faultf(c.pos(n.Right.Location().From), "%v", err)
	}
	return func(s *state) (any, error) {
		v, err := left(s)
		if err != nil || v == nil {
			return false, err
		}
		text, ok := v.(string)
		if !ok {
			return nil, faultf(pos, "matches takes a text, got %s", typeName(v))
		}
		return re.MatchString(text), nil
	}, nil
}

func (c *compiler) conditional(n *ast.ConditionalNode) (node, error) {
	parts, err := c.nodes([]ast.Node{n.Cond, n.Exp1, n.Exp2})
	if err != nil {
		return nil, err
	}
	pos := c.pos(n.Cond.Location().From)
	return func(s *state) (any, error) {
		v, err := parts[0](s)
		if err != nil {
			return nil, err
		}
		b, err := truth(v)
		if err != nil {
			return nil, at(pos, err)
		}
		if b {
			return parts[1](s)
		}
		return parts[2](s)
	}, nil
}

func (c *compiler) list(n *ast.ArrayNode) (node, error) {
	items, err := c.nodes(n.Nodes)
	if err != nil {
		return nil, err
	}
	return func(s *state) (any, error) {
		out := make([]any, len(items))
		for i, item := range items {
			v, err := item(s)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}, nil
}

func (c *compiler) object(n *ast.MapNode) (node, error) {
	var keys, values []node
	for _, p := range n.Pairs {
		pair, ok := p.(*ast.PairNode)
		if !ok {
			return nil, faultf(c.pos(n.Location().From), "this form is not part of the language")
		}
		kv, err := c.nodes([]ast.Node{pair.Key, pair.Value})
		if err != nil {
			return nil, err
		}
		keys, values = append(keys, kv[0]), append(values, kv[1])
	}
	return func(s *state) (any, error) {
		out := make(map[string]any, len(keys))
		for i := range keys {
			k, err := keys[i](s)
			if err != nil {
				return nil, err
			}
			name, err := s.text(k)
			if err != nil {
				return nil, err
			}
			if out[name], err = values[i](s); err != nil {
				return nil, err
			}
		}
		return out, nil
	}, nil
}

// at gives err a place unless it has one.
func at(pos int, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault](err); ok {
		return err
	}
	return &fault{pos: pos, message: err.Error()}
}
