package godsl

import (
	"errors"
	"fmt"
	"go/token"
	"slices"
	"sync"

	"github.com/theseus-run/theseus/internal/codeframe"
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/godsl/allow"
	"github.com/theseus-run/theseus/script/godsl/check"
	"github.com/theseus-run/theseus/script/godsl/ir"
	"github.com/theseus-run/theseus/script/godsl/lib"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

// A File is one source file: its path inside the app and its text.
type File = check.File

// A Compiler compiles programs. It keeps the checked library; make one and
// keep it. It is safe for concurrent use.
type Compiler struct {
	library *lib.Library
	natives map[string]any
	idle    sync.Pool // of *vm.Machine
	mutable bool      // for tests with programs of Go's own: package-level variables may change
}

// NewCompiler returns a compiler.
func NewCompiler() *Compiler {
	c := &Compiler{library: lib.New(), natives: lib.Natives()}
	c.idle.New = func() any { return vm.NewMachine() }
	return c
}

// A Program is a compiled package. It is immutable: any number of goroutines
// may call its functions, and no call leaves anything behind.
type Program struct {
	compiler *Compiler
	code     *vm.Program
	places   *places
	funcs    map[string]*Func
	names    []string
}

// places translates positions for messages.
type places struct {
	fset  *token.FileSet
	files []File
}

// Compile compiles the files of one package. The error is a *script.Error of
// kind Syntax or Refused, with a code frame.
func (c *Compiler) Compile(files []File) (*Program, error) {
	at := &places{fset: token.NewFileSet(), files: files}
	for _, f := range files {
		if offset, err := allow.Source(f.Text); err != nil {
			return nil, at.refusedAt(f, offset, err)
		}
	}
	parsed, err := check.Parse(at.fset, files)
	if err != nil {
		return nil, at.checkError(err)
	}
	if err := allow.Files(parsed, lib.Has); err != nil {
		return nil, at.refusal(err)
	}
	source, err := check.Types(at.fset, "rule", parsed, c.library)
	if err != nil {
		return nil, at.checkError(err)
	}
	typed, err := ir.Lower(at.fset, source, c.library.Source, c.mutable)
	if err != nil {
		return nil, at.refusal(err)
	}
	code, err := vm.Compile(typed, c.natives)
	if err != nil {
		return nil, at.refusal(err)
	}
	p := &Program{compiler: c, code: code, places: at, funcs: make(map[string]*Func)}
	for name, f := range code.Funcs {
		if !token.IsExported(name) {
			continue
		}
		if fn, err := newFunc(p, name, f); err == nil {
			p.funcs[name] = fn
			p.names = append(p.names, name)
		}
	}
	slices.Sort(p.names)
	return p, nil
}

// Names lists the functions that can be called with data, sorted.
func (p *Program) Names() []string { return p.names }

// Func returns an exported function that can be called with data.
func (p *Program) Func(name string) (*Func, bool) {
	f, ok := p.funcs[name]
	return f, ok
}

func (a *places) source(name string) []byte {
	for _, f := range a.files {
		if f.Name == name {
			return f.Text
		}
	}
	return nil
}

// fill sets the position of e and draws the frame.
func (a *places) fill(e *script.Error, pos token.Position) *script.Error {
	e.File, e.Line, e.Column = pos.Filename, pos.Line, pos.Column
	e.Frame = codeframe.Render(a.source(pos.Filename), pos.Line, pos.Column, "")
	return e
}

func (a *places) refusedAt(f File, offset int, err error) error {
	line, column := 1, 1
	for _, c := range f.Text[:offset] {
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
	}
	e := &script.Error{Kind: script.Refused, Message: err.Error(), Err: err}
	if r, ok := errors.AsType[*allow.Refusal](err); ok {
		e.Hint = r.Hint
	}
	return a.fill(e, token.Position{Filename: f.Name, Line: line, Column: column})
}

func (a *places) checkError(err error) error {
	e := &script.Error{Kind: script.Refused, Message: err.Error(), Err: err}
	if c, ok := errors.AsType[*check.Error](err); ok {
		e.Message = c.Message
		if c.Syntax {
			e.Kind = script.Syntax
		}
		return a.fill(e, c.Pos)
	}
	return e
}

// refusal turns what the later stages refuse into a script.Error.
func (a *places) refusal(err error) error {
	e := &script.Error{Kind: script.Refused, Message: err.Error(), Err: err}
	pos := token.NoPos
	if r, ok := errors.AsType[*allow.Refusal](err); ok {
		pos, e.Hint = r.Pos, r.Hint
	}
	if r, ok := errors.AsType[*ir.Error](err); ok {
		pos = r.Pos
	}
	if r, ok := errors.AsType[*vm.CompileError](err); ok {
		pos = r.Pos
	}
	if pos != token.NoPos {
		return a.fill(e, a.fset.Position(pos))
	}
	if len(a.files) > 0 {
		e.File = a.files[0].Name
	}
	return e
}

// trap turns what ended an execution into a script.Error.
func (a *places) trap(err error) error {
	t, ok := errors.AsType[*vm.Trap](err)
	if !ok {
		if b, isBind := errors.AsType[*vm.BindError](err); isBind {
			return &script.Error{Kind: script.Failed, Message: b.Error(), File: a.files[0].Name, Err: err,
				Hint: "the function's parameter type says what it takes"}
		}
		return err
	}
	e := &script.Error{Kind: kinds[t.Kind], Message: t.Message, Err: err}
	if t.Pos != token.NoPos {
		a.fill(e, a.fset.Position(t.Pos))
	} else if len(a.files) > 0 {
		e.File = a.files[0].Name
	}
	const most = 20
	for i := len(t.Calls) - 1; i >= 0 && len(t.Calls)-i <= most; i-- {
		e.Stack += "called at " + a.fset.Position(t.Calls[i]).String() + "\n"
	}
	if len(t.Calls) > most {
		e.Stack += fmt.Sprintf("and %d more\n", len(t.Calls)-most)
	}
	return e
}

var kinds = map[vm.Kind]script.Kind{
	vm.Panic: script.Failed, vm.Steps: script.Timeout, vm.Time: script.Timeout, vm.Memory: script.Memory,
	vm.Depth: script.Depth, vm.Output: script.Output, vm.Failure: script.Failed,
}
