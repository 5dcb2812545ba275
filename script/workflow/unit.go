package workflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// Engine compiles workflows. It is stateless.
type Engine struct{}

// New returns the engine.
func New() *Engine { return &Engine{} }

// Name implements script.Engine.
func (*Engine) Name() string { return "workflow" }

// Extensions implements script.Engine.
func (*Engine) Extensions() []string { return []string{".yaml", ".yml"} }

// Enforces implements script.Engine; see the package doc for what time and
// memory mean for a workflow.
func (*Engine) Enforces() script.Limit {
	return script.LimitTime | script.LimitMemory | script.LimitDepth | script.LimitOutput
}

// Compile implements script.Engine. Its error holds every mistake found: it is
// a yamldoc.Errors.
func (*Engine) Compile(ctx context.Context, files fs.FS, name string, limits script.Limits) (script.Unit, error) {
	if err := ctx.Err(); err != nil {
		return nil, &script.Error{Kind: script.Timeout, File: name, Message: "compiling was stopped", Err: context.Cause(ctx)}
	}
	src, err := read(files, name)
	if err != nil {
		return nil, err
	}
	doc, err := yamldoc.Parse(name, src)
	if err != nil {
		return nil, err
	}
	u, err := compile(doc)
	if err != nil {
		return nil, err
	}
	u.limits = limits.WithDefaults()
	return u, nil
}

// read returns the file's text, at most one byte more than yamldoc takes.
func read(files fs.FS, name string) ([]byte, error) {
	refuse := func(err error) error {
		return &script.Error{Kind: script.Refused, File: name, Message: "cannot be read: " + reason(err), Err: err}
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, refuse(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, refuse(err)
	}
	if info.IsDir() {
		return nil, refuse(errors.New("it is a folder"))
	}
	if info.Size() > yamldoc.MaxBytes {
		return nil, &script.Error{Kind: script.Refused, File: name,
			Message: fmt.Sprintf("the file has %d bytes, more than %d", info.Size(), yamldoc.MaxBytes),
			Hint:    "split the workflow; one can run another"}
	}
	src, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, refuse(err)
	}
	return src, nil
}

// reason is err without the path, which the caller's message has.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// A Unit is a compiled workflow. It implements script.Unit.
type Unit struct {
	name      string
	title     string
	limits    script.Limits
	timeout   time.Duration
	input     []field
	anyInput  bool
	steps     []*step
	onFailure *step
	output    *expr.Tree // nil for the results of all steps
	refs      []script.Ref
	config    bool // an expression reads config
	now       bool // an expression reads now
	closed    atomic.Bool
}

// Name implements script.Unit.
func (u *Unit) Name() string { return u.name }

// Title is what people call the workflow.
func (u *Unit) Title() string { return u.title }

// Files implements script.Unit.
func (u *Unit) Files() []string { return []string{u.name} }

// Refs implements script.Unit.
func (u *Unit) Refs() []script.Ref { return slices.Clone(u.refs) }

// Exports implements script.Unit.
func (u *Unit) Exports() []string { return []string{"default"} }

// Trim implements script.Unit.
func (u *Unit) Trim() {}

// Close implements script.Unit.
func (u *Unit) Close() { u.closed.Store(true) }

// Graph returns the steps in file order.
func (u *Unit) Graph() []StepInfo {
	infos := make([]StepInfo, len(u.steps))
	for i, s := range u.steps {
		infos[i] = StepInfo{Name: s.name, Action: s.action()}
		for _, n := range s.needs {
			infos[i].Needs = append(infos[i].Needs, u.steps[n].name)
		}
	}
	return infos
}
