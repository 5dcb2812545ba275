package script

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"unicode/utf8"
)

func TestRequestRoundTrip(t *testing.T) {
	in := &Request{Method: "POST", Path: "/p\"\u2028", Host: "h", Remote: "r", ID: "i", Generation: 3, Params: map[string]string{"id": "7"},
		Query: url.Values{"q": {"1", "2"}}, Header: http.Header{"Cookie": {"a=b"}, "X": {"1", "2"}}, Body: []byte("b\x00\n"), Locals: Of(map[string]any{"u": 1})}
	text, err := RequestValue(in).Text()
	if err != nil || !json.Valid(text) {
		t.Fatalf("%s %v", text, err)
	}
	if tag, ok := Tagged(RequestValue(in)); !ok || tag != "request" {
		t.Errorf("Tagged(struct) = %q %v", tag, ok)
	}
	out, ok := AsRequest(JSON(text))
	if !ok {
		t.Fatalf("AsRequest(%s)", text)
	}
	locals, _ := out.Locals.Text()
	out.Locals, in.Locals = Value{}, Value{}
	if !reflect.DeepEqual(in, out) || string(locals) != `{"u":1}` {
		t.Errorf("got %+v, locals %s, want %+v", out, locals, in)
	}
	if same, ok := AsRequest(RequestValue(in)); !ok || same != in {
		t.Error("AsRequest does not return the struct")
	}
	nested, err := Of(map[string]any{"req": RequestValue(in)}).Text()
	if err != nil || !json.Valid(nested) {
		t.Errorf("nested: %s %v", nested, err)
	}
}

func TestRequestParts(t *testing.T) {
	r := &Request{Method: "GET", Path: "/", Header: http.Header{"X-A": {"1", "2"}, "Cookie": {"a=1; b=2", "a=3"}}, Query: url.Values{"q": {"x", "y"}, "e": {}}}
	for part, want := range map[Part]string{
		PartHead: `["GET","/","","","",0]`, PartParams: `{}`, PartQuery: `{"e":"","q":"x"}`, PartQueryAll: `{"e":[],"q":["x","y"]}`,
		PartHeaders: `{"cookie":"a=1; b=2, a=3","x-a":"1, 2"}`, PartCookies: `{"a":"1","b":"2"}`, PartLocals: `{}`, "other": `null`,
	} {
		if got, err := r.AppendPart(nil, part); err != nil || string(got) != want {
			t.Errorf("%s = %s %v, want %s", part, got, err, want)
		}
	}
}

func TestAsResponse(t *testing.T) {
	r, ok := AsResponse(JSON([]byte(`{"$theseus":"response","status":201,"headers":{"a":"b","set-cookie":["x","y"]},"body":"é"}`)))
	want := Response{Status: 201, Headers: map[string][]string{"a": {"b"}, "set-cookie": {"x", "y"}}, Body: []byte("é"), HasBody: true}
	if !ok || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v %v, want %+v", r, ok, want)
	}
	if r, ok := AsResponse(JSON([]byte(`{"$theseus":"response","status":404,"error":"gone","headers":{},"body":null}`))); !ok || r.HasBody || r.Error != "gone" {
		t.Errorf("%+v %v", r, ok)
	}
	n, ok := AsNext(JSON([]byte(`{"$theseus":"next","headers":{"a":"b"},"locals":{"x":1}}`)))
	if locals, _ := n.Locals.Text(); !ok || n.Headers["a"][0] != "b" || string(locals) != `{"x":1}` {
		t.Errorf("%+v %v", n, ok)
	}
	if n, ok := AsNext(JSON([]byte(`{"$theseus":"next","headers":{},"locals":null}`))); !ok || !n.Locals.IsNull() {
		t.Errorf("%+v %v", n, ok)
	}
	for _, text := range []string{`{}`, `null`, `"{\"$theseus\":\"response\"}"`, `{"status":200}`, `{"a":1,"$theseus":"response"}`, `{"$theseus":"next"}`, `{"$theseus":"response","status":"x"}`, `{"$theseus":"`, `[]`} {
		if r, ok := AsResponse(JSON([]byte(text))); ok {
			t.Errorf("AsResponse(%s) = %+v", text, r)
		}
	}
	if _, ok := AsResponse(Of(map[string]any{Tag: "response"})); ok {
		t.Error("a Go tree is not a script's response")
	}
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{"", "plain", "é\u2028\U0001F600", "\"\\\n\r\t\x00\x1f\x7f", "</script>"} {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil || back != s {
			t.Errorf("AppendString(%q) = %s: %q %v", s, AppendString(nil, s), back, err)
		}
	}
	if got := string(AppendString(nil, "a\xffb\xc3")); got != "\"a\ufffdb\ufffd\"" {
		t.Errorf("invalid UTF-8: %q", got)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"b\\\x00é\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil || utf8.ValidString(s) && back != s {
			t.Errorf("%q: %q %v", s, back, err)
		}
	})
}

func BenchmarkRequestParts(b *testing.B) {
	r := &Request{Method: "GET", Path: "/products/apple", Params: map[string]string{"id": "apple"}}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = r.AppendPart(buf[:0], PartHead)
		buf, _ = r.AppendPart(buf[:0], PartParams)
	}
}
