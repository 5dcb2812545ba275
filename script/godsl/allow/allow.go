// Package allow decides which syntax is part of the language, before the type
// checker sees it: go/types can be made to run for ever or to use all memory
// by forty lines of constants or structs. What passes here keeps the work of
// the checker in proportion to the size of the source.
//
// Start with [Source] for the text of a file, then [Files] for what the parser
// made of all files of a package.
package allow

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
)

// Limits of the source.
const (
	MaxSource  = 256 << 10 // bytes of a file
	MaxNesting = 100       // brackets
	MaxDepth   = 250       // syntax nodes one in another
	MaxString  = 64 << 10  // bytes of a constant string
	MaxLiteral = 32 << 10  // bytes of a string literal
	MaxNumber  = 400       // characters of a number
	MaxLeaves  = 1000      // values in a struct
	MaxStructs = 16        // structs one in another
)

// A Refusal says what is not part of the language, why, and what to do.
type Refusal struct {
	Pos     token.Pos
	Message string
	Hint    string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Files checks the syntax of a package. imports reports whether a path may be
// imported. The error is a *Refusal.
func Files(files []*ast.File, imports func(path string) bool) error {
	w := &walker{declared: map[string]bool{}}
	for _, f := range files {
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Recv == nil {
				w.declared[fd.Name.Name] = true
			}
		}
	}
	for _, f := range files {
		w.imports(f, imports)
		w.file(f)
	}
	if w.err == nil {
		w.err = structs(files)
	}
	if w.err == nil {
		w.err = constants(files)
	}
	if w.err != nil {
		return w.err
	}
	return nil
}

type walker struct {
	declared map[string]bool // package-level functions
	err      *Refusal
}

func (w *walker) refuse(pos token.Pos, hint, format string, args ...any) {
	if w.err == nil {
		w.err = &Refusal{Pos: pos, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
}

func (w *walker) imports(f *ast.File, known func(string) bool) {
	for _, im := range f.Imports {
		path, _ := strconv.Unquote(im.Path.Value)
		switch {
		case im.Name != nil && (im.Name.Name == "." || im.Name.Name == "_"):
			w.refuse(im.Pos(), "import the package by its name", "import %s %q is not part of the language", im.Name.Name, path)
		case path == "unsafe" || path == "reflect" || path == "C":
			w.refuse(im.Pos(), "", "package %q is not part of the language: a rule cannot step outside its types", path)
		case !known(path):
			w.refuse(im.Pos(), "the packages that can be imported are listed in docs/godsl.md", "package %q cannot be imported", path)
		}
	}
}

// file walks all declarations.
func (w *walker) file(f *ast.File) {
	for _, d := range f.Decls {
		if fd, ok := d.(*ast.FuncDecl); ok {
			w.function(fd)
		}
		w.walk(d)
	}
}

func (w *walker) function(fd *ast.FuncDecl) {
	switch {
	case fd.Body == nil:
		w.refuse(fd.Pos(), "", "function %s has no body", fd.Name.Name)
	case fd.Recv == nil && fd.Name.Name == "init":
		w.refuse(fd.Pos(), "a package-level variable with an initialiser is set when it is first used", "init functions are not part of the language")
	case fd.Recv != nil && len(fd.Recv.List) == 1:
		t := fd.Recv.List[0].Type
		if s, ok := t.(*ast.StarExpr); ok {
			t = s.X
		}
		if _, ok := t.(*ast.Ident); !ok {
			w.refuse(fd.Pos(), "", "methods of generic types are not part of the language")
		}
	}
}

func (w *walker) walk(n ast.Node) {
	depth := 0
	ast.Inspect(n, func(n ast.Node) bool {
		if n == nil {
			depth--
			return false
		}
		if depth++; depth > MaxDepth {
			w.refuse(n.Pos(), "split the expression or the function", "the source nests deeper than %d levels", MaxDepth)
		}
		if w.err != nil {
			depth--
			return false
		}
		w.node(n)
		if w.err != nil {
			depth--
			return false
		}
		return true
	})
}

// node refuses what is not on the list.
func (w *walker) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		w.refuse(n.Pos(), "steps that may run side by side belong into a workflow", "goroutines are not part of the language")
	case *ast.DeferStmt:
		w.refuse(n.Pos(), "a rule owns nothing that must be released; handle the error where it is returned", "defer is not part of the language")
	case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType, *ast.CommClause:
		w.refuse(n.Pos(), "return a value, or call a function", "channels are not part of the language")
	case *ast.BranchStmt:
		if n.Tok == token.GOTO {
			w.refuse(n.Pos(), "use a loop, with a label for break and continue", "goto is not part of the language")
		}
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			w.refuse(n.Pos(), "return a value, or call a function", "channels are not part of the language")
		}
	case *ast.BasicLit:
		w.literal(n)
	case *ast.CallExpr:
		w.call(n)
	case *ast.TypeSpec:
		w.typeSpec(n)
	case *ast.File, *ast.GenDecl, *ast.FuncDecl, *ast.ImportSpec, *ast.ValueSpec, *ast.DeclStmt, *ast.Comment, *ast.CommentGroup,
		*ast.Field, *ast.FieldList, *ast.Ident, *ast.Ellipsis, *ast.FuncLit, *ast.CompositeLit, *ast.ParenExpr, *ast.SelectorExpr,
		*ast.IndexExpr, *ast.IndexListExpr, *ast.SliceExpr, *ast.TypeAssertExpr, *ast.StarExpr, *ast.BinaryExpr, *ast.KeyValueExpr,
		*ast.ArrayType, *ast.StructType, *ast.FuncType, *ast.InterfaceType, *ast.MapType,
		*ast.EmptyStmt, *ast.LabeledStmt, *ast.ExprStmt, *ast.IncDecStmt, *ast.AssignStmt, *ast.ReturnStmt, *ast.BlockStmt,
		*ast.IfStmt, *ast.CaseClause, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.ForStmt, *ast.RangeStmt:
	default:
		w.refuse(n.Pos(), "", "this syntax (%T) is not part of the language", n)
	}
}

func (w *walker) literal(n *ast.BasicLit) {
	switch {
	case n.Kind == token.IMAG:
		w.refuse(n.Pos(), "", "complex numbers are not part of the language")
	case n.Kind == token.STRING && len(n.Value) > MaxLiteral:
		w.refuse(n.Pos(), "move data out of the source, into the input or config/", "a string literal may have %d bytes", MaxLiteral)
	case n.Kind != token.STRING && len(n.Value) > MaxNumber:
		w.refuse(n.Pos(), "", "a number may have %d characters", MaxNumber)
	case n.Kind == token.FLOAT && longExponent(n.Value):
		w.refuse(n.Pos(), "", "the exponent of %s is too large", n.Value)
	}
}

// longExponent reports whether the exponent of a float has more than four digits.
func longExponent(s string) bool {
	for i := len(s) - 1; i >= 0; i-- {
		switch c := s[i]; {
		case c == 'e' || c == 'E' || c == 'p' || c == 'P':
			return len(s)-i > 6
		case (c < '0' || c > '9') && c != '+' && c != '-' && c != '_':
			return false
		}
	}
	return false
}

var refusedCalls = map[string]string{
	"recover": "a panic ends the rule; return an error for what the caller shall handle",
	"print":   "use ctx.Log", "println": "use ctx.Log",
	"complex": "", "real": "", "imag": "", "close": "",
}

func (w *walker) call(n *ast.CallExpr) {
	id, ok := n.Fun.(*ast.Ident)
	if !ok || w.declared[id.Name] {
		return
	}
	if hint, refused := refusedCalls[id.Name]; refused {
		w.refuse(n.Pos(), hint, "%s is not part of the language", id.Name)
	}
}

func (w *walker) typeSpec(n *ast.TypeSpec) {
	switch {
	case n.TypeParams != nil:
		w.refuse(n.Pos(), "write the type for the element that is needed; generic functions are allowed", "generic types are not part of the language")
	case n.Assign.IsValid():
		if _, ok := n.Type.(*ast.Ident); !ok {
			w.refuse(n.Pos(), "declare a type without =", "an alias of a composite type is not part of the language")
		}
	}
}
