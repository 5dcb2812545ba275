package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/topic"
	"github.com/theseus-run/theseus/script"
)

// testTimeout bounds one request of an app's test.
const testTimeout = 30 * time.Second

// gateTimeout bounds all tests of an app together.
const gateTimeout = 2 * time.Minute

var errGateTimeout = errors.New("the app's tests took longer than " + gateTimeout.String())

// A testFile is one file of tests/, parsed.
type testFile struct {
	name  string
	tests []manifest.Test
}

// testEnvironment is an outside world of a test file's own: empty data, no
// network, nobody listening.
func (g *Generation) testEnvironment() *environment {
	return &environment{work: newBackground(), runs: &runs{}, data: &data{kv: kv.New(kv.Options{}), form: g.form, schemas: g.schemas}, topics: topic.New(topic.Options{}), log: slog.New(slog.DiscardHandler), now: time.Now, test: true}
}

// runTests runs the app's own tests against g, in process. It returns how many
// passed and a problem for each that did not.
func (g *Generation) runTests(ctx context.Context) (int, []Problem) {
	ctx, cancel := context.WithTimeoutCause(ctx, gateTimeout, errGateTimeout)
	defer cancel()
	passed := 0
	var problems []Problem
	for _, file := range g.tests {
		n, found := g.runTestFile(ctx, file)
		if ctx.Err() != nil { // whatever the tests say of it
			return passed, []Problem{{Kind: "interrupted", File: file.name, Message: "the tests were interrupted: " + context.Cause(ctx).Error()}}
		}
		passed += n
		problems = append(problems, found...)
	}
	return passed, problems
}

// runTestFile runs the tests of one file in an environment of their own.
func (g *Generation) runTestFile(ctx context.Context, file testFile) (passed int, problems []Problem) {
	env := g.testEnvironment()
	defer env.topics.Close()
	defer func() { // what a test has left running is not waited for
		ended, end := context.WithCancel(context.Background())
		end()
		env.work.close(ended)
	}()
	for _, t := range file.tests {
		if p := g.runTest(ctx, env, file.name, t); p != nil {
			problems = append(problems, *p)
		} else {
			passed++
		}
		if ctx.Err() != nil {
			break
		}
	}
	return passed, problems
}

// runTest runs one test, the request of its own or its steps in order.
func (g *Generation) runTest(ctx context.Context, env *environment, file string, t manifest.Test) *Problem {
	steps := t.Steps
	if len(steps) == 0 {
		steps = []manifest.TestStep{t.TestStep}
	}
	cookies := map[string]string{}
	for i, step := range steps {
		message := g.runTestStep(ctx, env, step, cookies)
		if message == "" {
			continue
		}
		if len(steps) > 1 {
			message = fmt.Sprintf("step %d (%s): %s", i+1, step.Request, message)
		}
		p := &Problem{Kind: "test", File: file, Line: t.Line, Column: t.Column, Message: t.Name + ": " + message,
			Hint: "the old generation serves on; make the test pass or change what it expects"}
		if f, ok := g.tree.File(file); ok {
			p.Frame = frame(f.Data, t.Line, t.Column)
		}
		return p
	}
	return nil
}

// runTestStep sends one request and returns what differs, "" for nothing.
// Cookies that answers set are sent with later steps of the same test.
func (g *Generation) runTestStep(ctx context.Context, env *environment, step manifest.TestStep, cookies map[string]string) string {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	method, target, _ := strings.Cut(step.Request, " ")
	var body []byte
	contentType := ""
	switch b := step.Body.(type) {
	case nil:
	case string:
		body = []byte(b)
	default:
		text, err := script.Of(b).Text()
		if err != nil {
			return "body: " + err.Error()
		}
		body, contentType = text, "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSpace(target), bytes.NewReader(body))
	if err != nil {
		return "request: " + err.Error()
	}
	r.RemoteAddr, r.Host = "127.0.0.1:1", "test"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, value := range cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for k, v := range step.Headers {
		r.Header.Set(k, v)
	}
	w := &recorder{header: http.Header{}}
	if !g.tryAcquire() {
		return "the generation is closed"
	}
	l := &lease{gen: g}
	l.serve(w, r, env, "test")
	l.release()
	for _, c := range (&http.Response{Header: w.header}).Cookies() {
		cookies[c.Name] = c.Value
	}
	return w.compare(step.Expect)
}

// recorder keeps a response in memory. It is an http.ResponseWriter.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the response's headers.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader notes the status once.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write keeps a part of the body.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush does nothing: the body is in memory.
func (w *recorder) Flush() {}

// compare returns what the response lacks, "" for nothing.
func (w *recorder) compare(want manifest.Expect) string {
	w.WriteHeader(http.StatusOK)
	body := w.body.String()
	switch {
	case want.Status != 0 && want.Status != w.status:
		return fmt.Sprintf("want status %d, got %d%s", want.Status, w.status, excerpt(body))
	case want.Status == 0 && w.status >= 400:
		return fmt.Sprintf("want success, got status %d%s", w.status, excerpt(body))
	}
	for name, value := range want.Headers {
		if got := w.header.Get(name); !strings.Contains(got, value) {
			return fmt.Sprintf("want header %s %q, got %q", strings.ToLower(name), value, got)
		}
	}
	if want.JSON != nil {
		var got any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			return "want JSON, got" + excerpt(body)
		}
		if diff := mismatch("", normalize(want.JSON), got); diff != "" {
			return diff
		}
	}
	if want.Body != nil && *want.Body != body {
		return fmt.Sprintf("want body %q, got %q", *want.Body, body)
	}
	if want.Contains != "" && !strings.Contains(body, want.Contains) {
		return fmt.Sprintf("want a body that contains %q, got%s", want.Contains, excerpt(body))
	}
	return ""
}

func excerpt(body string) string {
	body = strings.TrimSpace(body)
	if body == "" {
		return " (no body)"
	}
	if len(body) > 200 {
		body = body[:200] + "…"
	}
	return ": " + body
}

// normalize turns a YAML value into what encoding/json decodes.
func normalize(v any) any { return script.JSON(must(script.Of(v).Text())).Tree() }

func must(text []byte, err error) []byte {
	if err != nil {
		return []byte("null")
	}
	return text
}

// mismatch returns the first difference between want and got, where objects
// may have more keys than wanted.
func mismatch(at string, want, got any) string {
	name := strings.TrimPrefix(at, ".")
	if name == "" {
		name = "json"
	}
	switch want := want.(type) {
	case map[string]any:
		obj, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("want %s an object, got %s", name, script.Of(got))
		}
		for _, k := range sortedKeys(want) {
			v, ok := obj[k]
			if !ok {
				return fmt.Sprintf("want %s.%s %s, got nothing", name, k, script.Of(want[k]))
			}
			if diff := mismatch(at+"."+k, want[k], v); diff != "" {
				return diff
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("want %s a list of %d, got %s", name, len(want), script.Of(got))
		}
		for i := range want {
			if diff := mismatch(fmt.Sprintf("%s[%d]", at, i), want[i], list[i]); diff != "" {
				return diff
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("want %s %s, got %s", name, script.Of(want), script.Of(got))
	}
	return ""
}
