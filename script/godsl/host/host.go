// Package host is what rules see of the program that runs them. A rule in a
// .go file that imports it compiles with the Go toolchain, for gopls, go vet
// and go test; inside the program the same text runs with the engine's own
// package of this name. Make a [Context] for tests with [NewContext].
package host

import "time"

// A Backend is what stands behind a Context in tests with the Go toolchain.
type Backend interface {
	// Call uses a capability, such as "kv.get".
	Call(capability string, args ...any) (any, error)
	Now() time.Time
	Random() float64
}

// A Context is what a rule may reach. The zero Context reaches nothing.
type Context struct{ to Backend }

// NewContext returns a Context on b.
func NewContext(b Backend) Context { return Context{b} }

// An Error says why the host refused a call.
type Error struct{ Message string }

// Error implements error.
func (e *Error) Error() string { return e.Message }

func (c Context) ask(capability string, args ...any) (any, error) {
	if c.to == nil {
		return nil, &Error{capability + ": not available here"}
	}
	return c.to.Call(capability, args...)
}

// Now returns the time that the rule sees, in UTC.
func (c Context) Now() time.Time {
	if c.to == nil {
		return time.Unix(0, 0).UTC()
	}
	return c.to.Now().UTC()
}

// Random returns the next number in [0,1) of the execution's own sequence.
func (c Context) Random() float64 {
	if c.to == nil {
		return 0
	}
	return c.to.Random()
}

// Debug logs for who looks for a fault.
func (c Context) Debug(message string, fields map[string]any) {
	_, _ = c.ask("log.debug", message, fields)
}

// Info logs what happens.
func (c Context) Info(message string, fields map[string]any) {
	_, _ = c.ask("log.info", message, fields)
}

// Warn logs what somebody should know.
func (c Context) Warn(message string, fields map[string]any) {
	_, _ = c.ask("log.warn", message, fields)
}

// Error logs what went wrong.
func (c Context) Error(message string, fields map[string]any) {
	_, _ = c.ask("log.error", message, fields)
}

// Config returns the app's configuration; nil without one.
func (c Context) Config() map[string]any {
	v, _ := c.ask("config.get")
	m, _ := v.(map[string]any)
	return m
}

// Get returns a value of the app's store, nil for none.
func (c Context) Get(key string) (any, error) { return c.ask("kv.get", key) }

// Set stores a value.
func (c Context) Set(key string, value any) error {
	_, err := c.ask("kv.set", key, value)
	return err
}

// SetFor stores a value for a time.
func (c Context) SetFor(key string, value any, ttl time.Duration) error {
	_, err := c.ask("kv.set", key, value, map[string]any{"ttl": float64(ttl / time.Millisecond)})
	return err
}

// Delete removes a value and reports whether it was there.
func (c Context) Delete(key string) (bool, error) {
	v, err := c.ask("kv.delete", key)
	b, _ := v.(bool)
	return b, err
}

// Incr adds to a number and returns the new one.
func (c Context) Incr(key string, by int) (int, error) {
	v, err := c.ask("kv.incr", key, by)
	switch n := v.(type) {
	case int:
		return n, err
	case float64:
		return int(n), err
	}
	return 0, err
}

// CompareAndSet stores value if the store has old, and reports whether it did.
func (c Context) CompareAndSet(key string, old, value any) (bool, error) {
	v, err := c.ask("kv.cas", key, old, value)
	b, _ := v.(bool)
	return b, err
}

// Keys returns the keys that begin with prefix, sorted.
func (c Context) Keys(prefix string) ([]string, error) {
	v, err := c.ask("kv.keys", prefix)
	list, _ := v.([]any)
	var keys []string
	for _, k := range list {
		if s, ok := k.(string); ok {
			keys = append(keys, s)
		}
	}
	return keys, err
}

// Emit publishes to streams of the app.
func (c Context) Emit(topic string, data any) error {
	_, err := c.ask("emit", topic, data)
	return err
}

// Run calls another unit of the app.
func (c Context) Run(unit string, arg any) (any, error) { return c.ask("run", unit, arg) }

// Fetch makes an HTTP request; the result has status, headers and body.
func (c Context) Fetch(url string, options map[string]any) (map[string]any, error) {
	v, err := c.ask("http.fetch", url, options)
	m, _ := v.(map[string]any)
	return m, err
}

// A Request is an HTTP request, read whole.
type Request struct {
	Method string              `json:"method"`
	Path   string              `json:"path"`
	Host   string              `json:"host"`
	Remote string              `json:"remote"`
	ID     string              `json:"id"`
	Params map[string]string   `json:"params"`
	Query  map[string][]string `json:"query"`
	Header map[string][]string `json:"header"`
	Body   string              `json:"body"`
	Locals map[string]any      `json:"locals"`
}

// Param returns a {name} part of the route.
func (r Request) Param(name string) string { return r.Params[name] }

// QueryValue returns the first value of a query parameter.
func (r Request) QueryValue(name string) string { return first(r.Query[name]) }

// HeaderValue returns the first value of a header; name is written as Go
// writes it, such as "Content-Type".
func (r Request) HeaderValue(name string) string { return first(r.Header[name]) }

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// A Response is the answer to a request. Status 0 is 200. A Body that is not
// a string is sent as JSON; nil is no body.
type Response struct {
	Status int               `json:"status"`
	Header map[string]string `json:"headers"`
	Body   any               `json:"body"`
}
