package ir

import (
	"go/ast"
	"go/token"
	"go/types"
)

// A use says what a function does to one of its variables.
type use struct {
	owner     ast.Node // the literal that declares it; nil for the function itself
	shared    bool     // used by another literal
	changed   bool     // assigned after its declaration
	addressed bool     // its address is taken
}

// analyse finds out which variables need a cell of their own: those whose
// address is taken, and those that a literal shares and somebody changes.
func (b *builder) analyse(body ast.Node) {
	b.uses = map[*types.Var]*use{}
	a := &analysis{b: b}
	a.walk(body)
	for v, u := range b.uses {
		if own, ok := b.vars[v]; ok {
			own.Boxed = u.boxed()
			own.Shared, own.Changed = u.shared, u.changed
		}
	}
}

func (u *use) boxed() bool { return u.addressed || u.shared && u.changed }

type analysis struct {
	b   *builder
	lit ast.Node
}

func (a *analysis) of(v *types.Var) *use {
	u := a.b.uses[v]
	if u == nil {
		u = &use{}
		a.b.uses[v] = u
	}
	return u
}

func (a *analysis) walk(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			outer := a.lit
			a.lit = n
			a.declare(n.Type.Params)
			a.declare(n.Type.Results)
			a.walk(n.Body)
			a.lit = outer
			return false
		case *ast.Ident:
			if v, ok := a.b.info.Defs[n].(*types.Var); ok {
				a.of(v).owner = a.lit
			} else if v, ok := a.b.info.Uses[n].(*types.Var); ok {
				if u := a.of(v); u.owner != a.lit {
					u.shared = true
				}
			}
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				if id, ok := x.(*ast.Ident); ok && a.b.info.Defs[id] != nil {
					continue
				}
				a.changes(x)
			}
		case *ast.IncDecStmt:
			a.changes(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				a.changes(n.Key)
				a.changes(n.Value)
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				a.takesAddress(n.X)
			}
		case *ast.SelectorExpr:
			a.selects(n)
		case *ast.TypeSwitchStmt:
			for _, c := range n.Body.List {
				if v, ok := a.b.info.Implicits[c].(*types.Var); ok {
					a.of(v).owner = a.lit
				}
			}
		}
		return true
	})
}

func (a *analysis) declare(fields *ast.FieldList) {
	if fields == nil {
		return
	}
	for _, f := range fields.List {
		for _, id := range f.Names {
			if v, ok := a.b.info.Defs[id].(*types.Var); ok {
				a.of(v).owner = a.lit
			}
		}
	}
}

func (a *analysis) changes(x ast.Expr) {
	if v := a.root(x); v != nil {
		a.of(v).changed = true
	}
}

func (a *analysis) takesAddress(x ast.Expr) {
	if v := a.root(x); v != nil {
		if _, isArray := v.Type().Underlying().(*types.Array); isArray {
			return // an array has a storage of its own, its address is that
		}
		a.of(v).addressed = true
	}
}

// selects marks x in x.Method() when the method takes x's address.
func (a *analysis) selects(n *ast.SelectorExpr) {
	sel := a.b.info.Selections[n]
	if sel == nil || sel.Kind() != types.MethodVal {
		return
	}
	recv := sel.Obj().(*types.Func).Signature().Recv()
	_, wantsPointer := recv.Type().(*types.Pointer)
	if _, isParam := types.Unalias(sel.Recv()).(*types.TypeParam); isParam {
		wantsPointer = true
	}
	if _, isPointer := sel.Recv().Underlying().(*types.Pointer); wantsPointer && !isPointer {
		a.takesAddress(n.X)
	}
}

// root returns the variable whose own slots hold x, or nil.
func (a *analysis) root(x ast.Expr) *types.Var {
	for {
		switch e := x.(type) {
		case *ast.ParenExpr:
			x = e.X
		case *ast.Ident:
			v, _ := a.b.info.ObjectOf(e).(*types.Var)
			return v
		case *ast.SelectorExpr:
			sel := a.b.info.Selections[e]
			if sel == nil || sel.Kind() != types.FieldVal {
				return nil
			}
			if _, ok := a.b.info.TypeOf(e.X).Underlying().(*types.Pointer); ok {
				return nil
			}
			x = e.X
		default:
			return nil
		}
	}
}
