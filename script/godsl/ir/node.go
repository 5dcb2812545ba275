package ir

import (
	"go/token"
)

// An Expr is a typed expression. All conversions are explicit, constants are
// folded, names are resolved.
type Expr interface {
	Type() *Type
	Pos() token.Pos
}

// Typed is the part that all expressions share.
type Typed struct {
	T *Type
	P token.Pos
}

// Type returns the type of the expression's value.
func (e *Typed) Type() *Type { return e.T }

// Pos returns where the expression stands; NoPos inside the library.
func (e *Typed) Pos() token.Pos { return e.P }

// The expressions.
type (
	// Const is a value of class Words or Strings. Bits holds a bool, the
	// integer extended to 64 bits, or the IEEE 754 bits of a float64.
	Const struct {
		Typed
		Bits uint64
		Str  string
	}
	// Zero is the zero value of any type, nil included.
	Zero struct{ Typed }
	// VarRef reads a local variable.
	VarRef struct {
		Typed
		Var *Var
	}
	// GlobalRef reads a package-level variable.
	GlobalRef struct {
		Typed
		Global *Global
	}
	// Closure is a function with the variables that it shares; a declared
	// function used as a value has none.
	Closure struct {
		Typed
		Fn *Fn
	}
	// Bind is a method value: X.Name with the receiver evaluated.
	Bind struct {
		Typed
		X    Expr
		Fn   *Fn    // of a concrete type; nil for an interface
		Name string // of an interface's method
	}
	// Unary is -X, ^X or !X.
	Unary struct {
		Typed
		Op token.Token
		X  Expr
	}
	// Binary is an arithmetic operation, a shift or a string concatenation.
	Binary struct {
		Typed
		Op   token.Token
		X, Y Expr
	}
	// Compare compares two values of one type.
	Compare struct {
		Typed
		Op   token.Token
		X, Y Expr
	}
	// Logic is X && Y or X || Y.
	Logic struct {
		Typed
		Op   token.Token
		X, Y Expr
	}
	// Convert changes the representation: between numbers, and between
	// strings, bytes and runes.
	Convert struct {
		Typed
		X Expr
	}
	// Retype changes the type and nothing else.
	Retype struct {
		Typed
		X Expr
	}
	// ToInterface wraps a concrete value.
	ToInterface struct {
		Typed
		X Expr
	}
	// Assert is X.(To). With OK its type is the tuple (To, bool).
	Assert struct {
		Typed
		X  Expr
		To *Type
		OK bool
	}
	// Select selects a field of a struct.
	Select struct {
		Typed
		X     Expr
		Index int
	}
	// Deref is *X.
	Deref struct {
		Typed
		X Expr
	}
	// Addr is &X of a boxed variable, a field, an element or a literal.
	Addr struct {
		Typed
		X Expr
	}
	// Index is X[I] of a slice, array, pointer to array or string.
	Index struct {
		Typed
		X, I Expr
	}
	// MapIndex is X[K]. With OK its type is the tuple (elem, bool).
	MapIndex struct {
		Typed
		X, K Expr
		OK   bool
	}
	// SliceOf is X[Lo:Hi:Max]; the bounds may be nil.
	SliceOf struct {
		Typed
		X, Lo, Hi, Max Expr
	}
	// StructLit has one expression for each field, nil for zero.
	StructLit struct {
		Typed
		Fields []Expr
		Order  []int // of evaluation
	}
	// ListLit is a slice or array literal.
	ListLit struct {
		Typed
		Len  int64
		At   []int64
		Vals []Expr
	}
	// MapLit is a map literal.
	MapLit struct {
		Typed
		Keys, Vals []Expr
	}
	// Call calls a function that is known.
	Call struct {
		Typed
		Fn   *Fn
		Args []Expr
	}
	// CallValue calls a function value.
	CallValue struct {
		Typed
		X    Expr
		Args []Expr
	}
	// CallMethod calls a method of an interface.
	CallMethod struct {
		Typed
		X    Expr
		Name string
		Args []Expr
	}
	// TypeIs reports whether the dynamic type of X is To, or implements it.
	TypeIs struct {
		Typed
		X  Expr
		To *Type
	}
	// Let evaluates X, which may be a tuple, into Vars and then In.
	Let struct {
		Typed
		Vars []*Var
		X    Expr
		In   Expr
	}
	// Builtin is a built-in function; variadic append has its list as second argument.
	Builtin struct {
		Typed
		Name string
		Args []Expr
	}
)

// A Var is a local variable, parameter or result.
type Var struct {
	Name    string
	T       *Type
	Boxed   bool // lives in a cell of its own, because a pointer or a closure shares it
	Owner   *Fn
	Changed bool // assigned after its declaration
	Shared  bool // used by a closure
}

// A Global is a package-level variable. It is set once in an execution, by
// its initialiser, and never assigned again.
type Global struct {
	Name  string
	T     *Type
	Index int
	Init  Expr
	Fn    *Fn // owns the initialiser's temporaries
}

// A Fn is a function, method or function literal.
type Fn struct {
	Name     string
	Pos      token.Pos
	Type     *Type
	Params   []*Var // the receiver first
	Results  []*Var
	Body     []Stmt
	Captures []*Capture // of a literal
	Outer    *Fn        // of a literal
	Native   string     // key of a function of the library that is not written in Go's syntax
	TypeArgs []*Type
	Library  bool
	Done     bool // lowered
}

// A Capture connects a variable of a literal with the one outside.
type Capture struct {
	Outer, Inner *Var
}

// A Stmt is a statement.
type Stmt interface{ stmt() }

// A Label is a target of break and continue.
type Label struct{ Broken, Continued bool }

// The statements.
type (
	// Declare makes a new variable; without Init it is zero.
	Declare struct {
		Var  *Var
		Init Expr
		Pos  token.Pos
	}
	// Assign sets a place. A nil place drops the value.
	Assign struct {
		L, R Expr
		Pos  token.Pos
	}
	// Update is L op= R.
	Update struct {
		L, R Expr
		Op   token.Token
		Pos  token.Pos
	}
	// AssignTuple spreads the values of a call or a comma-ok form.
	AssignTuple struct {
		L   []Expr // nil entries drop
		R   Expr
		Pos token.Pos
	}
	// Do evaluates for the effect.
	Do struct{ X Expr }
	// If branches.
	If struct {
		Cond       Expr
		Then, Else []Stmt
	}
	// For loops; Fresh are the variables that each turn has for itself.
	For struct {
		Label *Label
		Cond  Expr
		Post  []Stmt
		Body  []Stmt
		Fresh []*Var
		Pos   token.Pos
	}
	// RangeInt counts from 0 to N.
	RangeInt struct {
		Label *Label
		Key   *Var // may be nil
		N     Expr
		Body  []Stmt
		Pos   token.Pos
	}
	// RangeList goes over a slice, an array, a string or a map.
	RangeList struct {
		Label    *Label
		Key, Val *Var // may be nil
		X        Expr
		Body     []Stmt
		Pos      token.Pos
	}
	// RangeFunc calls X with the body as its argument.
	RangeFunc struct {
		Label *Label
		Vars  []*Var // one for each parameter of yield; nil entries drop
		X     Expr
		Body  []Stmt
		Pos   token.Pos
	}
	// Block is a scope. With a label, break leaves it.
	Block struct {
		Label *Label
		Body  []Stmt
	}
	// Branch is break or continue.
	Branch struct {
		Label    *Label
		Continue bool
	}
	// Return leaves the function; the result variables are set before when
	// Xs is empty.
	Return struct {
		Xs  []Expr
		Pos token.Pos
	}
)

func (*Declare) stmt()     {}
func (*Assign) stmt()      {}
func (*Update) stmt()      {}
func (*AssignTuple) stmt() {}
func (*Do) stmt()          {}
func (*If) stmt()          {}
func (*For) stmt()         {}
func (*RangeInt) stmt()    {}
func (*RangeList) stmt()   {}
func (*RangeFunc) stmt()   {}
func (*Block) stmt()       {}
func (*Branch) stmt()      {}
func (*Return) stmt()      {}

// A Program is a checked package in typed form.
type Program struct {
	Fset    *token.FileSet
	Types   *Types
	Funcs   map[string]*Fn // package-level functions of the entry package
	Globals []*Global
	All     []*Fn // every function, literals included
	Mutable bool  // package-level variables may be assigned, within one execution
}
