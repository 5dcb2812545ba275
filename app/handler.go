package app

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/theseus-run/theseus/script"
)

// readBody reads the whole request body once, up to the limit of the manifest.
func (x *exchange) readBody() ([]byte, error) {
	if x.read {
		return x.body, nil
	}
	x.read = true
	if x.r.Body == nil || x.r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.w.ResponseWriter, x.r.Body, x.gen.limits.body))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, &httpError{status: http.StatusBadRequest, message: "the request body could not be read"}
	}
	x.body = body
	return body, nil
}

// request builds the script's view of the request.
func (x *exchange) request(params []string) (script.Value, error) {
	body, err := x.readBody()
	if err != nil {
		return script.Value{}, err
	}
	req := script.Request{
		Method: x.r.Method, Path: x.r.URL.Path, Host: x.r.Host, Remote: clientAddress(x.r.RemoteAddr), ID: x.id,
		Generation: x.gen.number, Header: x.r.Header, Body: body,
	}
	if x.r.URL.RawQuery != "" {
		req.Query = x.r.URL.Query()
	}
	if len(params) > 0 {
		req.Params = make(map[string]string, len(params))
		for _, name := range params {
			req.Params[name] = x.r.PathValue(name)
		}
	}
	if len(x.locals) > 0 {
		req.Locals = script.Of(x.locals)
	}
	return script.RequestValue(&req), nil
}

// clientAddress is the client's address without the port.
func clientAddress(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// serveScript answers with what the unit's default function returns.
func (x *exchange) serveScript(u *unit, params []string) error {
	req, err := x.request(params)
	if err != nil {
		return err
	}
	v, err := x.gen.execute(x.r.Context(), u, script.Call{Args: []script.Value{req}, Host: x.gen.host(x.env, u.Name())})
	if err != nil {
		return err
	}
	return x.send(v)
}

// send writes a script's result as the response.
func (x *exchange) send(v script.Value) error {
	if resp, ok := script.AsResponse(v); ok {
		return x.sendResponse(resp)
	}
	if v.IsNull() {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if s, ok := v.Plain(); ok {
		return x.sendText("text/plain; charset=utf-8", []byte(s))
	}
	text, err := v.Text()
	if err != nil {
		return err
	}
	if text[0] != '"' {
		return x.sendText("application/json", text)
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	return x.sendText("text/plain; charset=utf-8", []byte(s))
}

// sendText writes a body whose type a middleware may have set already.
func (x *exchange) sendText(contentType string, body []byte) error {
	h := x.w.Header()
	setDefault(h, "Content-Type", contentType)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, err := x.w.Write(body)
	return ignoreWrite(err)
}

// sendResponse writes a Response of a script.
func (x *exchange) sendResponse(resp script.Response) error {
	if resp.Status < 200 || resp.Status > 599 {
		return &script.Error{Kind: script.Failed, Message: "a Response's status must be 200 to 599, got " + strconv.Itoa(resp.Status)}
	}
	h := x.w.Header()
	for name, values := range resp.Headers {
		if !validHeader(name, values) {
			return &script.Error{Kind: script.Failed, Message: "header " + strconv.Quote(name) + " of the Response is not allowed in HTTP"}
		}
		key := http.CanonicalHeaderKey(name)
		if key == "Set-Cookie" {
			h[key] = append(h[key], values...) // a middleware may have set one too
			continue
		}
		h[key] = values
	}
	bodyless := resp.Status == http.StatusNoContent || resp.Status == http.StatusResetContent || resp.Status == http.StatusNotModified
	if resp.HasBody && !bodyless {
		setDefault(h, "Content-Type", "text/plain; charset=utf-8")
		h["Content-Length"] = []string{strconv.Itoa(len(resp.Body))}
	}
	x.w.WriteHeader(resp.Status)
	if !resp.HasBody || bodyless {
		return nil
	}
	_, err := x.w.Write(resp.Body)
	return ignoreWrite(err)
}

// ignoreWrite drops errors of writing to a client that went away: there is
// nobody left to answer.
func ignoreWrite(error) error { return nil }

func setDefault(h http.Header, key, value string) {
	if _, ok := h[key]; !ok {
		h[key] = []string{value}
	}
}

// hopByHop are the headers that belong to the server's own connection.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Transfer-Encoding": true, "Upgrade": true, "Trailer": true,
	"Te": true, "Proxy-Connection": true, "Content-Length": true, headerGeneration: true,
}

// validHeader reports whether a script may set the header: a token as its name
// (RFC 9110 section 5.1), no control characters in its values, not the server's own.
func validHeader(name string, values []string) bool {
	if name == "" || hopByHop[http.CanonicalHeaderKey(name)] {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == '!', c == '#', c == '$', c == '%', c == '&', c == '\'', c == '*', c == '+', c == '^', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	for _, v := range values {
		for _, c := range []byte(v) {
			if c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
	}
	return true
}

// appendJSONString appends s as a JSON string.
func appendJSONString(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...)
	}
	return append(b, text...)
}

// AccessLog is the message of the access log's lines. They are for the log
// alone: a handler that turns log lines into events should leave them out.
const AccessLog = "request"

// wrap puts one entry of "use" in front of next.
func (g *Generation) wrap(name string, next endpoint) endpoint {
	switch name {
	case "access-log":
		return func(x *exchange) error {
			err := next(x)
			if err != nil {
				x.fail(err)
			}
			x.env.log.Info(AccessLog, x.attrs(slog.Int("status", x.w.status), slog.Duration("took", time.Since(x.start)))...)
			return nil
		}
	case "recover":
		return next // every exchange is; the name says so in the manifest
	}
	u := g.units[name]
	before, after := hasExport(u, "default"), hasExport(u, "after")
	return func(x *exchange) error {
		if after {
			x.w.after = append(x.w.after, func(status int) int { return x.runAfter(u, status) })
		}
		if before {
			answered, err := x.runBefore(u)
			if answered || err != nil {
				return err
			}
		}
		return next(x)
	}
}

// runBefore calls a middleware's default function and reports whether it
// answered the request.
func (x *exchange) runBefore(u *unit) (bool, error) {
	req, err := x.request(nil)
	if err != nil {
		return false, err
	}
	v, err := x.gen.execute(x.r.Context(), u, script.Call{Args: []script.Value{req}, Host: x.gen.host(x.env, u.Name())})
	if err != nil {
		return false, err
	}
	if n, ok := script.AsNext(v); ok {
		return false, x.apply(n)
	}
	if v.IsNull() {
		return false, nil
	}
	return true, x.send(v)
}

// apply takes what next({headers, locals}) adds.
func (x *exchange) apply(n script.Next) error {
	h := x.w.Header()
	for name, values := range n.Headers {
		if !validHeader(name, values) {
			return &script.Error{Kind: script.Failed, Message: "header " + strconv.Quote(name) + " of next() is not allowed in HTTP"}
		}
		key := http.CanonicalHeaderKey(name)
		h[key] = append(h[key], values...)
	}
	if add, ok := n.Locals.Tree().(map[string]any); ok {
		if x.locals == nil {
			x.locals = make(map[string]any, len(add))
		}
		for k, v := range add {
			x.locals[k] = v
		}
	}
	return nil
}

// runAfter calls a middleware's "after" function on the response head. An
// error leaves the head as it was: the handler's answer stands, the log tells.
func (x *exchange) runAfter(u *unit, status int) int {
	req, err := x.request(nil)
	if err == nil {
		head := map[string]any{"status": status, "headers": flatHeaders(x.w.Header())}
		var v script.Value
		v, err = x.gen.execute(x.r.Context(), u, script.Call{Func: "after", Args: []script.Value{req, script.Of(head)}, Host: x.gen.host(x.env, u.Name())})
		if err == nil && !v.IsNull() {
			status, err = x.applyAfter(v, status)
		}
	}
	if err != nil {
		x.env.log.Error("middleware failed after the handler", x.attrs(slog.String("unit", u.Name()), slog.String("error", err.Error()))...)
	}
	return status
}

func (x *exchange) applyAfter(v script.Value, status int) (int, error) {
	var change struct {
		Status  int                     `json:"status"`
		Headers map[string]script.Value `json:"headers"`
	}
	if err := v.Decode(&change); err != nil {
		return status, errors.New("after must return {status, headers} or nothing")
	}
	h := x.w.Header()
	for name, value := range change.Headers {
		values := headerValues(value)
		if !validHeader(name, values) {
			return status, errors.New("header " + strconv.Quote(name) + " is not allowed in HTTP")
		}
		h[http.CanonicalHeaderKey(name)] = values
	}
	if change.Status >= 200 && change.Status <= 599 {
		status = change.Status
	}
	return status, nil
}

// headerValues is a header's value as a script gives it: one or a list of them.
func headerValues(v script.Value) []string {
	switch t := v.Tree().(type) {
	case string:
		return []string{t}
	case []any:
		var out []string
		for _, e := range t {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return []string{v.String()}
}
