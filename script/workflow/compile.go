package workflow

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// The bounds of a workflow file.
const (
	maxSteps   = 500
	maxRetries = 100
	minBackoff = time.Millisecond
	maxWait    = 24 * time.Hour
)

// onFailureName is what the on_failure step is called.
const onFailureName = "on_failure"

// A compiler turns a document into a Unit and collects its mistakes.
type compiler struct {
	doc   *yamldoc.Doc
	spec  Spec
	unit  *Unit
	names []string       // of the steps, in file order
	index map[string]int // of a step by name
	errs  yamldoc.Errors
}

// compile checks a document. Its error is a yamldoc.Errors.
func compile(doc *yamldoc.Doc) (*Unit, error) {
	c := &compiler{doc: doc, index: map[string]int{}}
	if doc.Empty() {
		return nil, yamldoc.Errors{doc.Problem(script.Refused, "the file is empty", "a workflow has steps: name: { run: handlers/x.js }")}
	}
	if err := doc.Decode(&c.spec); err != nil {
		return nil, err
	}
	base := path.Base(doc.Name())
	c.unit = &Unit{name: doc.Name(), title: c.spec.Name, timeout: c.spec.Timeout.or(defaultTimeout)}
	if c.unit.title == "" {
		c.unit.title = strings.TrimSuffix(base, path.Ext(base))
	}
	c.header()
	c.steps()
	c.order()
	if c.spec.Output != nil {
		c.unit.output = c.tree(c.spec.Output, nil, "output")
	}
	if err := c.errs.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.unit.refs, func(a, b script.Ref) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return c.unit, nil
}

// fail records a mistake in the value at a path.
func (c *compiler) fail(hint, message string, at ...string) {
	c.errs = append(c.errs, c.doc.Problem(script.Refused, message, hint, at...))
}

// failKey records a mistake in the key at a path.
func (c *compiler) failKey(hint, message string, at ...string) {
	c.errs = append(c.errs, c.doc.KeyProblem(script.Refused, message, hint, at...))
}

// header checks what stands beside the steps.
func (c *compiler) header() {
	switch c.spec.Version.(type) {
	case nil, string, int64, uint64, float64:
	default:
		c.fail("", "want a text or a number", "version")
	}
	c.duration(c.spec.Timeout, time.Millisecond, "timeout")
	c.unit.anyInput = c.doc.Find("input") == nil
	for _, e := range entries(c.doc.Find("input")) {
		name, typ := e.Key.Text(), c.spec.Input[e.Key.Text()]
		optional := strings.HasSuffix(typ, "?")
		typ = strings.TrimSpace(strings.TrimSuffix(typ, "?"))
		if _, ok := inputTypes[typ]; !ok {
			c.fail(yamldoc.DidYouMean(typ, typeNames), fmt.Sprintf("unknown type %q", typ), "input", name)
		}
		c.unit.input = append(c.unit.input, field{name, typ, optional})
	}
}

// entries returns the keys and values of a map that may be missing.
func entries(n *yamldoc.Node) []yamldoc.Entry {
	if n == nil {
		return nil
	}
	return n.Entries()
}

var stepName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

func (c *compiler) steps() {
	list := entries(c.doc.Find("steps"))
	switch {
	case len(list) == 0:
		c.failKey("add steps: name: { run: handlers/x.js }", "a workflow needs at least one step", "steps")
	case len(list) > maxSteps:
		c.failKey("move some into a workflow of their own and run that", fmt.Sprintf("%d steps are more than %d", len(list), maxSteps), "steps")
		return
	}
	for i, e := range list {
		name := e.Key.Text()
		if !stepName.MatchString(name) || name == onFailureName {
			c.failKey("use letters, digits, _ and -, beginning with a letter", fmt.Sprintf("%q is no name for a step", name), "steps", name)
		}
		c.names = append(c.names, name)
		c.index[name] = i
	}
	for _, name := range c.names {
		s := c.spec.Steps[name]
		if s == nil {
			c.failKey("say what it does: { run: handlers/x.js }", fmt.Sprintf("step %q is empty", name), "steps", name)
			s = &Step{}
		}
		c.unit.steps = append(c.unit.steps, c.step(s, name, "steps", name))
	}
	if s := c.spec.OnFailure; s != nil {
		c.unit.onFailure = c.step(s, onFailureName, onFailureName)
		c.notInCleanup(s)
	} else if n := c.doc.Find(onFailureName); n != nil {
		c.fail("say what it does, or remove it", "on_failure is empty", onFailureName)
	}
}

func (c *compiler) notInCleanup(s *Step) {
	for _, key := range []string{"needs", "depends_on", "if"} {
		if c.doc.Find(onFailureName, key) != nil {
			c.failKey("it runs whenever a step has failed", "on_failure takes no "+key, onFailureName, key)
		}
	}
}

// step compiles one step at a path.
func (c *compiler) step(in *Step, name string, at ...string) *step {
	s := &step{name: name, index: len(c.unit.steps), path: at}
	s.line, s.column = c.doc.KeyPosition(at...)
	c.condition(s, in)
	c.action(s, in)
	if s.timeout = in.Timeout.or(0); in.Timeout == nil && in.HTTP != nil {
		s.timeout = defaultHTTP
	}
	c.duration(in.Timeout, time.Millisecond, join(at, "timeout")...)
	if r := in.Retry; r != nil {
		if r.Max < 1 || r.Max > maxRetries {
			c.fail("", fmt.Sprintf("want 1 to %d retries, got %d", maxRetries, r.Max), join(at, "retry", "max")...)
		}
		c.duration(r.Backoff, minBackoff, join(at, "retry", "backoff")...)
		c.duration(r.MaxBackoff, minBackoff, join(at, "retry", "max_backoff")...)
		s.retries, s.backoff = r.Max, r.Backoff.or(defaultBackoff)
		s.maxBackoff = r.MaxBackoff.or(max(defaultMaxBackoff, s.backoff))
		if s.maxBackoff < s.backoff {
			c.fail("", fmt.Sprintf("max_backoff %v is shorter than backoff %v", s.maxBackoff, s.backoff), join(at, "retry", "max_backoff")...)
		}
	}
	needs := map[string]Names{"needs": in.Needs, "depends_on": in.DependsOn}
	for _, key := range []string{"needs", "depends_on"} {
		for i, need := range needs[key] {
			place := join(at, key, fmt.Sprint(i))
			switch {
			case need == name:
				c.fail("", fmt.Sprintf("step %q needs itself", name), place...)
			case !c.known(need):
				c.fail(yamldoc.DidYouMean(need, c.others(name)), fmt.Sprintf("step %q needs %q, which does not exist", name, need), place...)
			default:
				s.need(c.index[need])
			}
		}
	}
	return s
}

func (c *compiler) known(name string) bool {
	_, ok := c.index[name]
	return ok
}

// others returns the steps besides one.
func (c *compiler) others(name string) []string {
	return slices.DeleteFunc(slices.Clone(c.names), func(n string) bool { return n == name })
}

func join(at []string, more ...string) []string { return slices.Concat(at, more) }

func (c *compiler) duration(d *Duration, least time.Duration, at ...string) {
	if d == nil {
		return
	}
	if v := time.Duration(*d); v < least || v > maxWait {
		c.fail("", fmt.Sprintf("want a duration from %v to %v, got %v", least, maxWait, v), at...)
	}
}

// condition compiles "if".
func (c *compiler) condition(s *step, in *Step) {
	if c.doc.Find(join(s.path, "if")...) == nil {
		return
	}
	at := join(s.path, "if")
	prog, err := expr.CompileCondition(string(in.If), expr.Options{Vars: stepVars, Funcs: statusFuncs})
	if err != nil {
		c.misplaced(err, at...)
		return
	}
	s.cond = prog
	for _, f := range statusFuncs {
		if slices.Contains(prog.Calls(), f.Name) {
			s.decides = true
		}
	}
	for _, ref := range prog.Refs() {
		c.reference(s, ref, at)
	}
	if s.decides && len(in.Needs)+len(in.DependsOn)+len(s.needs) == 0 {
		c.fail("add needs", "the step asks how others ended and needs none", at...)
	}
}

// action compiles what the step does.
func (c *compiler) action(s *step, in *Step) {
	hasRun, hasHTTP := c.doc.Find(join(s.path, "run")...) != nil, in.HTTP != nil
	switch {
	case hasRun && hasHTTP:
		c.failKey("split it into two steps", fmt.Sprintf("step %q has two actions, run and http", s.name), join(s.path, "http")...)
	case hasRun:
		c.runAction(s, in)
	case hasHTTP:
		c.httpAction(s, in.HTTP)
	case c.doc.Find(s.path...) != nil && !c.doc.Find(s.path...).IsNull():
		c.failKey("add run: handlers/x.js or http: { get: https://… }", fmt.Sprintf("step %q has no action", s.name), s.path...)
	}
	if hasHTTP && in.With != nil {
		c.failKey("an http step takes query, headers, json and body", "with belongs to run", join(s.path, "with")...)
	}
}

func (c *compiler) runAction(s *step, in *Step) {
	at := join(s.path, "run")
	switch name := in.Run; {
	case strings.Contains(name, "${{"):
		c.fail("use two steps with an if each", "run takes a fixed name, so that every update can check it", at...)
	case name == "" || path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\\\x00"):
		c.fail("such as handlers/price.js", fmt.Sprintf("run takes the path of a unit inside the app, got %q", name), at...)
	default:
		s.run = name
		line, column := c.doc.Position(at...)
		c.unit.refs = append(c.unit.refs, script.Ref{Name: name, File: c.doc.Name(), Line: line, Column: column})
	}
	if in.With != nil {
		s.with = c.tree(in.With, s, join(s.path, "with")...)
	}
}

func (c *compiler) httpAction(s *step, in *HTTP) {
	at := join(s.path, "http")
	methods, urls := in.methods()
	if len(methods) != 1 {
		got := "none"
		if len(methods) > 1 {
			got = strings.Join(methods, " and ")
		}
		c.failKey("such as http: { get: https://… }", "http takes one of get, head, post, put, patch and delete, got "+got, at...)
		return
	}
	r := &request{method: strings.ToUpper(methods[0]), target: urls[0], accept: in.Accept}
	if u, err := url.Parse(urls[0]); !strings.Contains(urls[0], "${{") && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		c.fail("such as https://pay.example.com/charge", fmt.Sprintf("want an http or https URL, got %q", urls[0]), join(at, methods[0])...)
	}
	r.url = c.tree(urls[0], s, join(at, methods[0])...)
	if in.Query != nil {
		r.query = c.tree(in.Query, s, join(at, "query")...)
	}
	headers := make(map[string]any, len(in.Headers))
	for k, v := range in.Headers {
		headers[k] = v
	}
	r.headers = c.tree(headers, s, join(at, "headers")...)
	r.hasJSON = c.doc.Find(join(at, "json")...) != nil
	if r.hasJSON && in.Body != "" {
		c.failKey("keep one of them", "json and body are both the body", join(at, "body")...)
	}
	if r.hasJSON {
		r.body = c.tree(in.JSON, s, join(at, "json")...)
	} else if in.Body != "" {
		r.body = c.tree(in.Body, s, join(at, "body")...)
	}
	for i, status := range in.Accept {
		if status < 400 || status > 599 {
			c.fail("", fmt.Sprintf("want a status from 400 to 599, got %d", status), join(at, "accept", fmt.Sprint(i))...)
		}
	}
	s.http = r
}

// tree compiles a value with templates; s is nil for the output.
func (c *compiler) tree(v any, s *step, at ...string) *expr.Tree {
	vars := stepVars
	if s != nil && s.name == onFailureName {
		vars = cleanupVars
	}
	t, err := expr.CompileTree(v, expr.Options{Vars: vars})
	if err != nil {
		if pe, ok := errors.AsType[*expr.PathError](err); ok {
			at = join(at, pe.At...)
		}
		c.misplaced(err, at...)
		return nil
	}
	for _, ref := range t.Refs() {
		c.reference(s, ref.Path, join(at, ref.At...))
	}
	return t
}

// reference checks a variable that an expression at a path reads, and adds the
// need that it implies.
func (c *compiler) reference(s *step, ref, at []string) {
	inStep := s != nil && s.name != onFailureName
	switch ref[0] {
	case "config":
		c.unit.config = true
	case "now":
		c.unit.now = true
	case "input":
		if len(ref) > 1 && !c.unit.anyInput && !slices.ContainsFunc(c.unit.input, func(f field) bool { return f.name == ref[1] }) {
			var names []string
			for _, f := range c.unit.input {
				names = append(names, f.name)
			}
			c.fail(yamldoc.DidYouMean(ref[1], names), fmt.Sprintf("input.%s is not declared under input", ref[1]), at...)
		}
	case "run":
		if known := []string{"id", "workflow"}; len(ref) > 1 && !slices.Contains(known, ref[1]) {
			c.fail(yamldoc.DidYouMean(ref[1], known), fmt.Sprintf("run.%s does not exist", ref[1]), at...)
		}
	case "steps":
		switch {
		case len(ref) == 1 && inStep:
			c.fail("write steps.NAME, so that it is known which steps have to end first", "a step can't read all steps at once", at...)
		case len(ref) == 1:
		case inStep && ref[1] == s.name:
			c.fail("", fmt.Sprintf("step %q reads its own result", s.name), at...)
		case !c.known(ref[1]):
			c.fail(yamldoc.DidYouMean(ref[1], c.names), fmt.Sprintf("steps.%s does not exist", ref[1]), at...)
		case inStep:
			s.need(c.index[ref[1]])
		}
	}
}
