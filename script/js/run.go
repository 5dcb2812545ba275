package js

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/quickjs"

	"github.com/theseus-run/theseus/script"
)

// A run is the state of one execution: its host, its requests and the host
// errors that the script holds. It is used by the machine's goroutine only.
type run struct {
	boot quickjs.Value // of the prelude, between loadPrelude and evaluate

	ctx      context.Context
	deadline time.Time
	limited  context.Context // ctx with the deadline; made by the first host call
	cancel   context.CancelFunc
	to       script.Host
	requests []*script.Request // by argument; nil where it is none
	errs     []error           // thrown into the script
	args     []any
	buf      []byte
}

func (r *run) begin(ctx context.Context, deadline time.Time, to script.Host) {
	r.ctx, r.deadline, r.to = ctx, deadline, to
}

// end drops what belongs to the execution.
func (r *run) end() {
	if r.cancel != nil {
		r.cancel()
	}
	clear(r.requests)
	clear(r.args)
	clear(r.errs)
	*r = run{boot: r.boot, requests: r.requests[:0], args: r.args[:0], errs: r.errs[:0]}
}

// The kinds of arguments, as the prelude's argument() reads them.
const (
	argNull    = 0
	argRequest = 1
	argJSON    = 2 // data
	argContext = 3 // an object whose member req is a request
	argString  = 4
	maxArgs    = 10 // three bits each
)

// arguments encodes a call for the prelude: number, name, kinds and one text
// for each argument.
func (r *run) arguments(number int, name string, values []script.Value) ([]any, error) {
	if len(values) > maxArgs {
		return nil, fmt.Errorf("a call takes %d arguments, got %d", maxArgs, len(values))
	}
	kinds := 0
	r.args = append(r.args[:0], number, name, 0)
	for i, v := range values {
		kind, text, req, err := encodeArgument(v)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		kinds |= kind << (3 * i)
		r.requests = append(r.requests, req)
		r.args = append(r.args, text)
	}
	r.args[2] = kinds
	return r.args, nil
}

func encodeArgument(v script.Value) (kind int, text any, req *script.Request, err error) {
	if v.IsNull() {
		return argNull, nil, nil, nil
	}
	if req, ok := script.AsRequest(v); ok {
		return argRequest, nil, req, nil
	}
	if s, ok := v.Plain(); ok {
		return argString, s, nil, nil
	}
	data, err := v.Text()
	if err != nil {
		return 0, nil, nil, err
	}
	if len(data) > 0 && data[0] == '{' && strings.Contains(string(data), `"`+script.Tag+`":"request"`) {
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) == nil {
			if req, ok := script.AsRequest(script.JSON(members["req"])); ok {
				delete(members, "req")
				rest, err := json.Marshal(members)
				return argContext, string(rest), req, err
			}
		}
	}
	return argJSON, string(data), nil, nil
}

// host is the one function that the prelude is made of. Its answer is a
// letter and a text: v and JSON, s and a string, u for null, e and an error.
func (r *run) host(args []any) (any, error) {
	if len(args) < 2 {
		return nil, errors.New("host: too few arguments")
	}
	capability, _ := args[0].(string)
	text, _ := args[1].(string)
	if capability == "req" {
		index, _ := args[2].(int)
		return r.part(text, index)
	}
	if r.to == nil {
		if strings.HasPrefix(capability, "log.") {
			return "u", nil
		}
		return r.fail(&script.Error{Kind: script.Denied, Message: capability + " is not available here",
			Hint: "use it inside a function: the top level of a module runs without a host"})
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	values := make([]script.Value, len(list))
	for i, raw := range list {
		values[i] = script.JSON(raw)
	}
	if r.limited == nil {
		r.limited, r.cancel = context.WithDeadline(nested(r.ctx), r.deadline)
	}
	v, err := r.to.Call(r.limited, capability, values)
	if err != nil {
		return r.fail(err)
	}
	if v.IsNull() {
		return "u", nil
	}
	if s, ok := v.Plain(); ok {
		return "s" + s, nil
	}
	answer, err := v.Text()
	if err != nil {
		return r.fail(err)
	}
	return "v" + string(answer), nil
}

// part answers a request's question for one of its parts.
func (r *run) part(name string, index int) (any, error) {
	if index < 0 || index >= len(r.requests) || r.requests[index] == nil {
		return nil, errors.New("host: no such request")
	}
	req := r.requests[index]
	switch name {
	case "body":
		return "s" + string(req.Body), nil
	case "deep":
		if nesting(req.Body) > maxNesting {
			return "vtrue", nil
		}
		return "vfalse", nil
	case "json":
		text, err := req.MarshalJSON()
		return "s" + string(text), err
	}
	r.buf = append(r.buf[:0], 'v')
	var err error
	if r.buf, err = req.AppendPart(r.buf, script.Part(name)); err != nil {
		return nil, err
	}
	return string(r.buf), nil
}

// maxNesting is how deep the JSON of a request may nest. The engine's parser
// recurses and would count it as the script's own depth.
const maxNesting = 200

// nesting returns how deep the brackets of a JSON text nest.
func nesting(text []byte) int {
	depth, most, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			most = max(most, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return most
}

// fail hands an error to the script, which may catch it.
func (r *run) fail(err error) (any, error) {
	r.errs = append(r.errs, err)
	info := struct {
		ID      int         `json:"id"`
		Name    string      `json:"name"`
		Kind    script.Kind `json:"kind"`
		Message string      `json:"message"`
	}{len(r.errs) - 1, "HostError", script.KindOf(err), err.Error()}
	if e, ok := errors.AsType[*script.Error](err); ok {
		info.Message = e.Message
	}
	switch info.Kind {
	case script.Denied:
		info.Name = "DeniedError"
	case script.Timeout:
		info.Name = "TimeoutError"
	}
	text, err := json.Marshal(info)
	return "e" + string(text), err
}
