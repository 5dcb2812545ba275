package expr

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/theseus-run/theseus/script"
)

// Options say what expressions can name.
type Options struct {
	// Vars are the variables there are. Nil allows every name; one that Eval is
	// not given is nil.
	Vars []string

	// Funcs are functions beside those of the package doc. One with the name of
	// such a function takes its place.
	Funcs []Func
}

// A Func is a function that a caller adds to the language.
type Func struct {
	Name string
	Min  int // fewest arguments
	Max  int // most arguments; negative for any number

	// Call computes the function. vars is what Eval was given, with all that
	// the expression itself cannot name, such as the request of a rule.
	Call func(vars map[string]any, args []any) (any, error)
}

// A Program is a compiled expression.
type Program struct {
	text  string // the whole text it stands in, for positions
	base  int    // offset of the expression in text
	root  node
	refs  [][]string
	calls []string
}

// A node computes one part of an expression.
type node func(*state) (any, error)

// state is one evaluation.
type state struct {
	vars  map[string]any
	bytes int // of texts made so far
}

// Compile compiles the expression src.
func Compile(src string, opt Options) (*Program, error) {
	p, _, err := compile(src, 0, false, &opt)
	return p, err
}

// CompileCondition compiles src, which may stand in ${{ … }} or bare.
func CompileCondition(src string, opt Options) (*Program, error) {
	at := len(src) - len(strings.TrimLeft(src, " \t\r\n"))
	if !strings.HasPrefix(src[at:], "${{") {
		return Compile(src, opt)
	}
	p, end, err := compile(src, at+len("${{"), true, &opt)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(src[end:]) != "" {
		return nil, located(src, 0, faultf(end, "unexpected text behind the condition").withHint("a condition is one expression"))
	}
	return p, nil
}

// Refs returns the paths of the variables the program reads, in source order:
// steps.price.total is ["steps" "price" "total"]. A path ends where it is
// continued by a computed index.
func (p *Program) Refs() [][]string { return p.refs }

// Calls returns the names of the functions the program calls, in source order.
func (p *Program) Calls() []string { return p.calls }

// Eval computes the program. vars and what is in it are not changed; the result
// may share parts with it.
func (p *Program) Eval(vars map[string]any) (any, error) {
	return p.run(&state{vars: vars})
}

// Test computes the program as a condition; nil is false.
func (p *Program) Test(vars map[string]any) (bool, error) {
	v, err := p.Eval(vars)
	if err != nil {
		return false, err
	}
	ok, err := truth(v)
	if err != nil {
		return false, p.failed(&fault{pos: 0, message: "the condition is not a condition: " + err.Error()})
	}
	return ok, nil
}

func (p *Program) run(s *state) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, p.failed(faultf(0, "internal error: %v", r))
		}
	}()
	v, err = p.root(s)
	if err != nil {
		return nil, p.failed(err)
	}
	return v, nil
}

// failed is the error of an evaluation.
func (p *Program) failed(err error) error {
	e := located(p.text, p.base, err)
	e.Kind = script.Failed
	return e
}

// located returns err as an error at its place in text; a fault's position
// counts from base.
func located(text string, base int, err error) *script.Error {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		f = &fault{message: err.Error()}
	}
	at := min(max(base+f.pos, 0), len(text))
	line := 1 + strings.Count(text[:at], "\n")
	column := at - strings.LastIndexByte(text[:at], '\n')
	return &script.Error{Kind: script.Syntax, Message: f.message, Hint: f.hint, Line: line, Column: column}
}

// compile compiles the expression at text[base:]. An embedded one ends at "}}";
// end is the offset behind it.
func compile(text string, base int, embedded bool, opt *Options) (p *Program, end int, err error) {
	src := text[base:]
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, located(text, base, faultf(0, "the expression cannot be compiled: %v", r))
		}
	}()
	toks, stop, err := lex(src, embedded)
	if err != nil {
		return nil, 0, located(text, base, err)
	}
	if len(toks) == 0 {
		return nil, 0, located(text, base, faultf(0, "the expression is empty"))
	}
	funcs := functions(opt)
	w, err := rewrite(toks, stop, opt, funcs)
	if err != nil {
		return nil, 0, located(text, base, err)
	}
	root, err := parse(w.out, funcs)
	if err != nil {
		return nil, 0, located(text, base, err)
	}
	if end = base + stop; embedded {
		end += len("}}")
	}
	return &Program{text: text, base: base, root: root, refs: w.refs, calls: w.calls}, end, nil
}

// parse turns the plain tokens into a node.
func parse(toks []token, funcs map[string]*function) (node, error) {
	var b strings.Builder
	starts := make([]int, len(toks)) // offsets of the tokens in the plain text, in runes
	runes := 0
	for i, t := range toks {
		starts[i] = runes
		b.WriteString(t.text)
		b.WriteByte(' ')
		runes += utf8.RuneCountInString(t.text) + 1
	}
	c := &compiler{toks: toks, starts: starts, funcs: funcs}
	tree, err := parser.Parse(b.String())
	if err != nil {
		if fe, ok := errors.AsType[*file.Error](err); ok {
			return nil, faultf(c.pos(fe.From), "%s", plain(fe.Message))
		}
		return nil, err
	}
	return c.node(tree.Node)
}

// plain removes from a message of the library what only its own notation has.
func plain(message string) string {
	if message == "" {
		return "not an expression"
	}
	message = strings.ReplaceAll(message, "$", "")
	return strings.TrimSuffix(strings.ToLower(message[:1])+message[1:], ".")
}
