package expr

import (
	"slices"
	"strconv"
	"strings"
)

// rewriter checks the structure of a token list and writes it in the plain form
// that the library's parser reads: variables and functions get a "$" so that
// none is a word of the library's, fields become ["field"], filters become
// calls. Every token keeps the offset it came from.
type rewriter struct {
	opt    *Options
	funcs  map[string]*function
	toks   []token
	end    int // offset of the end of the source
	out    []token
	frames []frame
	start  int  // index in out of the operand that ends here
	signs  int  // signs before the value that comes next
	pipes  int  // filters on the operand that ends here
	value  bool // a value has to come next
	refs   [][]string
	calls  []string
	path   bool // the operand that ends here is the last of refs
}

// A frame is an open bracket.
type frame struct {
	open  token
	close string
	call  bool // arguments of a function
	isMap bool
	start int // of the operand the bracket belongs to
	pipes int
	keep  bool // the operand continues the last ref after the bracket
}

// rewrite returns a rewriter that has done its work.
func rewrite(toks []token, end int, opt *Options, funcs map[string]*function) (*rewriter, error) {
	w := &rewriter{opt: opt, funcs: funcs, toks: toks, end: end, value: true}
	for i := 0; i < len(w.toks); {
		used, err := w.step(i)
		if err != nil {
			return nil, err
		}
		i += used
	}
	if n := len(w.frames); n > 0 {
		open := w.frames[n-1].open
		return nil, faultf(open.pos, "%q is not closed", open.text)
	}
	if w.value {
		return nil, faultf(end, "the expression ends where a value is expected")
	}
	return w, nil
}

func (w *rewriter) at(i int) token {
	if i < len(w.toks) {
		return w.toks[i]
	}
	return token{kind: tEnd, text: "the end", pos: w.end, end: w.end}
}

func (w *rewriter) isOp(i int, text string) bool {
	t := w.at(i)
	return t.kind == tOp && t.text == text
}

func (w *rewriter) emit(text string, from token) {
	w.out = append(w.out, token{kind: from.kind, text: text, pos: from.pos, end: from.end})
}

// step handles the token at i and returns how many were used.
func (w *rewriter) step(i int) (int, error) {
	if w.value {
		return w.operand(i)
	}
	return w.operator(i)
}

// operand handles a token where a value has to come.
func (w *rewriter) operand(i int) (int, error) {
	t := w.at(i)
	if t.kind == tOp && (t.text == "-" || t.text == "+" || t.text == "!") || t.kind == tName && t.text == "not" {
		if w.signs++; w.signs > maxDepth {
			return 0, faultf(t.pos, "more than %d signs before one value", maxDepth)
		}
		w.emit(t.text, t)
		return 1, nil
	}
	w.signs = 0
	switch t.kind {
	case tNumber, tString:
		w.begin(t.text, t)
		return 1, nil
	case tName:
		return w.name(i)
	}
	switch t.text {
	case ".":
		name := w.at(i + 1)
		if name.kind != tName || name.pos != t.end {
			return 0, faultf(t.pos, "expected a name behind %q", ".")
		}
		return 2, w.variable(name)
	case "(", "[", "{":
		w.start, w.pipes = len(w.out), 0
		w.open(t, frame{isMap: t.text == "{"})
		return 1, nil
	case ")", "]", "}":
		if n := len(w.frames); n > 0 && i > 0 {
			f := w.frames[n-1]
			before := w.at(i - 1)
			empty := before.pos == f.open.pos && (f.call || f.open.text != "(") && !f.keep
			if f.close == t.text && (empty || before.text == "," && before.kind == tOp && !f.call) {
				return 1, w.close(t)
			}
		}
	}
	return 0, faultf(t.pos, "expected a value, got %q", t.text)
}

// name handles a name where a value has to come.
func (w *rewriter) name(i int) (int, error) {
	t := w.at(i)
	n := len(w.frames)
	switch {
	case n > 0 && w.frames[n-1].isMap && w.isOp(i+1, ":") && (w.isOp(i-1, "{") || w.isOp(i-1, ",")):
		w.emit(strconv.Quote(t.text), t)
		w.emit(":", w.at(i+1))
		return 2, nil
	case w.isOp(i+1, "("):
		if err := w.known(t); err != nil {
			return 0, err
		}
		w.begin("$"+t.text, t)
		w.open(w.at(i+1), frame{call: true})
		return 2, nil
	case t.text == "true" || t.text == "false" || t.text == "nil":
		w.begin(t.text, t)
		return 1, nil
	case t.text == "null":
		w.begin("nil", t)
		return 1, nil
	case isWordOp(t.text):
		return 0, faultf(t.pos, "expected a value, got %q", t.text)
	}
	return 1, w.variable(t)
}

// operator handles a token behind a complete value.
func (w *rewriter) operator(i int) (int, error) {
	t := w.at(i)
	switch {
	case t.kind == tName && isWordOp(t.text), t.kind == tOp && isSymbolOp(t.text):
		w.infix(t)
		return 1, nil
	case t.kind == tName && t.text == "not":
		op := w.at(i + 1)
		if op.kind != tName || !isWordOp(op.text) || op.text == "and" || op.text == "or" {
			return 0, faultf(t.pos, "expected an operator behind \"not\", got %q", op.text).withHint("write not before the value, or: a not in b")
		}
		w.infix(t)
		w.infix(op)
		return 2, nil
	case t.kind != tOp:
		return 0, faultf(t.pos, "expected an operator, got %q", t.text)
	}
	switch t.text {
	case ".", "?.":
		name := w.at(i + 1)
		if name.kind != tName {
			return 0, faultf(t.pos, "expected a field name behind %q, got %q", t.text, name.text)
		}
		w.emit("[", name)
		w.emit(strconv.Quote(name.text), name)
		w.emit("]", name)
		w.extend(name.text)
		return 2, nil
	case "[":
		if s := w.at(i + 1); s.kind == tString && w.isOp(i+2, "]") && strings.IndexByte(s.text, '\\') < 0 {
			w.extend(s.text[1 : len(s.text)-1])
			w.emit("[", t)
			w.emit(s.text, s)
			w.emit("]", w.at(i+2))
			return 3, nil
		}
		w.path = false
		w.open(t, frame{keep: true})
		return 1, nil
	case "|":
		return w.filter(i)
	case "(":
		return 0, faultf(t.pos, "only functions can be called")
	case ")", "]", "}":
		return 1, w.close(t)
	case ",", ":", "?":
		n := len(w.frames)
		if t.text == "," && (n == 0 || w.frames[n-1].keep || w.frames[n-1].open.text == "(" && !w.frames[n-1].call) {
			return 0, faultf(t.pos, "unexpected %q", ",")
		}
		if n > 0 && w.frames[n-1].keep && t.text == ":" && !w.ternary(i) {
			return 0, faultf(t.pos, "a part of a list is not part of the language").withHint("an index is one number")
		}
		w.infix(t)
		return 1, nil
	}
	return 0, faultf(t.pos, "expected an operator, got %q", t.text)
}

// ternary reports whether a "?" stands between the innermost open bracket and
// the token at i.
func (w *rewriter) ternary(i int) bool {
	open := w.frames[len(w.frames)-1].open.pos
	for i--; i >= 0 && w.toks[i].pos > open; i-- {
		if w.isOp(i, "?") {
			return true
		}
	}
	return false
}

// filter turns the operand that ends here into the first argument of a call.
func (w *rewriter) filter(i int) (int, error) {
	name := w.at(i + 1)
	if name.kind != tName {
		return 0, faultf(w.at(i).pos, "expected the name of a filter behind %q", "|").withHint("write || for or")
	}
	if err := w.known(name); err != nil {
		return 0, err
	}
	if w.pipes++; w.pipes > maxDepth {
		return 0, faultf(name.pos, "more than %d filters on one value", maxDepth)
	}
	w.path = false
	call := []token{{tName, "$" + name.text, name.pos, name.end}, {tOp, "(", name.pos, name.end}}
	w.out = slices.Insert(w.out, w.start, call...)
	if !w.isOp(i+2, "(") {
		w.emit(")", name)
		return 2, nil
	}
	if w.isOp(i+3, ")") {
		w.emit(")", w.at(i+3))
		return 4, nil
	}
	open := w.at(i + 2)
	w.emit(",", open)
	w.push(open, frame{call: true})
	return 3, nil
}

func (w *rewriter) infix(t token) {
	w.emit(t.text, t)
	w.value, w.path = true, false
}

// begin emits the first token of an operand.
func (w *rewriter) begin(text string, t token) {
	w.start, w.pipes, w.path, w.value = len(w.out), 0, false, false
	w.emit(text, t)
}

func (w *rewriter) variable(t token) error {
	if w.opt.Vars != nil && !slices.Contains(w.opt.Vars, t.text) {
		return faultf(t.pos, "unknown name %q", t.text).withHint(suggest(t.text, w.opt.Vars, "known names: "))
	}
	w.begin("$"+t.text, t)
	w.refs = append(w.refs, []string{t.text})
	w.path = true
	return nil
}

func (w *rewriter) extend(field string) {
	if w.path {
		last := len(w.refs) - 1
		w.refs[last] = append(w.refs[last], field)
	}
}

// known refuses names of functions that do not exist, and notes the others.
func (w *rewriter) known(t token) error {
	if _, ok := w.funcs[t.text]; ok {
		w.calls = append(w.calls, t.text)
		return nil
	}
	names := make([]string, 0, len(w.funcs))
	for n := range w.funcs {
		names = append(names, n)
	}
	slices.Sort(names)
	return faultf(t.pos, "unknown function %q", t.text).withHint(suggest(t.text, names, "known functions: "))
}

// open emits a bracket and enters it.
func (w *rewriter) open(t token, f frame) {
	w.emit(t.text, t)
	w.push(t, f)
}

func (w *rewriter) push(t token, f frame) {
	f.open, f.start, f.pipes = t, w.start, w.pipes
	f.close = map[string]string{"(": ")", "[": "]", "{": "}"}[t.text]
	w.frames = append(w.frames, f)
	w.value = true
}

// close leaves the innermost bracket; the operand is then the one it belongs to.
func (w *rewriter) close(t token) error {
	n := len(w.frames)
	if n == 0 {
		return faultf(t.pos, "%q closes nothing", t.text)
	}
	f := w.frames[n-1]
	if f.close != t.text {
		return faultf(t.pos, "%q does not close the %q before it", t.text, f.open.text)
	}
	w.frames = w.frames[:n-1]
	w.start, w.pipes, w.value, w.path = f.start, f.pipes, false, false
	w.emit(t.text, t)
	return nil
}
