package main

import (
	"fmt"

	"github.com/theseus-run/theseus/script/godsl"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

const godslBasics = `package rule

import (
	"strconv"
	"strings"
)

type Number struct {
	N    int    ` + "`json:\"n\"`" + `
	Name string ` + "`json:\"name\"`" + `
}

func Const() string      { return "allow" }
func Fib(in Number) int  { return fib(in.N) }
func Loop(in Number) int { return loop(in.N) }
func Str(in Number) string { return text(in.N, in.Name) }
` + goFib + goLoop + goText

// limits are those of a request handler: all of them are on.
var limits = godsl.Limits{Limits: vm.Limits{Steps: 1 << 40, Time: 1 << 40, Bytes: 64 << 20, Depth: 1000}, Output: 8 << 20}

func prepareNative(in map[string]map[string]any) (map[string]operation, error) {
	ops := make(map[string]operation)
	for name, f := range native {
		ops[name] = func() (any, error) { return f(in[name]), nil }
	}
	return ops, nil
}

func godslFunc(c *godsl.Compiler, src, name string) (*godsl.Func, error) {
	p, err := c.Compile([]godsl.File{{Name: "rule.gods", Text: []byte(src)}})
	if err != nil {
		return nil, err
	}
	f, ok := p.Func(name)
	if !ok {
		return nil, fmt.Errorf("no function %s", name)
	}
	return f, nil
}

func prepareGoDSL(in map[string]map[string]any) (map[string]operation, error) {
	c := godsl.NewCompiler()
	ops := make(map[string]operation)
	for name, fn := range map[string]string{"const": "Const", "fib": "Fib", "loop": "Loop", "str": "Str", "route": "Route"} {
		src := godslBasics
		if name == "route" {
			src = godslRoute
		}
		f, err := godslFunc(c, src, fn)
		if err != nil {
			return nil, err
		}
		if name == "const" {
			ops[name] = func() (any, error) { return f.Call(background, limits, nil) }
			continue
		}
		ops[name] = func() (any, error) { return f.Call(background, limits, nil, in[name]) }
	}
	ops["cold"] = func() (any, error) {
		f, err := godslFunc(c, godslRoute, "Route")
		if err != nil {
			return nil, err
		}
		return f.Call(background, limits, nil, in["route"])
	}
	return ops, nil
}

func prepareGoDSLMap(in map[string]map[string]any) (map[string]operation, error) {
	c := godsl.NewCompiler()
	src := "package rule\n\nimport \"strconv\"\n" + goMapRoute
	f, err := godslFunc(c, src, "Route")
	if err != nil {
		return nil, err
	}
	return map[string]operation{
		"route": func() (any, error) { return f.Call(background, limits, nil, in["route"]) },
		"cold": func() (any, error) {
			f, err := godslFunc(c, src, "Route")
			if err != nil {
				return nil, err
			}
			return f.Call(background, limits, nil, in["route"])
		},
	}, nil
}
