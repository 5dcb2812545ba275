package expr

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Tree is nested lists and maps with templates among their texts.
type Tree struct {
	root tnode
	refs []Reference
}

// A Reference is a variable that a Tree reads.
type Reference struct {
	At   []string // where in the tree: keys of maps and indices of lists
	Path []string // as in [Program.Refs]
}

// A PathError is an error of one text in a tree.
type PathError struct {
	At  []string // where in the tree
	Err error    // a *script.Error, positioned inside that text
}

// Error returns the place and the error.
func (e *PathError) Error() string {
	if len(e.At) == 0 {
		return e.Err.Error()
	}
	return strings.Join(e.At, ".") + ": " + e.Err.Error()
}

// Unwrap returns the error of the text.
func (e *PathError) Unwrap() error { return e.Err }

// A tnode is one value of a tree; exactly one field is set, or value alone.
type tnode struct {
	value    any
	template *Template
	list     []tnode
	object   map[string]tnode
	names    []string // keys of object, sorted
}

// maxTree bounds how deep a tree is nested.
const maxTree = 200

// CompileTree compiles the templates among the texts of v, which is made of
// map[string]any, []any and scalars. Keys are not templates. Its errors are
// *[PathError].
func CompileTree(v any, opt Options) (*Tree, error) {
	t := &Tree{}
	var err error
	if t.root, err = t.compile(v, nil, &opt); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tree) compile(v any, at []string, opt *Options) (tnode, error) {
	if len(at) > maxTree {
		return tnode{}, &PathError{slices.Clone(at), fmt.Errorf("nested more than %d deep", maxTree)}
	}
	switch x := v.(type) {
	case string:
		tmpl, err := ParseTemplate(x, *opt)
		if err != nil {
			return tnode{}, &PathError{slices.Clone(at), err}
		}
		if text, ok := tmpl.Constant(); ok {
			return tnode{value: text}, nil
		}
		for _, path := range tmpl.Refs() {
			t.refs = append(t.refs, Reference{slices.Clone(at), path})
		}
		return tnode{template: tmpl}, nil
	case []any:
		n := tnode{list: make([]tnode, len(x))}
		for i, item := range x {
			var err error
			if n.list[i], err = t.compile(item, append(at, strconv.Itoa(i)), opt); err != nil {
				return tnode{}, err
			}
		}
		return n, nil
	case map[string]any:
		n := tnode{object: make(map[string]tnode, len(x)), names: slices.Sorted(maps.Keys(x))}
		for _, k := range n.names {
			child, err := t.compile(x[k], append(at, k), opt)
			if err != nil {
				return tnode{}, err
			}
			n.object[k] = child
		}
		return n, nil
	}
	return tnode{value: v}, nil
}

// Refs returns the variables the tree reads, in the order of its keys.
func (t *Tree) Refs() []Reference { return t.refs }

// Eval computes the tree. Its errors are *[PathError].
func (t *Tree) Eval(vars map[string]any) (any, error) {
	return t.root.eval(&state{vars: vars}, nil)
}

func (n *tnode) eval(s *state, at []string) (any, error) {
	switch {
	case n.template != nil:
		v, err := n.template.eval(s)
		if err != nil {
			return nil, &PathError{slices.Clone(at), err}
		}
		return v, nil
	case n.list != nil:
		out := make([]any, len(n.list))
		for i := range n.list {
			var err error
			if out[i], err = n.list[i].eval(s, append(at, strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
		return out, nil
	case n.object != nil:
		out := make(map[string]any, len(n.object))
		for _, k := range n.names {
			child := n.object[k]
			v, err := child.eval(s, append(at, k))
			if err != nil {
				return nil, err
			}
			out[k] = v
		}
		return out, nil
	}
	return n.value, nil
}
