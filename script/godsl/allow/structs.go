package allow

import (
	"go/ast"
	"go/token"
)

// structs bounds the size of struct types: forty declarations, each with two
// fields of the one before, keep the checker busy for ever.
func structs(files []*ast.File) *Refusal {
	s := &sizes{specs: map[string][]*ast.TypeSpec{}, known: map[*ast.TypeSpec]size{}}
	var all []*ast.TypeSpec
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if t, ok := n.(*ast.TypeSpec); ok {
				s.specs[t.Name.Name] = append(s.specs[t.Name.Name], t)
				all = append(all, t)
			}
			return true
		})
	}
	for _, t := range all {
		n := s.spec(t)
		switch {
		case n.leaves > MaxLeaves:
			return refusal(t.Pos(), "hold parts of it by pointer or in a slice", "a struct may hold %d values", MaxLeaves)
		case n.depth > MaxStructs:
			return refusal(t.Pos(), "hold parts of it by pointer or in a slice", "structs may nest %d levels deep", MaxStructs)
		}
	}
	for _, f := range files {
		var bad *Refusal
		ast.Inspect(f, func(n ast.Node) bool {
			if t, ok := n.(*ast.StructType); ok && bad == nil {
				if s.of(t).leaves > MaxLeaves {
					bad = refusal(t.Pos(), "hold parts of it by pointer or in a slice", "a struct may hold %d values", MaxLeaves)
				}
			}
			return true
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

func refusal(pos token.Pos, hint, format string, args ...any) *Refusal {
	w := &walker{}
	w.refuse(pos, hint, format, args...)
	return w.err
}

type size struct{ leaves, depth int }

func (a size) larger(b size) size { return size{max(a.leaves, b.leaves), max(a.depth, b.depth)} }

type sizes struct {
	specs map[string][]*ast.TypeSpec // by name, whatever the scope
	known map[*ast.TypeSpec]size
}

func (s *sizes) spec(t *ast.TypeSpec) size {
	if n, ok := s.known[t]; ok {
		return n
	}
	s.known[t] = size{1, 0} // of a type that contains itself; the checker refuses it
	n := s.of(t.Type)
	s.known[t] = n
	return n
}

// of returns the size of a type's values. Interfaces count what they embed.
func (s *sizes) of(x ast.Expr) size {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return s.of(x.X)
	case *ast.Ident:
		n := size{1, 0}
		for _, t := range s.specs[x.Name] {
			n = n.larger(s.spec(t))
		}
		return n
	case *ast.ArrayType:
		if x.Len != nil {
			n := s.of(x.Elt)
			n.depth++
			return n
		}
	case *ast.StructType:
		return s.fields(x.Fields)
	case *ast.InterfaceType:
		return s.fields(x.Methods)
	case *ast.BinaryExpr: // of a union
		return s.of(x.X).larger(s.of(x.Y))
	}
	return size{1, 0}
}

func (s *sizes) fields(list *ast.FieldList) size {
	total := size{}
	for _, f := range list.List {
		n := s.of(f.Type)
		total.leaves = min(total.leaves+n.leaves*max(1, len(f.Names)), 10*MaxLeaves)
		total.depth = max(total.depth, n.depth)
	}
	total.leaves = max(total.leaves, 1)
	total.depth++
	return total
}
