package script

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file is the vocabulary that handlers and the HTTP side share. On the
// way in a request is a [Request] in a [Value]; on the way out a script's
// special results are JSON objects whose first member is "$theseus":
//
//	{"$theseus":"request","method":…,"path":…,…}                 an argument, see Request
//	{"$theseus":"response","status":201,"headers":{…},"body":…}  see AsResponse
//	{"$theseus":"next","headers":{…},"locals":{…}}               see AsNext
//
// The key is reserved: an engine refuses a script's own result whose first
// member is "$theseus", so that data can never be taken for one of these.

// Tag is the reserved first member of the objects that mean more than data.
const Tag = "$theseus"

// Tagged reports whether v is a JSON object with [Tag] as its first member and
// returns the tag's value, such as "response".
func Tagged(v Value) (string, bool) {
	if v.kind == isTree {
		if _, ok := v.tree.(*Request); ok {
			return "request", true
		}
		return "", false
	}
	return taggedText(v.text)
}

func taggedText(text []byte) (string, bool) {
	const prefix = `{"` + Tag + `":"`
	if !bytes.HasPrefix(text, []byte(prefix)) {
		return "", false
	}
	rest := text[len(prefix):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return "", false
	}
	return string(rest[:end]), true
}

// A Request is what a handler sees of an HTTP request. It must not be changed
// while an execution uses it.
type Request struct {
	Method     string
	Path       string
	Host       string
	Remote     string // the client's address, without the port where that is known
	ID         string // as in the log
	Generation int
	Params     map[string]string // the {name} parts of the route
	Query      url.Values
	Header     http.Header
	Body       []byte // invalid UTF-8 reaches the script as U+FFFD
	Locals     Value  // an object, or null for none
}

// RequestValue returns r as an argument of a call. Nothing is encoded until
// the script reads it.
func RequestValue(r *Request) Value { return Value{kind: isTree, tree: r} }

// AsRequest returns the request that v holds, as the struct it was made of or
// decoded from its JSON form.
func AsRequest(v Value) (*Request, bool) {
	if v.kind == isTree {
		r, ok := v.tree.(*Request)
		return r, ok && r != nil
	}
	if tag, ok := taggedText(v.text); !ok || tag != "request" {
		return nil, false
	}
	r := new(Request)
	if r.UnmarshalJSON(v.text) != nil {
		return nil, false
	}
	return r, true
}

// MarshalJSON returns the tagged JSON form: the members of docs/javascript.md
// with queryAll in place of query and headers as name → list of values.
func (r *Request) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 256+len(r.Body))
	b = append(b, `{"`+Tag+`":"request","method":`...)
	b = AppendString(b, r.Method)
	b = append(b, `,"path":`...)
	b = AppendString(b, r.Path)
	b = append(b, `,"host":`...)
	b = AppendString(b, r.Host)
	b = append(b, `,"remote":`...)
	b = AppendString(b, r.Remote)
	b = append(b, `,"id":`...)
	b = AppendString(b, r.ID)
	b = append(b, `,"generation":`...)
	b = strconv.AppendInt(b, int64(r.Generation), 10)
	b = append(b, `,"params":`...)
	b = appendStringMap(b, r.Params)
	b = append(b, `,"queryAll":`...)
	b = appendLists(b, r.Query)
	b = append(b, `,"headers":`...)
	b = appendLists(b, r.Header)
	b = append(b, `,"body":`...)
	b = AppendString(b, string(r.Body))
	locals, err := r.Locals.Text()
	if err != nil {
		return nil, err
	}
	b = append(b, `,"locals":`...)
	b = append(b, locals...)
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Request) UnmarshalJSON(text []byte) error {
	var w struct {
		Method, Path, Host, Remote, ID string
		Generation                     int
		Params                         map[string]string
		QueryAll                       url.Values
		Headers                        http.Header
		Body                           string
		Locals                         Value
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	*r = Request{Method: w.Method, Path: w.Path, Host: w.Host, Remote: w.Remote, ID: w.ID, Generation: w.Generation,
		Params: w.Params, Query: w.QueryAll, Header: w.Headers, Body: []byte(w.Body), Locals: w.Locals}
	return nil
}

// A Part is a piece of a request that an engine hands over on demand.
type Part string

// The parts of a request.
const (
	PartHead     Part = "head"     // list: method, path, host, remote, id, generation
	PartParams   Part = "params"   // object
	PartQuery    Part = "query"    // object: name → first value
	PartQueryAll Part = "queryAll" // object: name → list
	PartHeaders  Part = "headers"  // object: lower-case name → values joined by ", "
	PartCookies  Part = "cookies"  // object: name → first value
	PartLocals   Part = "locals"   // object
)

// AppendPart appends one part of r as JSON; an unknown part is null.
func (r *Request) AppendPart(b []byte, p Part) ([]byte, error) {
	switch p {
	case PartHead:
		b = append(b, '[')
		for _, s := range [...]string{r.Method, r.Path, r.Host, r.Remote, r.ID} {
			b = append(AppendString(b, s), ',')
		}
		b = strconv.AppendInt(b, int64(r.Generation), 10)
		return append(b, ']'), nil
	case PartParams:
		return appendStringMap(b, r.Params), nil
	case PartQuery:
		return appendObject(b, r.Query, func(b []byte, _ string, v []string) []byte {
			return AppendString(b, first(v))
		}), nil
	case PartQueryAll:
		return appendLists(b, r.Query), nil
	case PartHeaders:
		lower := make(map[string][]string, len(r.Header))
		for k, v := range r.Header {
			k = strings.ToLower(k)
			lower[k] = append(lower[k][:len(lower[k]):len(lower[k])], v...)
		}
		return appendObject(b, lower, func(b []byte, _ string, v []string) []byte {
			return AppendString(b, strings.Join(v, ", "))
		}), nil
	case PartCookies:
		cookies := make(map[string]string)
		for _, c := range (&http.Request{Header: r.Header}).Cookies() {
			if _, ok := cookies[c.Name]; !ok {
				cookies[c.Name] = c.Value
			}
		}
		return appendStringMap(b, cookies), nil
	case PartLocals:
		if r.Locals.IsNull() {
			return append(b, "{}"...), nil
		}
		text, err := r.Locals.Text()
		return append(b, text...), err
	}
	return append(b, "null"...), nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func appendStringMap(b []byte, m map[string]string) []byte {
	return appendObject(b, m, func(b []byte, _ string, v string) []byte { return AppendString(b, v) })
}

func appendLists(b []byte, m map[string][]string) []byte {
	return appendObject(b, m, func(b []byte, _ string, list []string) []byte {
		b = append(b, '[')
		for i, v := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendString(b, v)
		}
		return append(b, ']')
	})
}

// appendObject appends m with sorted keys, so that equal data has equal text.
func appendObject[V any](b []byte, m map[string]V, value func([]byte, string, V) []byte) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendString(b, k), ':')
		b = value(b, k, m[k])
	}
	return append(b, '}')
}

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[start:i]...)
			b = append(b, "\ufffd"...)
			start = i + n
		}
		i += n
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// A Response is a script's answer that is more than data.
type Response struct {
	Status  int
	Headers map[string][]string // lower-case names
	Body    []byte
	HasBody bool   // false: no body at all
	Error   string // the message of a thrown HttpError; empty for a returned response
}

// AsResponse returns the response that a call returned, if it is one.
func AsResponse(v Value) (Response, bool) {
	if v.kind != isText {
		return Response{}, false
	}
	if tag, ok := taggedText(v.text); !ok || tag != "response" {
		return Response{}, false
	}
	var w struct {
		Status  int
		Headers map[string]headerValues
		Body    *string
		Error   string
	}
	if json.Unmarshal(v.text, &w) != nil {
		return Response{}, false
	}
	r := Response{Status: w.Status, Headers: plainHeaders(w.Headers), Error: w.Error}
	if w.Body != nil {
		r.Body, r.HasBody = []byte(*w.Body), true
	}
	return r, true
}

// A Next is middleware's "go on", with additions.
type Next struct {
	Headers map[string][]string // lower-case names, added to the response
	Locals  Value               // an object whose members are added to req.locals, or null
}

// AsNext returns the next() that a call returned, if it is one.
func AsNext(v Value) (Next, bool) {
	if v.kind != isText {
		return Next{}, false
	}
	if tag, ok := taggedText(v.text); !ok || tag != "next" {
		return Next{}, false
	}
	var w struct {
		Headers map[string]headerValues
		Locals  Value
	}
	if json.Unmarshal(v.text, &w) != nil {
		return Next{}, false
	}
	return Next{Headers: plainHeaders(w.Headers), Locals: w.Locals}, true
}

// headerValues is one value or a list of them.
type headerValues []string

func (h *headerValues) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		var s string
		err := json.Unmarshal(text, &s)
		*h = headerValues{s}
		return err
	}
	return json.Unmarshal(text, (*[]string)(h))
}

func plainHeaders(in map[string]headerValues) map[string][]string {
	out := make(map[string][]string, len(in))
	for k, v := range in {
		out[k] = v
	}
	return out
}
