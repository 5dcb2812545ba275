package ir

import (
	"go/ast"
	"go/token"
	"go/types"
)

func (b *builder) ifStmt(s *ast.IfStmt, label string) {
	l := (*Label)(nil)
	if label != "" {
		l = b.enter(label, false)
		b.scopes[len(b.scopes)-1].plain = true
		defer b.leave()
	}
	body := b.collect(func() {
		if s.Init != nil {
			b.stmt(s.Init, "")
		}
		cond := b.expr(s.Cond)
		then := b.block(s.Body.List)
		var other []Stmt
		if s.Else != nil {
			other = b.collect(func() { b.stmt(s.Else, "") })
		}
		b.emit(&If{Cond: cond, Then: then, Else: other})
	})
	if s.Init == nil && l == nil && len(body) == 1 {
		b.emit(body[0])
		return
	}
	b.emit(&Block{Label: l, Body: body})
}

func (b *builder) forStmt(s *ast.ForStmt, label string) {
	body := b.collect(func() {
		f := &For{Pos: b.pos(s)}
		if s.Init != nil {
			b.stmt(s.Init, "")
			if d, ok := s.Init.(*ast.AssignStmt); ok && d.Tok == token.DEFINE {
				for _, x := range d.Lhs {
					if v, ok := b.info.Defs[x.(*ast.Ident)].(*types.Var); ok && b.vars[v] != nil && b.vars[v].Boxed {
						f.Fresh = append(f.Fresh, b.vars[v])
					}
				}
			}
		}
		if s.Cond != nil {
			pre := b.collect(func() { f.Cond = b.expr(s.Cond) })
			if len(pre) > 0 {
				failAt(b.pos(s.Cond), "this condition is too involved")
			}
		}
		f.Label = b.enter(label, true)
		f.Body = b.block(s.Body.List)
		b.leave()
		if s.Post != nil {
			f.Post = b.collect(func() { b.stmt(s.Post, "") })
		}
		b.emit(f)
	})
	if len(body) == 1 {
		b.emit(body[0])
		return
	}
	b.emit(&Block{Body: body})
}

// rangeVar makes the variable of a range clause and, for =, the assignment
// that its body begins with.
func (b *builder) rangeVar(x ast.Expr, t *Type, define bool) (*Var, func()) {
	if x == nil || isBlank(x) {
		return nil, nil
	}
	if define {
		return b.newVar(x.(*ast.Ident)), nil
	}
	v := &Var{T: t, Owner: b.fn}
	return v, func() {
		p := b.place(x)
		b.emit(&Assign{L: p, R: b.convertTo(b.value(v, b.pos(x)), p.Type()), Pos: b.pos(x)})
	}
}

func (b *builder) rangeStmt(s *ast.RangeStmt, label string) {
	define := s.Tok == token.DEFINE
	x := b.rangeOperand(s)
	keyType, valType := b.rangeTypes(x.Type())
	key, setKey := b.rangeVar(s.Key, keyType, define)
	val, setVal := b.rangeVar(s.Value, valType, define)
	l := b.enter(label, true)
	body := b.collect(func() {
		if setKey != nil {
			setKey()
		}
		if setVal != nil {
			setVal()
		}
		for _, s := range s.Body.List {
			b.stmt(s, "")
		}
	})
	b.leave()
	switch t := x.Type(); {
	case t.Kind == Func:
		vars := []*Var{key, val}
		b.emit(&RangeFunc{Label: l, Vars: vars[:len(t.Params[0].Params)], X: x, Body: body, Pos: b.pos(s)})
	case t.Integer():
		b.emit(&RangeInt{Label: l, Key: key, N: x, Body: body, Pos: b.pos(s)})
	default:
		b.emit(&RangeList{Label: l, Key: key, Val: val, X: x, Body: body, Pos: b.pos(s)})
	}
}

func (b *builder) rangeOperand(s *ast.RangeStmt) Expr {
	if tv := b.info.Types[s.X]; tv.Value != nil && isUntyped(tv.Type) && s.Key != nil && !isBlank(s.Key) && tv.Type.(*types.Basic).Kind() != types.UntypedString {
		if t := b.info.TypeOf(s.Key); t != nil {
			return b.to(s.X, b.typ(t))
		}
	}
	return b.expr(s.X)
}

func (b *builder) rangeTypes(t *Type) (key, val *Type) {
	switch t.Kind {
	case Slice, Array:
		return b.types.Basic(Int), t.Elem
	case Pointer:
		return b.types.Basic(Int), t.Elem.Elem
	case String:
		return b.types.Basic(Int), b.types.Basic(Int32)
	case Map:
		return t.Key, t.Elem
	case Func:
		params := append(t.Params[0].Params[:len(t.Params[0].Params):len(t.Params[0].Params)], nil, nil)
		return params[0], params[1]
	}
	return t, nil
}

func (b *builder) switchStmt(s *ast.SwitchStmt, label string) {
	l := &Label{}
	body := b.collect(func() {
		if s.Init != nil {
			b.stmt(s.Init, "")
		}
		var tag *Var
		if s.Tag != nil {
			t := b.typ(types.Default(b.info.TypeOf(s.Tag)))
			tag = b.temp(b.to(s.Tag, t))
		}
		b.scopes = append(b.scopes, scope{name: label, label: l})
		b.clauses(s, tag)
		b.leave()
	})
	b.emit(&Block{Label: l, Body: body})
}

// clauses chains the cases as ifs. With a fallthrough the chain only finds the
// number of the clause, and the clauses follow one after the other.
func (b *builder) clauses(s *ast.SwitchStmt, tag *Var) {
	if fallsThrough(s) {
		b.numbered(s, tag)
		return
	}
	var other []Stmt
	list := s.Body.List
	for i := len(list) - 1; i >= 0; i-- {
		c := list[i].(*ast.CaseClause)
		if c.List == nil {
			other = b.block(c.Body)
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		if c := list[i].(*ast.CaseClause); c.List != nil {
			other = []Stmt{&If{Cond: b.anyOf(c, tag), Then: b.block(c.Body), Else: other}}
		}
	}
	for _, st := range other {
		b.emit(st)
	}
}

func fallsThrough(s *ast.SwitchStmt) bool {
	for _, c := range s.Body.List {
		if endsInFallthrough(c.(*ast.CaseClause)) {
			return true
		}
	}
	return false
}

func endsInFallthrough(c *ast.CaseClause) bool {
	if len(c.Body) == 0 {
		return false
	}
	br, ok := c.Body[len(c.Body)-1].(*ast.BranchStmt)
	return ok && br.Tok == token.FALLTHROUGH
}

func (b *builder) numbered(s *ast.SwitchStmt, tag *Var) {
	intType := b.types.Basic(Int)
	num := func(n int) Expr { return &Const{Typed: Typed{intType, b.pos(s)}, Bits: uint64(n)} }
	at := b.temp(num(-1))
	here := b.value(at, b.pos(s))
	var chain []Stmt
	for i, c := range s.Body.List {
		if c.(*ast.CaseClause).List == nil {
			chain = []Stmt{&Assign{L: here, R: num(i), Pos: b.pos(s)}}
		}
	}
	for i := len(s.Body.List) - 1; i >= 0; i-- {
		if c := s.Body.List[i].(*ast.CaseClause); c.List != nil {
			chain = []Stmt{&If{Cond: b.anyOf(c, tag), Then: []Stmt{&Assign{L: here, R: num(i), Pos: b.pos(s)}}, Else: chain}}
		}
	}
	for _, st := range chain {
		b.emit(st)
	}
	for i, cl := range s.Body.List {
		c := cl.(*ast.CaseClause)
		list := c.Body
		falls := endsInFallthrough(c)
		if falls {
			list = list[:len(list)-1]
		}
		body := b.block(list)
		if falls {
			body = append(body, &Assign{L: here, R: num(i + 1), Pos: b.pos(s)})
		}
		b.emit(&If{Cond: &Compare{Typed{b.types.Basic(Bool), b.pos(c)}, token.EQL, here, num(i)}, Then: body})
	}
}

// anyOf is the condition of a case clause.
func (b *builder) anyOf(c *ast.CaseClause, tag *Var) Expr {
	boolType := b.types.Basic(Bool)
	var cond Expr
	for _, x := range c.List {
		var one Expr
		if tag == nil {
			one = b.to(x, boolType)
		} else {
			t := tag.T
			if xt := b.info.TypeOf(x); t.Kind != Interface && isIface(xt) {
				t = b.typ(xt)
			}
			one = &Compare{Typed{boolType, b.pos(x)}, token.EQL, b.convertTo(b.value(tag, b.pos(x)), t), b.to(x, t)}
		}
		if cond == nil {
			cond = one
		} else {
			cond = &Logic{Typed{boolType, b.pos(x)}, token.LOR, cond, one}
		}
	}
	return cond
}

func (b *builder) typeSwitch(s *ast.TypeSwitchStmt, label string) {
	l := &Label{}
	body := b.collect(func() {
		if s.Init != nil {
			b.stmt(s.Init, "")
		}
		var x ast.Expr
		switch a := s.Assign.(type) {
		case *ast.ExprStmt:
			x = a.X
		case *ast.AssignStmt:
			x = a.Rhs[0]
		}
		v := b.temp(b.expr(ast.Unparen(x).(*ast.TypeAssertExpr).X))
		b.scopes = append(b.scopes, scope{name: label, label: l})
		var other []Stmt
		for i := len(s.Body.List) - 1; i >= 0; i-- {
			if c := s.Body.List[i].(*ast.CaseClause); c.List == nil {
				other = b.typeClause(c, v)
			}
		}
		for i := len(s.Body.List) - 1; i >= 0; i-- {
			if c := s.Body.List[i].(*ast.CaseClause); c.List != nil {
				other = []Stmt{&If{Cond: b.anyType(c, v), Then: b.typeClause(c, v), Else: other}}
			}
		}
		b.leave()
		for _, st := range other {
			b.emit(st)
		}
	})
	b.emit(&Block{Label: l, Body: body})
}

func (b *builder) anyType(c *ast.CaseClause, v *Var) Expr {
	boolType := b.types.Basic(Bool)
	var cond Expr
	for _, x := range c.List {
		var one Expr
		value := b.value(v, b.pos(x))
		if b.info.Types[x].IsNil() {
			one = &Compare{Typed{boolType, b.pos(x)}, token.EQL, value, &Zero{Typed{v.T, b.pos(x)}}}
		} else {
			t := b.typeOf(x)
			b.needMethods(t)
			one = &TypeIs{Typed{boolType, b.pos(x)}, value, t}
		}
		if cond == nil {
			cond = one
		} else {
			cond = &Logic{Typed{boolType, b.pos(x)}, token.LOR, cond, one}
		}
	}
	return cond
}

func (b *builder) typeClause(c *ast.CaseClause, v *Var) []Stmt {
	return b.collect(func() {
		if obj, ok := b.info.Implicits[c].(*types.Var); ok {
			own := b.declare(obj)
			x := Expr(b.value(v, b.pos(c)))
			if own.T != v.T {
				x = &Assert{Typed{own.T, b.pos(c)}, x, own.T, false}
			}
			b.emit(&Declare{Var: own, Init: x, Pos: b.pos(c)})
		}
		for _, s := range c.Body {
			b.stmt(s, "")
		}
	})
}
