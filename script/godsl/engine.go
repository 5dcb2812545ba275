package godsl

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/godsl/allow"
	"github.com/theseus-run/theseus/script/godsl/ir"
	"github.com/theseus-run/theseus/script/godsl/vm"
)

// Engine compiles rules for the executor. It implements [script.Engine] and is
// safe for concurrent use.
type Engine struct{ compiler *Compiler }

// New returns the engine.
func New() *Engine { return &Engine{NewCompiler()} }

// Name implements [script.Engine].
func (e *Engine) Name() string { return "godsl" }

// Extensions implements [script.Engine].
func (e *Engine) Extensions() []string { return []string{".gods"} }

// Enforces implements [script.Engine].
func (e *Engine) Enforces() script.Limit {
	return script.LimitTime | script.LimitMemory | script.LimitDepth | script.LimitOutput
}

// entries are the functions that a unit may have as its default export.
var entries = []string{"Execute", "Handle"}

// Compile implements [script.Engine]. A unit is one file.
func (e *Engine) Compile(ctx context.Context, files fs.FS, name string, limits script.Limits) (script.Unit, error) {
	text, err := readSource(files, name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &script.Error{Kind: script.Timeout, File: name, Message: "stopped before it was compiled: " + err.Error(), Err: err}
	}
	p, err := e.compiler.Compile([]File{{Name: name, Text: text}})
	if err != nil {
		return nil, err
	}
	u := &Unit{name: name, program: p, limits: limits.WithDefaults()}
	for _, entry := range entries {
		if f, ok := p.Func(entry); ok && u.entry == nil {
			u.entry, u.entryName = f, entry
		}
	}
	if u.entry == nil {
		return nil, &script.Error{Kind: script.Refused, File: name, Message: "has no function Execute or Handle that can be called with data",
			Hint: "write: func Execute(ctx host.Context, in Req) (Res, error)"}
	}
	return u, nil
}

func readSource(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, &script.Error{Kind: script.Refused, File: name, Message: "cannot be read: " + err.Error(), Err: err}
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > allow.MaxSource {
		return nil, &script.Error{Kind: script.Refused, File: name,
			Message: fmt.Sprintf("a source file may have %d bytes, this one has %d", allow.MaxSource, info.Size())}
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, &script.Error{Kind: script.Refused, File: name, Message: "cannot be read: " + err.Error(), Err: err}
	}
	return text, nil
}

// A Unit is a compiled rule. It implements [script.Unit].
type Unit struct {
	name      string
	program   *Program
	limits    script.Limits
	entry     *Func
	entryName string
}

// Name implements [script.Unit].
func (u *Unit) Name() string { return u.name }

// Files implements [script.Unit].
func (u *Unit) Files() []string { return []string{u.name} }

// Refs implements [script.Unit].
func (u *Unit) Refs() []script.Ref { return nil }

// Exports implements [script.Unit].
func (u *Unit) Exports() []string {
	list := append(slices.Clone(u.program.names), "default")
	slices.Sort(list)
	return list
}

// Trim implements [script.Unit]; a unit keeps nothing for speed.
func (u *Unit) Trim() {}

// Close implements [script.Unit]; a unit owns nothing.
func (u *Unit) Close() {}

// Execute implements [script.Unit]. A parameter of type host.Context takes no
// argument; a request becomes a host.Request.
func (u *Unit) Execute(ctx context.Context, call script.Call) (script.Value, error) {
	f := u.entry
	if call.Func != "" && call.Func != "default" {
		var ok bool
		if f, ok = u.program.Func(call.Func); !ok {
			return script.Value{}, &script.Error{Kind: script.Refused, File: u.name,
				Message: fmt.Sprintf("does not export a function %q", call.Func), Hint: "it exports: " + strings.Join(u.program.names, ", ")}
		}
	}
	args, err := f.arguments(call.Args)
	if err != nil {
		return script.Value{}, err
	}
	limits := Limits{Limits: vm.Limits{Time: u.limits.Time, Bytes: u.limits.Memory, Depth: u.limits.Depth}, Output: u.limits.Output}
	var h vm.Host
	if call.Host != nil {
		h = &hostOf{to: call.Host, ctx: ctx, name: u.name}
	}
	v, err := f.Call(ctx, limits, h, args...)
	if err != nil {
		return script.Value{}, err
	}
	if f.result != nil && f.result.Name == "host.Response" {
		return response(v)
	}
	if m, ok := v.(map[string]any); ok {
		if _, tagged := m[script.Tag]; tagged {
			return script.Value{}, &script.Error{Kind: script.Failed, File: u.name, Message: fmt.Sprintf("the result has the reserved member %q", script.Tag)}
		}
	}
	return script.Of(v), nil
}

// arguments fits the arguments of a call to the function's parameters.
func (f *Func) arguments(values []script.Value) ([]any, error) {
	params := f.fn.Type().Params
	args := make([]any, len(params))
	next := 0
	for i, t := range params {
		switch {
		case t.Name == "host.Context":
			args[i] = map[string]any(nil)
		case next < len(values):
			args[i] = tree(values[next], t)
			next++
		}
	}
	return args, nil
}

// tree returns v as data.
func tree(v script.Value, t *ir.Type) any {
	r, ok := script.AsRequest(v)
	if !ok {
		return plain(v.Tree())
	}
	query, header := map[string]any{}, map[string]any{}
	for k, list := range r.Query {
		query[k] = anys(list)
	}
	for k, list := range r.Header {
		header[k] = anys(list)
	}
	params := map[string]any{}
	for k, s := range r.Params {
		params[k] = s
	}
	return map[string]any{"method": r.Method, "path": r.Path, "host": r.Host, "remote": r.Remote, "id": r.ID, "params": params,
		"query": query, "header": header, "body": string(r.Body), "locals": plain(r.Locals.Tree())}
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// plain makes data of what a Value may hold besides data.
func plain(v any) any {
	switch v := v.(type) {
	case nil, bool, string, float64, int, map[string]any, []any:
		return v
	case script.Value:
		return plain(v.Tree())
	}
	text, err := script.Of(v).Text()
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	return out
}

// response makes the tagged object of package script from a host.Response.
func response(v any) (script.Value, error) {
	m, _ := v.(map[string]any)
	var b strings.Builder
	b.WriteString(`{"` + script.Tag + `":"response","status":`)
	status, _ := m["status"].(int)
	if status == 0 {
		status = 200
	}
	headers, _ := m["headers"].(map[string]any)
	if headers == nil {
		headers = map[string]any{}
	}
	lower := make(map[string]any, len(headers)+1)
	for k, v := range headers {
		lower[strings.ToLower(k)] = v
	}
	var body any
	switch x := m["body"].(type) {
	case nil:
	case string:
		body = x
	default:
		text, err := script.Of(x).Text()
		if err != nil {
			return script.Value{}, &script.Error{Kind: script.Failed, Message: "the response's body has no JSON form: " + err.Error(), Err: err}
		}
		body = string(text)
		if lower["content-type"] == nil {
			lower["content-type"] = "application/json"
		}
	}
	rest, err := json.Marshal(map[string]any{"headers": lower, "body": body})
	if err != nil {
		return script.Value{}, err
	}
	fmt.Fprintf(&b, "%d,%s", status, rest[1:])
	return script.JSON([]byte(b.String())), nil
}

// hostOf gives a rule the capabilities of a script.Host.
type hostOf struct {
	to   script.Host
	ctx  context.Context // of the execution, for the clock
	name string
}

// Call implements vm.Host.
func (h *hostOf) Call(ctx context.Context, capability string, args []any) (any, error) {
	values := make([]script.Value, len(args))
	for i, a := range args {
		values[i] = script.Of(a)
	}
	v, err := h.to.Call(ctx, capability, values)
	if err != nil {
		return nil, err
	}
	return plain(v.Tree()), nil
}

// Now implements vm.Host: the host's clock, or the Unix epoch when the host
// has none.
func (h *hostOf) Now() time.Time {
	v, err := h.to.Call(h.ctx, "now", nil)
	if err != nil {
		return time.Unix(0, 0)
	}
	var ms float64
	if v.Decode(&ms) != nil {
		return time.Unix(0, 0)
	}
	return time.UnixMilli(int64(ms))
}

// Seed implements vm.Host: it follows from the rule and the host's clock, so
// that a decision can be replayed.
func (h *hostOf) Seed() uint64 {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%s %d", path.Clean(h.name), h.Now().UnixNano())
	return hash.Sum64()
}

var _ script.Engine = (*Engine)(nil)
