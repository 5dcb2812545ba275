package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/script"
)

// maxFetched bounds the body of an answer to http.fetch, in bytes.
const maxFetched = 4 << 20

// A fetcher makes the HTTP requests of scripts.
type fetcher struct{ client *http.Client }

func newFetcher() *fetcher {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil // a script reaches the origins it was given, not a proxy of the environment
	t.MaxIdleConnsPerHost = 16
	return &fetcher{client: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// close drops idle connections.
func (f *fetcher) close() { f.client.CloseIdleConnections() }

type fetchOptions struct {
	Method  string                  `json:"method"`
	Headers map[string]script.Value `json:"headers"`
	Body    *script.Value           `json:"body"`
	Timeout float64                 `json:"timeout"` // milliseconds
}

// do makes one request if its origin is allowed. Redirects are returned, not
// followed: they could lead to an origin that was not granted.
func (f *fetcher) do(ctx context.Context, allowed []string, args []script.Value) (script.Value, error) {
	target, _ := arg(args, 0).Tree().(string)
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return script.Value{}, badArgs("http.fetch(url): want an absolute http or https URL, got %s", arg(args, 0))
	}
	if origin := u.Scheme + "://" + u.Host; !slices.Contains(allowed, strings.ToLower(origin)) {
		return script.Value{}, &script.Error{Kind: script.Denied, Message: "http.fetch: " + origin + " is not granted",
			Hint: "add it to permissions.http in theseus.yaml"}
	}
	var opt fetchOptions
	if err := arg(args, 1).Decode(&opt); err != nil {
		return script.Value{}, badArgs("http.fetch(url, {method, headers, body, timeout}): %v", err)
	}
	if opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(opt.Timeout*float64(time.Millisecond)))
		defer cancel()
	}
	req, err := opt.request(ctx, u)
	if err != nil {
		return script.Value{}, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		kind := script.Failed
		if errors.Is(err, context.DeadlineExceeded) {
			kind = script.Timeout
		}
		return script.Value{}, &script.Error{Kind: kind, Message: "http.fetch: " + err.Error(), Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched+1))
	if err != nil {
		return script.Value{}, badArgs("http.fetch %s: reading the answer: %v", target, err)
	}
	if len(body) > maxFetched {
		return script.Value{}, badArgs("http.fetch %s: the answer is larger than %d bytes", target, maxFetched)
	}
	return script.Of(map[string]any{"status": resp.StatusCode, "headers": flatHeaders(resp.Header), "body": string(body)}), nil
}

// request builds the request; a body that is not a string is sent as JSON.
func (o fetchOptions) request(ctx context.Context, u *url.URL) (*http.Request, error) {
	var body io.Reader
	contentType := ""
	if o.Body != nil && !o.Body.IsNull() {
		if s, ok := o.Body.Tree().(string); ok {
			body = strings.NewReader(s)
		} else {
			text, err := o.Body.Text()
			if err != nil {
				return nil, badArgs("http.fetch: body: %v", err)
			}
			body, contentType = strings.NewReader(string(text)), "application/json"
		}
	}
	method := strings.ToUpper(o.Method)
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, badArgs("http.fetch: %v", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, v := range o.Headers {
		values := headerValues(v)
		if !validHeader(name, values) {
			return nil, badArgs("http.fetch: header %q is not allowed", name)
		}
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	return req, nil
}

// flatHeaders gives headers as scripts see them: lower-case names, several
// values joined.
func flatHeaders(h http.Header) map[string]any {
	out := make(map[string]any, len(h))
	for k, v := range h {
		out[strings.ToLower(k)] = strings.Join(v, ", ")
	}
	return out
}
