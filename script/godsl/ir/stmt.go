package ir

import (
	"go/ast"
	"go/token"
	"go/types"
)

func (b *builder) stmt(s ast.Stmt, label string) {
	switch s := s.(type) {
	case *ast.EmptyStmt:
	case *ast.BlockStmt:
		b.plainBlock(s, label)
	case *ast.ExprStmt:
		b.emit(&Do{b.expr(s.X)})
	case *ast.LabeledStmt:
		b.stmt(s.Stmt, s.Label.Name)
	case *ast.DeclStmt:
		b.decl(s.Decl.(*ast.GenDecl))
	case *ast.AssignStmt:
		b.assign(s)
	case *ast.IncDecStmt:
		l := b.place(s.X)
		op := token.ADD
		if s.Tok == token.DEC {
			op = token.SUB
		}
		b.update(l, op, b.one(l.Type(), b.pos(s)), b.pos(s))
	case *ast.IfStmt:
		b.ifStmt(s, label)
	case *ast.ForStmt:
		b.forStmt(s, label)
	case *ast.RangeStmt:
		b.rangeStmt(s, label)
	case *ast.SwitchStmt:
		b.switchStmt(s, label)
	case *ast.TypeSwitchStmt:
		b.typeSwitch(s, label)
	case *ast.BranchStmt:
		b.branch(s)
	case *ast.ReturnStmt:
		b.returnStmt(s)
	default:
		failAt(b.pos(s), "this statement is not part of the language")
	}
}

func (b *builder) plainBlock(s *ast.BlockStmt, label string) {
	if label == "" {
		b.emit(&Block{Body: b.block(s.List)})
		return
	}
	l := b.enter(label, false)
	b.scopes[len(b.scopes)-1].plain = true
	body := b.block(s.List)
	b.leave()
	b.emit(&Block{Label: l, Body: body})
}

func (b *builder) branch(s *ast.BranchStmt) {
	l := b.target(s)
	if s.Tok == token.CONTINUE {
		l.Continued = true
	} else {
		l.Broken = true
	}
	b.emit(&Branch{Label: l, Continue: s.Tok == token.CONTINUE})
}

func (b *builder) decl(d *ast.GenDecl) {
	if d.Tok != token.VAR {
		return
	}
	for _, sp := range d.Specs {
		vs := sp.(*ast.ValueSpec)
		b.define(vs.Names, vs.Values, vs)
	}
}

// define makes new variables, set to values, which may be one call.
func (b *builder) define(names []*ast.Ident, values []ast.Expr, n ast.Node) {
	switch {
	case len(values) == 0:
		for _, id := range names {
			v := b.newVar(id)
			b.emit(&Declare{Var: v, Pos: b.pos(id)})
		}
	case len(values) == len(names):
		inits := make([]Expr, len(values))
		for i, x := range values {
			inits[i] = b.to(x, b.varType(names[i], x))
		}
		for i, id := range names {
			if id.Name == "_" {
				b.emit(&Assign{R: inits[i], Pos: b.pos(id)})
				continue
			}
			b.emit(&Declare{Var: b.newVar(id), Init: inits[i], Pos: b.pos(id)})
		}
	default:
		r := b.tuple(values[0])
		vals := b.spread(r, b.pos(n))
		for i, id := range names {
			if id.Name != "_" {
				v := b.newVar(id)
				b.emit(&Declare{Var: v, Init: b.convertTo(vals[i], v.T), Pos: b.pos(id)})
			}
		}
	}
}

// varType is the type of the variable id, or of x when id is blank.
func (b *builder) varType(id *ast.Ident, x ast.Expr) *Type {
	if obj := b.info.ObjectOf(id); obj != nil && obj.Type() != nil {
		return b.typ(obj.Type())
	}
	return b.typ(types.Default(b.info.TypeOf(x)))
}

func (b *builder) newVar(id *ast.Ident) *Var {
	v, ok := b.info.Defs[id].(*types.Var)
	if !ok {
		return &Var{Name: "_", T: b.types.Basic(Int), Owner: b.fn}
	}
	return b.declare(v)
}

// tuple lowers an expression with several values.
func (b *builder) tuple(x ast.Expr) Expr {
	switch x := ast.Unparen(x).(type) {
	case *ast.IndexExpr:
		return b.index(x, true)
	case *ast.TypeAssertExpr:
		return b.assert(x, true)
	}
	return b.expr(x)
}

// spread puts the values of a tuple into temporary variables.
func (b *builder) spread(r Expr, pos token.Pos) []Expr {
	var vals, places []Expr
	for _, t := range r.Type().Results {
		v := &Var{T: t, Owner: b.fn}
		b.emit(&Declare{Var: v, Pos: pos})
		places = append(places, b.value(v, pos))
		vals = append(vals, b.value(v, pos))
	}
	b.emit(&AssignTuple{L: places, R: r, Pos: pos})
	return vals
}

func (b *builder) assign(s *ast.AssignStmt) {
	switch {
	case s.Tok == token.DEFINE:
		b.shortDefine(s)
	case s.Tok != token.ASSIGN:
		l := b.place(s.Lhs[0])
		op := s.Tok - token.ADD_ASSIGN + token.ADD
		t := l.Type()
		if op == token.SHL || op == token.SHR {
			t = b.shiftType(s.Rhs[0])
		}
		b.update(l, op, b.to(s.Rhs[0], t), b.at(s.TokPos))
	case len(s.Lhs) == 1:
		b.assignOne(s.Lhs[0], s.Rhs[0], b.pos(s))
	default:
		b.assignMany(s)
	}
}

func (b *builder) assignOne(l, r ast.Expr, pos token.Pos) {
	if isBlank(l) {
		t := b.typ(types.Default(b.info.TypeOf(r)))
		b.emit(&Assign{R: b.to(r, t), Pos: pos})
		return
	}
	p := b.place(l)
	if hasCall(l) {
		p = b.pin(p)
	}
	b.emit(&Assign{L: p, R: b.to(r, p.Type()), Pos: pos})
}

func hasCall(x ast.Expr) bool {
	found := false
	ast.Inspect(x, func(n ast.Node) bool {
		if _, ok := n.(*ast.CallExpr); ok {
			found = true
		}
		return !found
	})
	return found
}

func isBlank(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "_"
}

// place lowers the left side of an assignment.
func (b *builder) place(x ast.Expr) Expr {
	p := b.expr(x)
	if g := globalRoot(p); g != nil && !b.prog.Mutable {
		failAt(b.pos(x), "package-level variable %s cannot be changed: an execution leaves no state behind", g.Name)
	}
	return p
}

// globalRoot returns the package-level variable that holds x, if any.
func globalRoot(x Expr) *Global {
	for {
		switch e := x.(type) {
		case *GlobalRef:
			return e.Global
		case *Select:
			x = e.X
		case *Index:
			x = e.X
		case *MapIndex:
			x = e.X
		case *Retype:
			x = e.X
		default:
			return nil
		}
	}
}

// pin evaluates what a place depends on, so that the place can be used
// later, or twice, and still means the same.
func (b *builder) pin(p Expr) Expr {
	keep := func(x Expr) Expr {
		switch x.(type) {
		case *Const, *Zero:
			return x
		}
		return b.value(b.temp(x), x.Pos())
	}
	switch p := p.(type) {
	case *Select:
		return &Select{p.Typed, b.pin(p.X), p.Index}
	case *Deref:
		return &Deref{p.Typed, keep(p.X)}
	case *Index:
		x := p.X
		if x.Type().Kind == Array {
			x = &Addr{Typed{b.types.PointerTo(x.Type()), x.Pos()}, b.pin(x)}
		}
		return &Index{p.Typed, keep(x), keep(p.I)}
	case *MapIndex:
		return &MapIndex{p.Typed, keep(p.X), keep(p.K), false}
	}
	return p
}

func (b *builder) assignMany(s *ast.AssignStmt) {
	places := make([]Expr, len(s.Lhs))
	for i, l := range s.Lhs {
		if !isBlank(l) {
			places[i] = b.pin(b.place(l))
		}
	}
	var vals []Expr
	if len(s.Rhs) == 1 {
		vals = b.spread(b.tuple(s.Rhs[0]), b.pos(s))
	} else {
		for i, r := range s.Rhs {
			t := b.typ(types.Default(b.info.TypeOf(r)))
			if places[i] != nil {
				t = places[i].Type()
			}
			v := b.to(r, t)
			if _, isConst := v.(*Const); !isConst {
				v = b.value(b.temp(v), b.pos(r))
			}
			vals = append(vals, v)
		}
	}
	for i, p := range places {
		if p != nil {
			b.emit(&Assign{L: p, R: b.convertTo(vals[i], p.Type()), Pos: b.pos(s)})
		}
	}
}

// shortDefine is :=, where some of the names may exist already.
func (b *builder) shortDefine(s *ast.AssignStmt) {
	fresh := true
	var names []*ast.Ident
	for _, l := range s.Lhs {
		id := l.(*ast.Ident)
		names = append(names, id)
		if id.Name != "_" && b.info.Defs[id] == nil {
			fresh = false
		}
	}
	if fresh {
		b.define(names, s.Rhs, s)
		return
	}
	var vals []Expr
	if len(s.Rhs) == 1 {
		vals = b.spread(b.tuple(s.Rhs[0]), b.pos(s))
	} else {
		for i, r := range s.Rhs {
			vals = append(vals, b.value(b.temp(b.to(r, b.varType(names[i], r))), b.pos(r)))
		}
	}
	for i, id := range names {
		switch {
		case id.Name == "_":
		case b.info.Defs[id] != nil:
			v := b.newVar(id)
			b.emit(&Declare{Var: v, Init: b.convertTo(vals[i], v.T), Pos: b.pos(id)})
		default:
			p := b.expr(id)
			b.emit(&Assign{L: p, R: b.convertTo(vals[i], p.Type()), Pos: b.pos(id)})
		}
	}
}

// update is l op= r.
func (b *builder) update(l Expr, op token.Token, r Expr, pos token.Pos) {
	if m, ok := l.(*MapIndex); ok {
		p := b.pin(m).(*MapIndex)
		b.emit(&Assign{L: p, R: &Binary{Typed{p.T, pos}, op, p, r}, Pos: pos})
		return
	}
	b.emit(&Update{L: l, R: r, Op: op, Pos: pos})
}

func (b *builder) returnStmt(s *ast.ReturnStmt) {
	results := b.fn.Results
	out := &Return{Pos: b.pos(s)}
	switch {
	case len(s.Results) == 0:
		for _, v := range b.named {
			out.Xs = append(out.Xs, b.value(v, b.pos(s)))
		}
	case len(s.Results) == 1 && len(results) > 1:
		r := b.tuple(s.Results[0])
		for i, v := range b.spread(r, b.pos(s)) {
			out.Xs = append(out.Xs, b.convertTo(v, results[i].T))
		}
	default:
		for i, x := range s.Results {
			out.Xs = append(out.Xs, b.to(x, results[i].T))
		}
	}
	b.emit(out)
}

func (b *builder) one(t *Type, pos token.Pos) Expr {
	c := &Const{Typed: Typed{t, pos}, Bits: 1}
	if t.Float() {
		c.Bits = 0x3ff0000000000000
	}
	return c
}
