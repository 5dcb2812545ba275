package allow

import (
	"go/ast"
	"go/token"
)

// constants bounds the length of constant strings: forty lines of
// const cN = cN-1 + cN-1 are more than a machine's memory. The bound is what
// the expression would have if every name stood for the longest constant of
// that name in the package.
func constants(files []*ast.File) *Refusal {
	c := &lengths{values: map[string][]ast.Expr{}, known: map[string]int{}}
	for _, f := range files {
		c.declarations(f)
	}
	for _, f := range files {
		var bad *Refusal
		ast.Inspect(f, func(n ast.Node) bool {
			if x, ok := n.(*ast.BinaryExpr); ok && bad == nil && x.Op == token.ADD {
				if c.of(x) > MaxString {
					bad = refusal(x.Pos(), "build the text at run time", "a constant string may have %d bytes", MaxString)
				}
				return bad == nil
			}
			return bad == nil
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

type lengths struct {
	values map[string][]ast.Expr // of constants, by name
	known  map[string]int
}

// declarations finds all constants, with the expressions that groups repeat.
func (c *lengths) declarations(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		d, ok := n.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			return true
		}
		var last []ast.Expr
		for _, s := range d.Specs {
			vs := s.(*ast.ValueSpec)
			if len(vs.Values) > 0 {
				last = vs.Values
			}
			for i, id := range vs.Names {
				if i < len(last) {
					c.values[id.Name] = append(c.values[id.Name], last[i])
				}
			}
		}
		return true
	})
}

// of returns an upper bound of the length of x as a constant string.
func (c *lengths) of(x ast.Expr) int {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return c.of(x.X)
	case *ast.BasicLit:
		if x.Kind == token.STRING || x.Kind == token.CHAR {
			return len(x.Value)
		}
	case *ast.BinaryExpr:
		if x.Op == token.ADD {
			return min(c.of(x.X)+c.of(x.Y), 2*MaxString)
		}
		return max(c.of(x.X), c.of(x.Y))
	case *ast.UnaryExpr:
		return c.of(x.X)
	case *ast.Ident:
		return c.name(x.Name)
	case *ast.CallExpr: // a conversion
		n := 4
		for _, a := range x.Args {
			n = max(n, c.of(a))
		}
		return n
	}
	return 0
}

func (c *lengths) name(name string) int {
	if n, ok := c.known[name]; ok {
		return n
	}
	c.known[name] = 0 // while a constant refers to itself; the checker refuses it
	n := 0
	for _, x := range c.values[name] {
		n = max(n, c.of(x))
	}
	c.known[name] = n
	return n
}
