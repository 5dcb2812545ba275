package ir

import (
	"go/ast"
	"go/types"
)

func (b *builder) call(x *ast.CallExpr) Expr {
	fun := b.info.Types[x.Fun]
	switch {
	case fun.IsType():
		return b.conversion(x, b.typ(fun.Type))
	case fun.IsBuiltin():
		return b.builtin(x)
	}
	if id := calleeIdent(x.Fun); id != nil {
		if obj, ok := b.info.Uses[id].(*types.Func); ok {
			switch obj.FullName() {
			case "errors.As":
				return b.errorsAs(x)
			case "sort.Slice", "sort.SliceStable":
				return b.sortSlice(x)
			}
		}
	}
	if sel, ok := ast.Unparen(x.Fun).(*ast.SelectorExpr); ok {
		if s := b.info.Selections[sel]; s != nil && s.Kind() == types.MethodVal {
			o, m := b.receiver(sel, s)
			ft := b.types.ofSignature(m.Signature(), b.env)
			return b.withArgs(x, ft, func(args []Expr) Expr {
				return b.callMethod(o.x, o.t, m, args, b.pos(x))
			})
		}
	}
	if fn := b.callee(x.Fun); fn != nil {
		return b.withArgs(x, fn.Type, func(args []Expr) Expr {
			return &Call{Typed{b.result(fn.Type), b.pos(x)}, fn, args}
		})
	}
	f := b.expr(x.Fun)
	return b.withArgs(x, f.Type(), func(args []Expr) Expr {
		return &CallValue{Typed{b.result(f.Type()), b.pos(x)}, f, args}
	})
}

// errorsAs lowers errors.As, whose Go signature hides a type that is known at
// the call.
func (b *builder) errorsAs(x *ast.CallExpr) Expr {
	target := b.expr(x.Args[1])
	if target.Type().Kind != Pointer {
		failAt(b.pos(x.Args[1]), "errors.As: the second argument must be a pointer to a variable")
	}
	elem := target.Type().Elem
	b.needMethods(elem)
	fn := b.generic(x, "as", elem)
	return &Call{Typed{b.result(fn.Type), b.pos(x)}, fn, []Expr{b.to(x.Args[0], fn.Type.Params[0]), target}}
}

// sortSlice lowers sort.Slice in the same way.
func (b *builder) sortSlice(x *ast.CallExpr) Expr {
	list := b.expr(x.Args[0])
	if list.Type().Kind != Slice {
		failAt(b.pos(x.Args[0]), "sort.Slice: the first argument must be a slice")
	}
	fn := b.generic(x, "slice", list.Type().Elem)
	return &Call{Typed{b.result(fn.Type), b.pos(x)}, fn, []Expr{b.convertTo(list, fn.Type.Params[0]), b.to(x.Args[1], fn.Type.Params[1])}}
}

// generic instantiates a function beside the one that x calls.
func (b *builder) generic(x *ast.CallExpr, name string, args ...*Type) *Fn {
	obj := b.info.Uses[calleeIdent(x.Fun)]
	return b.function(obj.Pkg().Scope().Lookup(name).(*types.Func), args)
}

// withArgs lowers the arguments of a call: converted to the parameters' types,
// the variadic ones packed, several values of one call spread.
func (b *builder) withArgs(x *ast.CallExpr, ft *Type, call func([]Expr) Expr) Expr {
	if len(x.Args) == 1 {
		if tuple, ok := b.info.TypeOf(x.Args[0]).(*types.Tuple); ok {
			list := b.expr(x.Args[0])
			let := &Let{X: list}
			var vals []Expr
			for i := range tuple.Len() {
				v := &Var{T: list.Type().Results[i], Owner: b.fn}
				let.Vars = append(let.Vars, v)
				vals = append(vals, b.value(v, b.pos(x)))
			}
			let.In = call(b.pack(vals, ft, false))
			let.Typed = Typed{let.In.Type(), b.pos(x)}
			return let
		}
	}
	vals := make([]Expr, len(x.Args))
	for i, a := range x.Args {
		vals[i] = b.to(a, b.paramType(ft, i, x.Ellipsis.IsValid()))
	}
	return call(b.pack(vals, ft, x.Ellipsis.IsValid()))
}

func (b *builder) paramType(ft *Type, i int, ellipsis bool) *Type {
	if last := len(ft.Params) - 1; ft.Variadic && i >= last {
		if ellipsis {
			return ft.Params[last]
		}
		return ft.Params[last].Elem
	}
	return ft.Params[i]
}

func (b *builder) pack(vals []Expr, ft *Type, ellipsis bool) []Expr {
	for i, v := range vals {
		vals[i] = b.convertTo(v, b.paramType(ft, i, ellipsis))
	}
	if !ft.Variadic || ellipsis {
		return vals
	}
	fixed := len(ft.Params) - 1
	t := ft.Params[fixed]
	if len(vals) == fixed {
		return append(vals, &Zero{Typed{t, 0}})
	}
	rest := &ListLit{Typed: Typed{t, vals[fixed].Pos()}, Len: int64(len(vals) - fixed), Vals: vals[fixed:]}
	for i := range rest.Vals {
		rest.At = append(rest.At, int64(i))
	}
	return append(vals[:fixed:fixed], rest)
}

// conversion is T(x).
func (b *builder) conversion(x *ast.CallExpr, t *Type) Expr {
	arg := x.Args[0]
	if tv := b.info.Types[arg]; tv.IsNil() {
		return &Zero{Typed{t, b.pos(x)}}
	} else if tv.Value != nil && t.Kind != Interface && isUntyped(tv.Type) {
		ct := b.typ(types.Default(tv.Type))
		if t.Class() == ct.Class() && t.Kind != String {
			return b.constant(tv.Value, tv.Type, t, b.pos(x))
		}
		return b.convert(b.constant(tv.Value, tv.Type, ct, b.pos(x)), t, x)
	}
	return b.convert(b.expr(arg), t, x)
}

func (b *builder) convert(v Expr, t *Type, x *ast.CallExpr) Expr {
	from := v.Type()
	switch {
	case from == t:
		return v
	case t.Kind == Interface:
		return b.convertTo(v, t)
	case from.Kind == t.Kind && from.Kind != Array:
		return &Retype{Typed{t, b.pos(x)}, v}
	case from.Class() == Words && t.Class() == Words,
		t.Kind == String && (from.Integer() || from.Kind == Slice),
		t.Kind == Slice && from.Kind == String,
		from.Kind == Array && t.Kind == Array:
		return &Convert{Typed{t, b.pos(x)}, v}
	}
	failAt(b.pos(x), "conversion from %s to %s is not part of the language", from, t)
	return nil
}

func (b *builder) builtin(x *ast.CallExpr) Expr {
	name := calleeIdent(x.Fun).Name
	out := &Builtin{Typed: Typed{P: b.pos(x)}, Name: name}
	if tv, ok := b.info.Types[x]; ok && tv.Type != nil && tv.IsValue() {
		out.T = b.typ(tv.Type)
	} else {
		out.T = b.types.TupleOf()
	}
	switch name {
	case "append":
		return b.append(x, out)
	case "make":
		out.T = b.typ(b.info.TypeOf(x.Args[0]))
		for _, a := range x.Args[1:] {
			out.Args = append(out.Args, b.to(a, b.intType(a)))
		}
	case "new":
		if tv := b.info.Types[x.Args[0]]; !tv.IsType() { // new(value), Go 1.26
			elem := b.typ(types.Default(tv.Type))
			out.T = b.types.PointerTo(elem)
			out.Args = []Expr{b.to(x.Args[0], elem)}
		}
	case "delete":
		m := b.expr(x.Args[0])
		out.Args = []Expr{m, b.to(x.Args[1], m.Type().Key)}
	case "min", "max":
		for _, a := range x.Args {
			out.Args = append(out.Args, b.to(a, out.T))
		}
	case "panic":
		out.Args = []Expr{b.to(x.Args[0], b.types.Basic(Interface))}
	case "len", "cap", "copy", "clear":
		for _, a := range x.Args {
			out.Args = append(out.Args, b.expr(a))
		}
	default:
		failAt(b.pos(x), "%s is not part of the language", name)
	}
	return out
}

// append becomes appends of single values, or of a list when it has more.
func (b *builder) append(x *ast.CallExpr, out *Builtin) Expr {
	base := b.to(x.Args[0], out.T)
	switch {
	case x.Ellipsis.IsValid():
		list := b.expr(x.Args[1])
		if z, ok := list.(*Zero); ok {
			z.T = out.T
		}
		out.Name, out.Args = "appendlist", []Expr{base, list}
	case len(x.Args) == 1:
		return base
	case len(x.Args) == 2:
		out.Args = []Expr{base, b.to(x.Args[1], out.T.Elem)}
	default:
		lit := &ListLit{Typed: Typed{b.types.SliceOf(out.T.Elem), b.pos(x)}, Len: int64(len(x.Args) - 1)}
		for i, a := range x.Args[1:] {
			lit.At = append(lit.At, int64(i))
			lit.Vals = append(lit.Vals, b.to(a, out.T.Elem))
		}
		out.Name, out.Args = "appendlist", []Expr{base, lit}
	}
	return out
}
