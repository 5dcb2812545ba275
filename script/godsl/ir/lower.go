package ir

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"math"
)

// A Source is a checked package.
type Source struct {
	Types   *types.Package
	Info    *types.Info
	Files   []*ast.File
	Library bool
}

// A lowerer turns checked syntax into the typed form. Functions are lowered
// when they are first called from what is already lowered, so that a program
// holds nothing of the library that it does not use.
type lowerer struct {
	prog    *Program
	types   *Types
	sources map[*types.Package]*Source
	decls   map[*types.Func]*ast.FuncDecl
	fns     map[string]*Fn
	globals map[*types.Var]*Global
	inits   map[*types.Var]*initializer
	queue   []func()
	methods map[*Type]bool
}

type initializer struct {
	rhs ast.Expr
	src *Source
	lhs int // how many variables share the right side
}

// Lower returns the program of the package main, whose imports are in libs.
// With mutable, package-level variables may be assigned.
// The error is an *Error.
func Lower(fset *token.FileSet, main *Source, libs func(*types.Package) *Source, mutable bool) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			p, err = nil, e
		}
	}()
	l := &lowerer{
		types: NewTypes(), sources: map[*types.Package]*Source{}, decls: map[*types.Func]*ast.FuncDecl{}, fns: map[string]*Fn{},
		globals: map[*types.Var]*Global{}, inits: map[*types.Var]*initializer{}, methods: map[*Type]bool{},
	}
	l.prog = &Program{Fset: fset, Types: l.types, Funcs: map[string]*Fn{}, Mutable: mutable}
	l.addSource(main, libs)
	for _, f := range main.Files {
		for _, d := range f.Decls {
			fd, ok := d.(*ast.FuncDecl)
			if !ok || fd.Recv != nil || fd.Name.Name == "_" {
				continue
			}
			obj := main.Info.Defs[fd.Name].(*types.Func)
			if obj.Signature().TypeParams() != nil {
				continue
			}
			l.prog.Funcs[fd.Name.Name] = l.function(obj, nil)
		}
	}
	l.drain()
	// Methods are lowered too, so that what is wrong in them shows at load.
	for _, f := range main.Files {
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Recv != nil && fd.Name.Name != "_" {
				obj := main.Info.Defs[fd.Name].(*types.Func)
				if obj.Signature().RecvTypeParams() == nil {
					l.function(obj, nil)
				}
			}
		}
	}
	l.drain()
	return l.prog, nil
}

func (l *lowerer) drain() {
	for len(l.queue) > 0 {
		next := l.queue[0]
		l.queue = l.queue[1:]
		next()
	}
}

func (l *lowerer) addSource(s *Source, libs func(*types.Package) *Source) {
	if l.sources[s.Types] != nil {
		return
	}
	l.sources[s.Types] = s
	for _, f := range s.Files {
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Name.Name != "_" {
				l.decls[s.Info.Defs[fd.Name].(*types.Func)] = fd
			}
		}
	}
	for _, in := range s.Info.InitOrder {
		for _, v := range in.Lhs {
			l.inits[v] = &initializer{rhs: in.Rhs, src: s, lhs: len(in.Lhs)}
		}
	}
	if libs == nil {
		return
	}
	for _, imp := range s.Types.Imports() {
		if lib := libs(imp); lib != nil {
			l.addSource(lib, libs)
		}
	}
}

// function returns the Fn of a declared function or method, for an instance
// with the given type arguments, and sees to it that its body is lowered.
func (l *lowerer) function(obj *types.Func, args []*Type) *Fn {
	obj = obj.Origin()
	key := fmt.Sprintf("%p%s", obj, ids(args))
	if fn, ok := l.fns[key]; ok {
		return fn
	}
	if len(l.fns) > 20000 {
		fail("too many functions and instances of generic functions")
	}
	decl := l.decls[obj]
	if decl == nil {
		fail("function %s has no declaration", obj.FullName())
	}
	src := l.sources[obj.Pkg()]
	sig := obj.Signature()
	e := env{}
	params := sig.TypeParams()
	if sig.RecvTypeParams() != nil {
		params = sig.RecvTypeParams()
	}
	for i := range params.Len() {
		e[params.At(i)] = args[i]
	}
	fn := &Fn{Name: displayName(obj), Pos: decl.Name.Pos(), TypeArgs: args, Library: src.Library}
	if src.Library {
		fn.Pos = token.NoPos
	}
	l.fns[key] = fn
	l.prog.All = append(l.prog.All, fn)
	b := &builder{lowerer: l, src: src, info: src.Info, env: e, fn: fn, vars: map[*types.Var]*Var{}}
	if recv := sig.Recv(); recv != nil {
		fn.Params = append(fn.Params, b.declare(recv))
	}
	for v := range sig.Params().Variables() {
		fn.Params = append(fn.Params, b.declare(v))
	}
	fn.Type = l.types.ofSignature(sig, e)
	if decl.Body == nil {
		fn.Native = obj.FullName()
		fn.Done = true
		for _, r := range fn.Type.Results {
			fn.Results = append(fn.Results, &Var{T: r, Owner: fn})
		}
		return fn
	}
	l.queue = append(l.queue, func() {
		b.analyse(decl.Body)
		fn.Body = b.body(sig, decl.Body)
		fn.Done = true
	})
	return fn
}

func displayName(obj *types.Func) string {
	name := obj.Name()
	if recv := obj.Signature().Recv(); recv != nil {
		t := recv.Type()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		if n, ok := t.(*types.Named); ok {
			name = n.Obj().Name() + "." + name
		}
	}
	return name
}

// global returns the Global of a package-level variable.
func (l *lowerer) global(v *types.Var) *Global {
	if g, ok := l.globals[v]; ok {
		return g
	}
	src := l.sources[v.Pkg()]
	in := l.inits[v]
	if in != nil && in.lhs > 1 {
		fail("package-level variable %s: several variables set by one call are not part of the language", v.Name())
	}
	g := &Global{Name: v.Name(), T: l.types.Of(v.Type(), nil), Index: len(l.prog.Globals)}
	l.globals[v] = g
	l.prog.Globals = append(l.prog.Globals, g)
	g.Fn = &Fn{Name: v.Name(), Done: true, Library: src.Library, Type: l.types.FuncOf(nil, []*Type{g.T}, false)}
	g.Fn.Results = []*Var{{T: g.T, Owner: g.Fn}}
	l.prog.All = append(l.prog.All, g.Fn)
	l.queue = append(l.queue, func() {
		b := &builder{lowerer: l, src: src, info: src.Info, env: env{}, fn: g.Fn, vars: map[*types.Var]*Var{}}
		if in == nil {
			g.Fn.Body = []Stmt{&Return{Xs: []Expr{&Zero{Typed{g.T, token.NoPos}}}}}
			return
		}
		b.analyse(in.rhs)
		g.Fn.Body = []Stmt{&Return{Xs: []Expr{b.to(in.rhs, g.T)}}}
	})
	return g
}

// needMethods makes t's method set known, because a value of t becomes an
// interface. t must be concrete.
func (l *lowerer) needMethods(t *Type) {
	if l.methods[t] || t.Kind == Interface {
		return
	}
	l.methods[t] = true
	t.Methods = map[string]*Fn{}
	gt := l.types.goType(t)
	if gt == nil {
		return
	}
	set := types.NewMethodSet(gt)
	for i := range set.Len() {
		sel := set.At(i)
		t.Methods[sel.Obj().Name()] = l.methodFor(gt, t, sel)
	}
}

// methodFor returns a function that takes a receiver of type t and calls the
// selected method, which may be promoted or have another receiver form.
func (l *lowerer) methodFor(gt types.Type, t *Type, sel *types.Selection) *Fn {
	m := sel.Obj().(*types.Func)
	sig := sel.Type().(*types.Signature)
	if len(sel.Index()) == 1 && l.types.Of(m.Signature().Recv().Type(), nil) == t {
		return l.function(m, nil)
	}
	fn := &Fn{Name: displayName(m), Type: l.types.ofSignature(sig, nil), Done: true, Library: true}
	l.prog.All = append(l.prog.All, fn)
	b := &builder{lowerer: l, src: l.sources[m.Pkg()], env: env{}, fn: fn, vars: map[*types.Var]*Var{}}
	recv := &Var{Name: "recv", T: t, Owner: fn}
	fn.Params = []*Var{recv}
	var args []Expr
	for i := range sig.Params().Len() {
		v := &Var{Name: "arg", T: fn.Type.Params[i], Owner: fn}
		fn.Params = append(fn.Params, v)
		args = append(args, &VarRef{Typed{v.T, token.NoPos}, v})
	}
	for _, r := range fn.Type.Results {
		fn.Results = append(fn.Results, &Var{T: r, Owner: fn})
	}
	x := b.promote(&VarRef{Typed{t, token.NoPos}, recv}, gt, sel.Index()[:len(sel.Index())-1])
	call := b.callMethod(x.x, x.t, m, args, token.NoPos)
	if len(fn.Results) == 0 {
		fn.Body = []Stmt{&Do{call}}
	} else {
		fn.Body = []Stmt{&Return{Xs: []Expr{call}}}
	}
	return fn
}

// constant returns a constant of type t. A constant of interface type becomes
// one of its default type, wrapped.
func (b *builder) constant(v constant.Value, gt types.Type, t *Type, pos token.Pos) Expr {
	if t.Kind == Interface {
		d := types.Default(gt)
		if types.IsInterface(d) {
			switch v.Kind() {
			case constant.Bool:
				d = types.Typ[types.Bool]
			case constant.String:
				d = types.Typ[types.String]
			case constant.Float:
				d = types.Typ[types.Float64]
			default:
				d = types.Typ[types.Int]
			}
		}
		inner := b.typ(d)
		b.needMethods(inner)
		return &ToInterface{Typed{t, pos}, b.constant(v, d, inner, pos)}
	}
	c := &Const{Typed: Typed{t, pos}}
	switch {
	case t.Kind == String:
		if v.Kind() == constant.Int { // string(rune)
			n, _ := constant.Int64Val(v)
			c.Str = string(rune(n))
			return c
		}
		c.Str = constant.StringVal(v)
	case t.Kind == Bool:
		if constant.BoolVal(v) {
			c.Bits = 1
		}
	case t.Float():
		if t.Kind == Float32 {
			f, _ := constant.Float32Val(constant.ToFloat(v))
			c.Bits = math.Float64bits(float64(f))
			break
		}
		f, _ := constant.Float64Val(constant.ToFloat(v))
		c.Bits = math.Float64bits(f)
	case t.Integer():
		v = constant.ToInt(v)
		if n, ok := constant.Int64Val(v); ok {
			c.Bits = uint64(n)
		} else if n, ok := constant.Uint64Val(v); ok {
			c.Bits = n
		} else {
			failAt(pos, "constant %s does not fit %s", v, t)
		}
	default:
		failAt(pos, "constant of type %s is not part of the language", t)
	}
	return c
}
