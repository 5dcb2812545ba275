package ir

import (
	"go/ast"
	"go/token"
	"go/types"
)

// A builder lowers the body of one function or literal.
type builder struct {
	*lowerer
	src    *Source
	info   *types.Info
	env    env
	fn     *Fn
	vars   map[*types.Var]*Var
	uses   map[*types.Var]*use
	parent *builder // of a literal
	scopes []scope  // targets of break and continue, innermost last
	named  []*Var   // result variables with names
	out    *[]Stmt  // where statements that an expression needs go
}

// A scope is a statement that break or continue can name.
type scope struct {
	name  string
	label *Label
	loop  bool
	plain bool // a labelled block, which only a break with its label leaves
}

func (b *builder) typ(t types.Type) *Type         { return b.types.Of(t, b.env) }
func (b *builder) typeOf(x ast.Expr) *Type        { return b.typ(b.info.TypeOf(x)) }
func (b *builder) pos(n ast.Node) token.Pos       { return b.at(n.Pos()) }
func (b *builder) emit(s Stmt)                    { *b.out = append(*b.out, s) }
func (b *builder) value(v *Var, p token.Pos) Expr { return &VarRef{Typed{v.T, p}, v} }

// at drops positions inside the library: errors there are reported where the
// user's code calls it.
func (b *builder) at(p token.Pos) token.Pos {
	if b.src != nil && b.src.Library {
		return token.NoPos
	}
	return p
}

// declare makes the Var for v.
func (b *builder) declare(v *types.Var) *Var {
	own := &Var{Name: v.Name(), T: b.typ(v.Type()), Owner: b.fn}
	if u := b.uses[v]; u != nil {
		own.Boxed = u.boxed()
		own.Shared, own.Changed = u.shared, u.changed
	}
	b.vars[v] = own
	return own
}

// temp makes a variable that the source does not name.
func (b *builder) temp(x Expr) *Var {
	v := &Var{T: x.Type(), Owner: b.fn}
	b.emit(&Declare{Var: v, Init: x, Pos: x.Pos()})
	return v
}

// lookup returns the Var of v in this function, capturing it from outside.
func (b *builder) lookup(v *types.Var) *Var {
	if own, ok := b.vars[v]; ok {
		return own
	}
	if b.parent == nil {
		return nil
	}
	outer := b.parent.lookup(v)
	if outer == nil {
		return nil
	}
	inner := &Var{Name: outer.Name, T: outer.T, Boxed: outer.Boxed, Owner: b.fn, Changed: outer.Changed, Shared: true}
	b.vars[v] = inner
	b.fn.Captures = append(b.fn.Captures, &Capture{Outer: outer, Inner: inner})
	return inner
}

// block lowers statements of one scope.
func (b *builder) block(list []ast.Stmt) []Stmt {
	return b.collect(func() {
		for _, s := range list {
			b.stmt(s, "")
		}
	})
}

// collect returns the statements that f emits.
func (b *builder) collect(f func()) []Stmt {
	outer := b.out
	var list []Stmt
	b.out = &list
	f()
	b.out = outer
	return list
}

// enter opens a target of break, and of continue for a loop.
func (b *builder) enter(name string, loop bool) *Label {
	l := &Label{}
	b.scopes = append(b.scopes, scope{name: name, label: l, loop: loop})
	return l
}

func (b *builder) leave() { b.scopes = b.scopes[:len(b.scopes)-1] }

// target returns the label of a break or continue.
func (b *builder) target(s *ast.BranchStmt) *Label {
	for i := len(b.scopes) - 1; i >= 0; i-- {
		t := b.scopes[i]
		switch {
		case s.Label != nil && t.name != s.Label.Name:
		case s.Tok == token.CONTINUE && !t.loop:
		case s.Label == nil && t.plain:
		default:
			return t.label
		}
	}
	failAt(s.Pos(), "%s has no target", s.Tok)
	return nil
}

// literal lowers a function literal.
func (b *builder) literal(x *ast.FuncLit) Expr {
	fn := &Fn{Name: b.fn.Name + ".func", Pos: b.pos(x), Type: b.typeOf(x), Outer: b.fn, Library: b.src.Library}
	b.prog.All = append(b.prog.All, fn)
	in := &builder{lowerer: b.lowerer, src: b.src, info: b.info, env: b.env, fn: fn, vars: map[*types.Var]*Var{}, uses: b.uses, parent: b}
	sig := b.info.TypeOf(x).(*types.Signature)
	for v := range sig.Params().Variables() {
		fn.Params = append(fn.Params, in.declare(v))
	}
	fn.Body = in.body(sig, x.Body)
	fn.Done = true
	return &Closure{Typed{fn.Type, b.pos(x)}, fn}
}

// body lowers a function's body, with its named results as variables.
func (b *builder) body(sig *types.Signature, body *ast.BlockStmt) []Stmt {
	return b.collect(func() {
		for v := range sig.Results().Variables() {
			b.fn.Results = append(b.fn.Results, &Var{T: b.typ(v.Type()), Owner: b.fn})
			if v.Name() == "" {
				continue
			}
			own := &Var{T: b.typ(v.Type()), Owner: b.fn, Name: v.Name()}
			if v.Name() != "_" {
				own = b.declare(v)
			}
			b.named = append(b.named, own)
			b.emit(&Declare{Var: own, Pos: b.pos(body)})
		}
		for _, s := range body.List {
			b.stmt(s, "")
		}
	})
}
