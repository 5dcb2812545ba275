package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/script"
)

// prepare computes the expressions of a request.
func (r *request) prepare(vars map[string]any) (invocation, error) {
	parts := map[string]any{}
	for _, p := range []struct {
		name string
		tree *expr.Tree
	}{{"url", r.url}, {"query", r.query}, {"headers", r.headers}, {"body", r.body}} {
		if p.tree == nil {
			continue
		}
		v, err := p.tree.Eval(vars)
		if err != nil {
			return invocation{}, under("http."+p.name, err)
		}
		parts[p.name] = v
	}
	target, err := r.address(parts["url"], parts["query"])
	if err != nil {
		return invocation{}, err
	}
	headers, _ := parts["headers"].(map[string]any)
	opt := map[string]any{"method": r.method, "headers": headers}
	for name, v := range headers {
		if headers[name], err = scalar(v); err != nil {
			return invocation{}, fmt.Errorf("http.headers.%s: %w", name, err)
		}
	}
	switch body := parts["body"]; {
	case r.body == nil:
	case r.hasJSON:
		if !expr.Fits(body, script.DefaultLimits.Output) {
			return invocation{}, fmt.Errorf("http.json: larger than %d bytes", script.DefaultLimits.Output)
		}
		text, err := script.Of(body).Text()
		if err != nil {
			return invocation{}, fmt.Errorf("http.json: %w", err)
		}
		opt["body"] = string(text)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(headers)), func(h string) bool { return strings.EqualFold(h, "content-type") }) {
			headers["content-type"] = "application/json"
		}
	default:
		if opt["body"], err = scalar(body); err != nil {
			return invocation{}, fmt.Errorf("http.body: %w", err)
		}
	}
	return invocation{"http.fetch", []any{target, opt}}, nil
}

// address is the URL with the query added.
func (r *request) address(target, query any) (string, error) {
	text, ok := target.(string)
	if !ok {
		return "", fmt.Errorf("http.%s: the URL is %s, not a text", strings.ToLower(r.method), jsonType(target))
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("http.%s: %q is not an http or https URL", strings.ToLower(r.method), text)
	}
	more, _ := query.(map[string]any)
	if len(more) == 0 {
		return text, nil
	}
	values := u.Query()
	for _, name := range slices.Sorted(maps.Keys(more)) {
		list, ok := more[name].([]any)
		if !ok {
			list = []any{more[name]}
		}
		for _, v := range list {
			if v == nil {
				continue
			}
			text, err := scalar(v)
			if err != nil {
				return "", fmt.Errorf("http.query.%s: %w", name, err)
			}
			values.Add(name, text)
		}
	}
	u.RawQuery = values.Encode()
	return u.String(), nil
}

// scalar is v as text; lists and objects are refused.
func scalar(v any) (string, error) {
	switch v.(type) {
	case map[string]any, []any:
		return "", fmt.Errorf("want a text, got %s", jsonType(v))
	}
	return expr.Text(v)
}

// result makes the result of an http step of what http.fetch returned.
func (r *request) result(v any) (any, error) {
	answer, _ := v.(map[string]any)
	code, ok := answer["status"].(float64)
	if !ok {
		return nil, errors.New("http.fetch gave no status")
	}
	headers, _ := answer["headers"].(map[string]any)
	body, _ := answer["body"].(string)
	ok = code >= 200 && code < 300
	if code >= 400 && !slices.Contains(r.accept, int(code)) {
		return nil, &answerError{int(code), fmt.Sprintf("%s answered %d%s", r.method, int(code), excerpt(body))}
	}
	out := map[string]any{"status": code, "ok": ok, "headers": headers, "body": body, "json": nil}
	contentType, _ := headers["content-type"].(string)
	if kind, _, err := mime.ParseMediaType(contentType); err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) {
		var parsed any
		if json.Unmarshal([]byte(body), &parsed) == nil {
			out["json"] = parsed
		}
	}
	return out, nil
}

// An answerError is an answer whose status fails the step.
type answerError struct {
	status  int
	message string
}

func (e *answerError) Error() string { return e.message }

// excerpt is the beginning of a body for a message.
func excerpt(body string) string {
	body = strings.Join(strings.Fields(strings.ToValidUTF8(body, "�")), " ")
	switch runes := []rune(body); {
	case len(runes) == 0:
		return ""
	case len(runes) > 200:
		return ": " + string(runes[:200]) + "…"
	}
	return ": " + body
}
