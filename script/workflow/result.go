package workflow

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/script"
)

// An AnswerError is the failure of a step whose unit answered with a status
// from 400. A caller may pass the answer on.
type AnswerError struct {
	Status  int
	Message string // of the HttpError, or the body
}

// Error implements error.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("answered %d%s", e.Status, excerpt(e.Message))
}

// plain makes a tree of what the host returned: a response counts as its body,
// and one from 400 is an error. size is the number of bytes it takes as JSON.
func plain(v script.Value) (tree any, size int64, err error) {
	if r, ok := script.AsResponse(v); ok {
		if r.Status >= 400 {
			message := r.Error
			if message == "" {
				message = string(r.Body)
			}
			return nil, 0, &AnswerError{Status: r.Status, Message: message}
		}
		if !r.HasBody {
			return nil, 0, nil
		}
		if json.Unmarshal(r.Body, &tree) != nil {
			tree = string(r.Body)
		}
		return tree, int64(len(r.Body)), nil
	}
	text, err := v.Text()
	if err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, 0, fmt.Errorf("the result is not JSON: %w", err)
	}
	return tree, int64(len(text)), nil
}

// untagged refuses data that would be taken for more than data.
func untagged(v any) error {
	if m, ok := v.(map[string]any); ok {
		if _, has := m[script.Tag]; has {
			return fmt.Errorf("the key %q is reserved", script.Tag)
		}
	}
	return nil
}

// emit makes the output of a run, within the limit.
func (u *Unit) emit(tree any) (script.Value, error) {
	if err := untagged(tree); err != nil {
		return script.Value{}, &script.Error{Kind: script.Failed, File: u.name, Message: "output: " + err.Error()}
	}
	tooLarge := &script.Error{Kind: script.Output, File: u.name,
		Message: fmt.Sprintf("the output is larger than %d bytes", u.limits.Output),
		Hint:    "name what is needed under output, or raise limits.output"}
	if !expr.Fits(tree, u.limits.Output) {
		return script.Value{}, tooLarge
	}
	text, err := script.Of(tree).Text()
	if err != nil {
		return script.Value{}, &script.Error{Kind: script.Failed, File: u.name, Message: "output: " + err.Error(), Err: err}
	}
	if int64(len(text)) > u.limits.Output {
		return script.Value{}, tooLarge
	}
	return script.JSON(text), nil
}

// failed is the error of a step. It stands where its cause does, else at the step.
func (u *Unit) failed(s *step, err error) *script.Error {
	out := &script.Error{Kind: script.KindOf(err), File: u.name, Line: s.line, Column: s.column,
		Message: "step " + s.name + ": " + err.Error(), Err: err}
	if s.name == onFailureName {
		out.Message = "on_failure: " + err.Error()
	}
	if e, ok := errors.AsType[*script.Error](err); ok {
		out.Hint, out.Stack = e.Hint, e.Stack
		if e.File != "" {
			out.File, out.Line, out.Column, out.Frame = e.File, e.Line, e.Column, e.Frame
			out.Message = "step " + s.name + ": " + e.Message
		}
	}
	if out.Kind == script.Refused || out.Kind == script.Syntax {
		out.Kind = script.Failed // the run was accepted; Refused means the input
	}
	return out
}
