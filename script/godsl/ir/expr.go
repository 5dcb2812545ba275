package ir

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

// to lowers x and converts it to t as an assignment does.
func (b *builder) to(x ast.Expr, t *Type) Expr {
	tv := b.info.Types[x]
	if tv.Value != nil {
		if basic, ok := tv.Type.(*types.Basic); ok && basic.Info()&types.IsUntyped != 0 && t.Kind != Interface {
			return b.constant(tv.Value, tv.Type, t, b.pos(x))
		}
	}
	if tv.IsNil() {
		return &Zero{Typed{t, b.pos(x)}}
	}
	return b.convertTo(b.expr(x), t)
}

// convertTo makes an assignment's implicit conversion explicit.
func (b *builder) convertTo(x Expr, t *Type) Expr {
	from := x.Type()
	switch {
	case from == t:
		return x
	case t.Kind == Interface && from.Kind != Interface:
		b.needMethods(from)
		return &ToInterface{Typed{t, x.Pos()}, x}
	}
	return &Retype{Typed{t, x.Pos()}, x}
}

// expr lowers one expression with one value, or a call with several.
func (b *builder) expr(x ast.Expr) Expr {
	tv, ok := b.info.Types[x]
	if ok && tv.Value != nil {
		return b.constant(tv.Value, tv.Type, b.typ(tv.Type), b.pos(x))
	}
	switch x := x.(type) {
	case *ast.ParenExpr:
		return b.expr(x.X)
	case *ast.Ident:
		return b.ident(x)
	case *ast.FuncLit:
		return b.literal(x)
	case *ast.CompositeLit:
		return b.composite(x, b.typeOf(x))
	case *ast.SelectorExpr:
		return b.selector(x)
	case *ast.IndexExpr:
		return b.index(x, false)
	case *ast.IndexListExpr:
		return b.funcValue(b.callee(x), x)
	case *ast.SliceExpr:
		return b.sliceOf(x)
	case *ast.TypeAssertExpr:
		return b.assert(x, false)
	case *ast.CallExpr:
		return b.call(x)
	case *ast.StarExpr:
		p := b.expr(x.X)
		return &Deref{Typed{p.Type().Elem, b.pos(x)}, p}
	case *ast.UnaryExpr:
		return b.unary(x)
	case *ast.BinaryExpr:
		return b.binary(x)
	}
	failAt(b.pos(x), "this expression is not part of the language")
	return nil
}

func (b *builder) ident(x *ast.Ident) Expr {
	switch obj := b.info.ObjectOf(x).(type) {
	case *types.Nil:
		return &Zero{Typed{b.types.Basic(Interface), b.pos(x)}}
	case *types.Var:
		if obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() {
			g := b.global(obj)
			return &GlobalRef{Typed{g.T, b.pos(x)}, g}
		}
		if v := b.lookup(obj); v != nil {
			return b.value(v, b.pos(x))
		}
	case *types.Func:
		return b.funcValue(b.callee(x), x)
	}
	failAt(b.pos(x), "%s cannot be used here", x.Name)
	return nil
}

func (b *builder) funcValue(fn *Fn, x ast.Expr) Expr {
	return &Closure{Typed{fn.Type, b.pos(x)}, fn}
}

// callee returns the function that x names, with its type arguments.
func (b *builder) callee(x ast.Expr) *Fn {
	id := calleeIdent(x)
	obj, ok := b.info.Uses[id].(*types.Func)
	if !ok {
		return nil
	}
	if recv := obj.Signature().Recv(); recv != nil {
		return nil
	}
	var args []*Type
	if inst, ok := b.info.Instances[id]; ok {
		for t := range inst.TypeArgs.Types() {
			args = append(args, b.typ(t))
		}
	}
	return b.function(obj, args)
}

func calleeIdent(x ast.Expr) *ast.Ident {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return calleeIdent(x.X)
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return x.Sel
	case *ast.IndexExpr:
		return calleeIdent(x.X)
	case *ast.IndexListExpr:
		return calleeIdent(x.X)
	}
	return nil
}

// A operand is an expression with its type of go/types.
type operand struct {
	x Expr
	t types.Type
}

// promote follows embedded fields, through pointers.
func (b *builder) promote(x Expr, t types.Type, path []int) operand {
	for _, i := range path {
		if p, ok := types.Unalias(t).Underlying().(*types.Pointer); ok {
			x = &Deref{Typed{x.Type().Elem, x.Pos()}, x}
			t = p.Elem()
		}
		t = t.Underlying().(*types.Struct).Field(i).Type()
		x = &Select{Typed{x.Type().Fields[i].Type, x.Pos()}, x, i}
	}
	return operand{x, t}
}

func (b *builder) selector(x *ast.SelectorExpr) Expr {
	sel := b.info.Selections[x]
	if sel == nil { // qualified name of a package
		return b.ident(x.Sel)
	}
	switch sel.Kind() {
	case types.FieldVal:
		o := b.promote(b.expr(x.X), b.info.TypeOf(x.X), sel.Index())
		setPos(o.x, b.pos(x.Sel))
		return o.x
	case types.MethodVal:
		return b.methodValue(x, sel)
	}
	return b.methodExpr(x, sel)
}

func setPos(x Expr, p token.Pos) {
	if s, ok := x.(*Select); ok {
		s.P = p
	}
}

// methodExpr is T.Method: a function with the receiver as first parameter.
func (b *builder) methodExpr(x *ast.SelectorExpr, sel *types.Selection) Expr {
	t := b.typeOf(x)
	m := sel.Obj().(*types.Func)
	recv := t.Params[0]
	fn := &Fn{Name: displayName(m), Type: t, Done: true, Library: true}
	b.prog.All = append(b.prog.All, fn)
	in := &builder{lowerer: b.lowerer, src: b.src, info: b.info, env: b.env, fn: fn, vars: map[*types.Var]*Var{}}
	var args []Expr
	for _, p := range t.Params {
		v := &Var{T: p, Owner: fn}
		fn.Params = append(fn.Params, v)
		args = append(args, in.value(v, token.NoPos))
	}
	for _, r := range t.Results {
		fn.Results = append(fn.Results, &Var{T: r, Owner: fn})
	}
	_ = recv
	o := in.promote(args[0], sel.Recv(), sel.Index()[:len(sel.Index())-1])
	c := in.callMethod(o.x, o.t, m, args[1:], token.NoPos)
	fn.Body = []Stmt{&Do{c}}
	if len(fn.Results) > 0 {
		fn.Body = []Stmt{&Return{Xs: []Expr{c}}}
	}
	return &Closure{Typed{t, b.pos(x)}, fn}
}

// methodValue is x.Method without a call.
func (b *builder) methodValue(x *ast.SelectorExpr, sel *types.Selection) Expr {
	o, m := b.receiver(x, sel)
	t := b.typeOf(x)
	if types.IsInterface(o.t) {
		return &Bind{Typed{t, b.pos(x)}, o.x, nil, m.Name()}
	}
	return &Bind{Typed{t, b.pos(x)}, b.adapt(o, m), b.function(m, nil), ""}
}

// receiver lowers x of x.Method up to the value that has the method itself.
func (b *builder) receiver(x *ast.SelectorExpr, sel *types.Selection) (operand, *types.Func) {
	recv := sel.Recv()
	m := sel.Obj().(*types.Func)
	path := sel.Index()
	if _, ok := types.Unalias(recv).(*types.TypeParam); ok {
		gt := b.types.goType(b.typ(recv))
		if gt == nil {
			failAt(b.pos(x), "%s has no methods", b.typ(recv))
		}
		obj, index, _ := types.LookupFieldOrMethod(gt, true, b.src.Types, m.Name())
		m, path, recv = obj.(*types.Func), index, gt
	}
	return b.promote(b.expr(x.X), recv, path[:len(path)-1]), m
}

// adapt makes o fit the receiver that m declares.
func (b *builder) adapt(o operand, m *types.Func) Expr {
	_, wantsPointer := m.Signature().Recv().Type().Underlying().(*types.Pointer)
	_, isPointer := types.Unalias(o.t).Underlying().(*types.Pointer)
	switch {
	case wantsPointer && !isPointer:
		return &Addr{Typed{b.types.PointerTo(o.x.Type()), o.x.Pos()}, o.x}
	case !wantsPointer && isPointer:
		return &Deref{Typed{o.x.Type().Elem, o.x.Pos()}, o.x}
	}
	return o.x
}

// callMethod calls the method m that o's own type declares.
func (b *builder) callMethod(x Expr, t types.Type, m *types.Func, args []Expr, pos token.Pos) Expr {
	if types.IsInterface(t) {
		var ft *Type
		for _, w := range x.Type().Wants {
			if w.Name == m.Name() {
				ft = w.Type
			}
		}
		return &CallMethod{Typed{b.result(ft), pos}, x, m.Name(), args}
	}
	fn := b.function(m, nil)
	return &Call{Typed{b.result(fn.Type), pos}, fn, append([]Expr{b.adapt(operand{x, t}, m)}, args...)}
}

// result is the type of a call: nothing, one value or a tuple.
func (b *builder) result(f *Type) *Type {
	if len(f.Results) == 1 {
		return f.Results[0]
	}
	return b.types.TupleOf(f.Results...)
}

func (b *builder) index(x *ast.IndexExpr, ok bool) Expr {
	if tv := b.info.Types[x.X]; !tv.IsValue() || isGeneric(tv.Type) {
		return b.funcValue(b.callee(x), x)
	}
	c := b.expr(x.X)
	t := c.Type()
	if t.Kind == Map {
		r := t.Elem
		if ok {
			r = b.types.TupleOf(t.Elem, b.types.Basic(Bool))
		}
		return &MapIndex{Typed{r, b.pos(x)}, c, b.to(x.Index, t.Key), ok}
	}
	i := b.to(x.Index, b.intType(x.Index))
	switch t.Kind {
	case String:
		return &Index{Typed{b.types.Basic(Uint8), b.pos(x)}, c, i}
	case Pointer:
		return &Index{Typed{t.Elem.Elem, b.pos(x)}, c, i}
	}
	return &Index{Typed{t.Elem, b.pos(x)}, c, i}
}

func isGeneric(t types.Type) bool {
	s, ok := t.(*types.Signature)
	return ok && s.TypeParams() != nil
}

// intType is the type of an index or length: its own, or int for a constant.
func (b *builder) intType(x ast.Expr) *Type {
	if b.info.Types[x].Value != nil {
		return b.types.Basic(Int)
	}
	return b.typeOf(x)
}

func (b *builder) sliceOf(x *ast.SliceExpr) Expr {
	c := b.expr(x.X)
	bound := func(x ast.Expr) Expr {
		if x == nil {
			return nil
		}
		return b.to(x, b.intType(x))
	}
	return &SliceOf{Typed{b.typeOf(x), b.pos(x)}, c, bound(x.Low), bound(x.High), bound(x.Max)}
}

func (b *builder) assert(x *ast.TypeAssertExpr, ok bool) Expr {
	to := b.typ(b.info.TypeOf(x.Type))
	b.needMethods(to)
	t := to
	if ok {
		t = b.types.TupleOf(to, b.types.Basic(Bool))
	}
	return &Assert{Typed{t, b.pos(x)}, b.expr(x.X), to, ok}
}

func (b *builder) unary(x *ast.UnaryExpr) Expr {
	switch x.Op {
	case token.AND:
		if lit, ok := ast.Unparen(x.X).(*ast.CompositeLit); ok {
			t := b.typeOf(lit)
			return &Addr{Typed{b.types.PointerTo(t), b.pos(x)}, b.composite(lit, t)}
		}
		v := b.expr(x.X)
		return &Addr{Typed{b.types.PointerTo(v.Type()), b.pos(x)}, v}
	case token.ADD:
		return b.expr(x.X)
	case token.ARROW:
		failAt(b.pos(x), "channels are not part of the language")
	}
	return &Unary{Typed{b.typeOf(x), b.pos(x)}, x.Op, b.to(x.X, b.typeOf(x))}
}

func (b *builder) binary(x *ast.BinaryExpr) Expr {
	t := b.typeOf(x)
	switch x.Op {
	case token.LAND, token.LOR:
		return &Logic{Typed{t, b.pos(x)}, x.Op, b.to(x.X, t), b.to(x.Y, t)}
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		return b.compare(x.Op, x.X, x.Y, t)
	case token.SHL, token.SHR:
		return &Binary{Typed{t, b.at(x.OpPos)}, x.Op, b.to(x.X, t), b.to(x.Y, b.shiftType(x.Y))}
	}
	return &Binary{Typed{t, b.at(x.OpPos)}, x.Op, b.to(x.X, t), b.to(x.Y, t)}
}

func (b *builder) shiftType(y ast.Expr) *Type {
	if b.info.Types[y].Value != nil {
		return b.types.Basic(Uint)
	}
	return b.typeOf(y)
}

// compare brings both operands to one type first.
func (b *builder) compare(op token.Token, x, y ast.Expr, t *Type) Expr {
	xt, yt := b.info.Types[x], b.info.Types[y]
	common := xt.Type
	switch {
	case xt.IsNil(), isUntyped(xt.Type) && !isUntyped(yt.Type):
		common = yt.Type
	case yt.IsNil(), isUntyped(yt.Type):
	case isIface(yt.Type) && !isIface(xt.Type):
		common = yt.Type
	}
	ct := b.typ(types.Default(common))
	if xt.Value != nil && yt.Value != nil && isUntyped(common) {
		ct = b.typ(types.Default(yt.Type))
	}
	return &Compare{Typed{t, b.pos(x)}, op, b.to(x, ct), b.to(y, ct)}
}

func isIface(t types.Type) bool {
	_, param := types.Unalias(t).(*types.TypeParam)
	return !param && types.IsInterface(t)
}

func isUntyped(t types.Type) bool {
	basic, ok := t.(*types.Basic)
	return ok && basic.Info()&types.IsUntyped != 0
}

// composite lowers a literal of type t; an elided &T has a pointer type.
func (b *builder) composite(x *ast.CompositeLit, t *Type) Expr {
	if t.Kind == Pointer {
		return &Addr{Typed{t, b.pos(x)}, b.composite(x, t.Elem)}
	}
	switch t.Kind {
	case Struct:
		lit := &StructLit{Typed: Typed{t, b.pos(x)}, Fields: make([]Expr, len(t.Fields))}
		for i, e := range x.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				i = fieldIndex(t, kv.Key.(*ast.Ident).Name)
				e = kv.Value
			}
			lit.Fields[i] = b.to(e, t.Fields[i].Type)
			lit.Order = append(lit.Order, i)
		}
		return lit
	case Map:
		lit := &MapLit{Typed: Typed{t, b.pos(x)}}
		for _, e := range x.Elts {
			kv := e.(*ast.KeyValueExpr)
			lit.Keys = append(lit.Keys, b.to(kv.Key, t.Key))
			lit.Vals = append(lit.Vals, b.to(kv.Value, t.Elem))
		}
		return lit
	}
	lit := &ListLit{Typed: Typed{t, b.pos(x)}}
	next := int64(0)
	for _, e := range x.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			n, _ := constant.Int64Val(constant.ToInt(b.info.Types[kv.Key].Value))
			next, e = n, kv.Value
		}
		lit.At = append(lit.At, next)
		lit.Vals = append(lit.Vals, b.to(e, t.Elem))
		next++
		lit.Len = max(lit.Len, next)
	}
	if t.Kind == Array {
		lit.Len = t.Len
	}
	return lit
}

func fieldIndex(t *Type, name string) int {
	for i, f := range t.Fields {
		if f.Name == name {
			return i
		}
	}
	fail("no field %s", name)
	return 0
}
