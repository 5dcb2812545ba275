// Package check parses and type-checks packages of the language, with the
// errors that a user can do something about. Start with [Parse], then [Types];
// the importer decides what can be imported.
package check

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// An Error is one complaint of the parser or the type checker.
type Error struct {
	Pos     token.Position
	Syntax  bool // of the parser
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Pos.String() + ": " + e.Message }

// A File is one source file.
type File struct {
	Name string
	Text []byte
}

// Parse parses files. The error is an *Error.
func Parse(fset *token.FileSet, files []File) ([]*ast.File, error) {
	var parsed []*ast.File
	for _, f := range files {
		a, err := parser.ParseFile(fset, f.Name, f.Text, parser.SkipObjectResolution)
		if err != nil {
			if list, ok := errors.AsType[scanner.ErrorList](err); ok && len(list) > 0 {
				return nil, &Error{Pos: list[0].Pos, Syntax: true, Message: list[0].Msg}
			}
			return nil, &Error{Pos: token.Position{Filename: f.Name}, Syntax: true, Message: err.Error()}
		}
		parsed = append(parsed, a)
	}
	return parsed, nil
}

// Types type-checks parsed files as the package path. The error is the first
// *Error; what is unused is one, as it is for the Go toolchain.
func Types(fset *token.FileSet, path string, files []*ast.File, imp types.Importer) (*ir.Source, error) {
	info := &types.Info{
		Types:      make(map[ast.Expr]types.TypeAndValue),
		Defs:       make(map[*ast.Ident]types.Object),
		Uses:       make(map[*ast.Ident]types.Object),
		Implicits:  make(map[ast.Node]types.Object),
		Selections: make(map[*ast.SelectorExpr]*types.Selection),
		Instances:  make(map[*ast.Ident]types.Instance),
	}
	var first *Error
	conf := types.Config{
		Importer:  imp,
		GoVersion: "go1.26",
		Sizes:     &types.StdSizes{WordSize: 8, MaxAlign: 8},
		Error: func(err error) {
			te, ok := errors.AsType[types.Error](err)
			if !ok || first != nil && !te.Soft {
				return
			}
			if first == nil {
				first = &Error{Pos: fset.Position(te.Pos), Message: te.Msg}
			}
		},
	}
	pkg, err := conf.Check(path, fset, files, info)
	if first != nil {
		return nil, first
	}
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	return &ir.Source{Types: pkg, Info: info, Files: files}, nil
}
