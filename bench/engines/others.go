package main

import (
	"errors"
	"fmt"

	"github.com/dop251/goja"
	"github.com/expr-lang/expr"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// prepareGoja hands the live map to the script.
func prepareGoja(in map[string]map[string]any) (map[string]operation, error) {
	return gojaOps(in, func(_ *goja.Runtime, d map[string]any) any { return d })
}

// prepareGojaCopy copies the data in, which is what isolation needs.
func prepareGojaCopy(in map[string]map[string]any) (map[string]operation, error) {
	return gojaOps(in, func(vm *goja.Runtime, d map[string]any) any { return copied(vm, d) })
}

func copied(vm *goja.Runtime, v any) goja.Value {
	switch v := v.(type) {
	case map[string]any:
		o := vm.NewObject()
		for k, x := range v {
			o.Set(k, copied(vm, x))
		}
		return o
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = copied(vm, x)
		}
		return vm.NewArray(list...)
	}
	return vm.ToValue(v)
}

func gojaOps(in map[string]map[string]any, data func(*goja.Runtime, map[string]any) any) (map[string]operation, error) {
	load := func() (*goja.Runtime, *goja.Object, error) {
		p, err := goja.Compile("rule.js", jsSource, true)
		if err != nil {
			return nil, nil, err
		}
		vm := goja.New()
		if _, err := vm.RunProgram(p); err != nil {
			return nil, nil, err
		}
		return vm, vm.Get("workloads").ToObject(vm), nil
	}
	vm, workloads, err := load()
	if workloads == nil || err != nil {
		return nil, errors.Join(errors.New("no workloads"), err)
	}
	ops := make(map[string]operation)
	call := func(vm *goja.Runtime, workloads *goja.Object, name string) (any, error) {
		f, ok := goja.AssertFunction(workloads.Get(name))
		if !ok {
			return nil, errors.New("not a function: " + name)
		}
		v, err := f(goja.Undefined(), vm.ToValue(data(vm, in[name])))
		if err != nil {
			return nil, err
		}
		return v.Export(), nil
	}
	for name := range in {
		ops[name] = func() (any, error) { return call(vm, workloads, name) }
	}
	ops["cold"] = func() (any, error) {
		vm, workloads, err := load()
		if err != nil {
			return nil, err
		}
		return call(vm, workloads, "route")
	}
	return ops, nil
}

// yaegiSources are one program for each workload: yaegi loses the imports of a
// program that has them all.
var yaegiSources = map[string]string{
	"Const": "package main\n\nfunc Const(map[string]any) string { return \"allow\" }\n",
	"Fib":   "package main\n\nfunc Fib(d map[string]any) int { return fib(d[\"n\"].(int)) }\n" + goFib,
	"Loop":  "package main\n\nfunc Loop(d map[string]any) int { return loop(d[\"n\"].(int)) }\n" + goLoop,
	"Str":   "package main\n\nimport (\n\t\"strconv\"\n\t\"strings\"\n)\n\nfunc Str(d map[string]any) string { return text(d[\"n\"].(int), d[\"name\"].(string)) }\n" + goText,
	"Route": "package main\n\nimport \"strconv\"\n" + goMapRoute,
}

func prepareYaegi(in map[string]map[string]any) (map[string]operation, error) {
	load := func(name string) (operation, error) {
		i := interp.New(interp.Options{})
		if err := i.Use(stdlib.Symbols); err != nil {
			return nil, err
		}
		if _, err := i.Eval(yaegiSources[name]); err != nil {
			return nil, err
		}
		v, err := i.Eval("main." + name)
		if err != nil {
			return nil, err
		}
		switch f := v.Interface().(type) {
		case func(map[string]any) string:
			return func() (any, error) { return f(in[lower(name)]), nil }, nil
		case func(map[string]any) int:
			return func() (any, error) { return f(in[lower(name)]), nil }, nil
		case func(map[string]any) map[string]any:
			return func() (any, error) { return f(in[lower(name)]), nil }, nil
		}
		return nil, fmt.Errorf("%s has the type %s", name, v.Type())
	}
	ops := make(map[string]operation)
	for _, name := range []string{"Const", "Fib", "Loop", "Str", "Route"} {
		op, err := load(name)
		if err != nil {
			return nil, err
		}
		ops[lower(name)] = op
	}
	ops["cold"] = func() (any, error) {
		op, err := load("Route")
		if err != nil {
			return nil, err
		}
		return op()
	}
	return ops, nil
}

func lower(name string) string { return string(name[0]|0x20) + name[1:] }

func prepareExpr(in map[string]map[string]any) (map[string]operation, error) {
	compile := func(src, name string) (operation, error) {
		p, err := expr.Compile(src, expr.Env(in[name]))
		if err != nil {
			return nil, err
		}
		return func() (any, error) { return expr.Run(p, in[name]) }, nil
	}
	ops := make(map[string]operation)
	for name, src := range map[string]string{
		"const": `"allow"`,
		"loop":  `reduce(0..n-1, # % 3 == 0 ? #acc + # * 2 : #acc - #, 0)`,
		"route": exprSource,
		"str":   `"[" + join(map(0..n-1, '{"id":' + string(#) + ',"name":"' + upper(name) + '-' + string(#) + '","ok":' + (# % 2 == 0 ? "true" : "false") + '}'), ",") + "]"`,
	} {
		op, err := compile(src, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		ops[name] = op
	}
	ops["cold"] = func() (any, error) {
		op, err := compile(exprSource, "route")
		if err != nil {
			return nil, err
		}
		return op()
	}
	return ops, nil
}

// celSum adds what CEL has no fold for.
func celSum(list ref.Val) ref.Val {
	total := 0.0
	for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		switch v := it.Next().(type) {
		case types.Double:
			total += float64(v)
		case types.Int:
			total += float64(v)
		}
	}
	return types.Double(total)
}

func prepareCEL(in map[string]map[string]any) (map[string]operation, error) {
	compile := func(src, name string) (operation, error) {
		opts := []cel.EnvOption{ext.Bindings(), ext.Strings(), cel.Function("sum",
			cel.MemberOverload("list_sum", []*cel.Type{cel.ListType(cel.DynType)}, cel.DoubleType, cel.UnaryBinding(celSum)))}
		for k := range in[name] {
			opts = append(opts, cel.Variable(k, cel.DynType))
		}
		env, err := cel.NewEnv(opts...)
		if err != nil {
			return nil, err
		}
		ast, iss := env.Compile(src)
		if iss.Err() != nil {
			return nil, iss.Err()
		}
		p, err := env.Program(ast)
		if err != nil {
			return nil, err
		}
		return func() (any, error) {
			v, _, err := p.Eval(in[name])
			if err != nil {
				return nil, err
			}
			return v.Value(), nil
		}, nil
	}
	ops := make(map[string]operation)
	for name, src := range map[string]string{"const": `"allow"`, "route": celSource} {
		op, err := compile(src, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		ops[name] = op
	}
	ops["cold"] = func() (any, error) {
		op, err := compile(celSource, "route")
		if err != nil {
			return nil, err
		}
		return op()
	}
	return ops, nil
}

func prepareStarlark(in map[string]map[string]any) (map[string]operation, error) {
	load := func() (starlark.StringDict, error) {
		return starlark.ExecFileOptions(&syntax.FileOptions{Recursion: true}, &starlark.Thread{}, "rule.star", starlarkSource, nil)
	}
	globals, err := load()
	if err != nil {
		return nil, err
	}
	call := func(g starlark.StringDict, fn, name string) (any, error) {
		v, err := starlark.Call(&starlark.Thread{}, g[fn], starlark.Tuple{toStarlark(in[name])}, nil)
		if err != nil {
			return nil, err
		}
		return fromStarlark(v), nil
	}
	ops := make(map[string]operation)
	for name, fn := range map[string]string{"const": "const_", "fib": "fib", "loop": "loop", "str": "str_", "route": "route"} {
		ops[name] = func() (any, error) { return call(globals, fn, name) }
	}
	ops["cold"] = func() (any, error) {
		g, err := load()
		if err != nil {
			return nil, err
		}
		return call(g, "route", "route")
	}
	return ops, nil
}

func toStarlark(v any) starlark.Value {
	switch v := v.(type) {
	case string:
		return starlark.String(v)
	case int:
		return starlark.MakeInt(v)
	case float64:
		return starlark.Float(v)
	case bool:
		return starlark.Bool(v)
	case []any:
		list := make([]starlark.Value, len(v))
		for i, x := range v {
			list[i] = toStarlark(x)
		}
		return starlark.NewList(list)
	case map[string]any:
		d := starlark.NewDict(len(v))
		for k, x := range v {
			if err := d.SetKey(starlark.String(k), toStarlark(x)); err != nil {
				return starlark.None
			}
		}
		return d
	}
	return starlark.None
}

func fromStarlark(v starlark.Value) any {
	switch v := v.(type) {
	case starlark.String:
		return string(v)
	case starlark.Int:
		n, _ := v.Int64()
		return int(n)
	case starlark.Float:
		return float64(v)
	case starlark.Bool:
		return bool(v)
	case *starlark.List:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = fromStarlark(v.Index(i))
		}
		return out
	case *starlark.Dict:
		out := make(map[string]any, v.Len())
		for _, item := range v.Items() {
			k, _ := starlark.AsString(item[0])
			out[k] = fromStarlark(item[1])
		}
		return out
	}
	return nil
}
