package workflow

import (
	"errors"
	"time"

	"github.com/theseus-run/theseus/internal/yamldoc"
)

// Spec is a workflow file.
type Spec struct {
	Name      string            `json:"name,omitempty" jsonschema_description:"What people call the workflow. Default: the file's name."`
	Version   any               `json:"version,omitempty" jsonschema:"oneof_type=string;number" jsonschema_description:"A label; identity is the content."`
	Input     map[string]string `json:"input,omitempty" jsonschema_description:"Type of each input: string, int, number, bool, object, list or any; a ? behind it makes it optional. Without this key any input is taken."`
	Steps     map[string]*Step  `json:"steps" jsonschema:"required" jsonschema_description:"The steps by name."`
	Output    any               `json:"output,omitempty" jsonschema_description:"The result of a run. Default: the results of all steps by name."`
	OnFailure *Step             `json:"on_failure,omitempty" jsonschema_description:"Runs once when a step has failed. Its argument is {error, steps, input} unless with says otherwise; the run has failed all the same."`
	Timeout   *Duration         `json:"timeout,omitempty" jsonschema:"type=string,example=10m" jsonschema_description:"Bounds the whole run. Default 1h."`
}

// Step is one step. It has exactly one of Run and HTTP.
type Step struct {
	Needs     Names     `json:"needs,omitempty" jsonschema_description:"Steps that have to end before this one."`
	DependsOn Names     `json:"depends_on,omitempty" jsonschema_description:"Another name of needs."`
	If        Condition `json:"if,omitempty" jsonschema:"oneof_type=string;boolean" jsonschema_description:"The step is skipped when this is false. success(), failure() and always() ask how needed steps ended."`
	Run       string    `json:"run,omitempty" jsonschema_description:"A unit of the app, such as handlers/price.js."`
	With      any       `json:"with,omitempty" jsonschema_description:"The argument of the unit. Default: an empty object."`
	HTTP      *HTTP     `json:"http,omitempty" jsonschema_description:"An HTTP request."`
	Retry     *Retry    `json:"retry,omitempty" jsonschema_description:"Tries again after a failure."`
	Timeout   *Duration `json:"timeout,omitempty" jsonschema:"type=string,example=5s" jsonschema_description:"Bounds one try of the step. Default: none for run, 30s for http."`
}

// HTTP is a request. It has exactly one of the methods, whose value is the URL.
type HTTP struct {
	Get     string            `json:"get,omitempty"`
	Head    string            `json:"head,omitempty"`
	Post    string            `json:"post,omitempty"`
	Put     string            `json:"put,omitempty"`
	Patch   string            `json:"patch,omitempty"`
	Delete  string            `json:"delete,omitempty"`
	Query   map[string]any    `json:"query,omitempty" jsonschema_description:"Added to the URL, escaped; null leaves a parameter out."`
	Headers map[string]string `json:"headers,omitempty"`
	JSON    any               `json:"json,omitempty" jsonschema_description:"The body, sent as JSON."`
	Body    string            `json:"body,omitempty" jsonschema_description:"The body, sent as it is."`
	Accept  []int             `json:"accept,omitempty" jsonschema_description:"Statuses from 400 that do not fail the step."`
}

// methods returns the methods that are set with their URLs.
func (h *HTTP) methods() (names, urls []string) {
	for _, m := range []struct{ name, url string }{
		{"get", h.Get}, {"head", h.Head}, {"post", h.Post}, {"put", h.Put}, {"patch", h.Patch}, {"delete", h.Delete},
	} {
		if m.url != "" {
			names, urls = append(names, m.name), append(urls, m.url)
		}
	}
	return names, urls
}

// Retry says how often a step is tried again, and when.
type Retry struct {
	Max        int       `json:"max" jsonschema:"required,minimum=1,maximum=100" jsonschema_description:"Tries after the first one."`
	Backoff    *Duration `json:"backoff,omitempty" jsonschema:"type=string,example=200ms" jsonschema_description:"Wait before the first retry; it doubles from one to the next. Default 1s."`
	MaxBackoff *Duration `json:"max_backoff,omitempty" jsonschema:"type=string,example=30s" jsonschema_description:"Longest wait. Default 30s, or backoff when that is longer."`
}

// The defaults of a Spec.
const (
	defaultTimeout    = time.Hour
	defaultHTTP       = 30 * time.Second
	defaultCleanup    = 30 * time.Second // on_failure
	defaultBackoff    = time.Second
	defaultMaxBackoff = 30 * time.Second
)

// Duration is a time.Duration written as text, such as "5s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("want a duration with a unit, such as 500ms, 5s or 2m")
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// or returns d, or the default when it is not set.
func (d *Duration) or(def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return time.Duration(*d)
}

// Names is a list of names; a single one may stand without brackets.
type Names []string

// UnmarshalYAML implements yamldoc.Unmarshaler.
func (l *Names) UnmarshalYAML(n *yamldoc.Node) error {
	nodes := []*yamldoc.Node{n}
	if n.Kind() == yamldoc.List {
		nodes = n.Items()
	}
	*l = nil
	for _, item := range nodes {
		if item.Kind() != yamldoc.String {
			return item.Problemf("want the name of a step, got %s", item.Show())
		}
		*l = append(*l, item.Text())
	}
	return nil
}

// Condition is an expression, bare or in ${{ … }}; true and false may stand
// without quotes.
type Condition string

// UnmarshalYAML implements yamldoc.Unmarshaler.
func (c *Condition) UnmarshalYAML(n *yamldoc.Node) error {
	if n.Kind() != yamldoc.String && n.Kind() != yamldoc.Bool {
		return n.Problemf("want a condition, got %s", n.Show())
	}
	*c = Condition(n.Text())
	return nil
}
