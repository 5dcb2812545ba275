// Package manifest reads theseus.yaml, the map of an app, and the tests beside
// it.
//
// [Parse] turns the text into a [Manifest] that is complete and checked: every
// default is filled in, routes register without conflict, schedules are valid.
// What it cannot know is whether the files it names exist; use
// [Manifest.Problem] to point at the place that names a missing one. [Implicit]
// makes the manifest of an app that has none.
//
// A Manifest is immutable once returned and safe for concurrent use. Errors are
// lists of *script.Error (yamldoc.Errors) with position and frame.
package manifest

import (
	"github.com/theseus-run/theseus/internal/codeframe"
	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// File is the name of the manifest in an app's directory.
const File = "theseus.yaml"

// A Manifest is the content of theseus.yaml.
type Manifest struct {
	App         string      `json:"app" jsonschema:"title=name for an app,pattern=^[a-z0-9-]{1\\,63}$" jsonschema_description:"Use 1 to 63 of a-z, 0-9 and -."`
	API         int         `json:"api" jsonschema:"enum=1,description=Write 1: the version of this format."`
	Listen      string      `json:"listen,omitempty" jsonschema:"default=127.0.0.1:8080,description=Where the app is served: host:port or unix:path."`
	Admin       string      `json:"admin,omitempty" jsonschema:"default=127.0.0.1:8081,description=Where the admin listener is: host:port or unix:path or off."`
	Routes      Routes      `json:"routes,omitempty" jsonschema_description:"What answers which request: Go ServeMux patterns such as GET /products/{id}."`
	Use         []string    `json:"use,omitempty" jsonschema:"description=Middleware in the order it runs: access-log and recover are built in and the others are files."`
	Jobs        Jobs        `json:"jobs,omitempty" jsonschema_description:"What runs by itself: by name."`
	Rollout     Rollout     `json:"rollout,omitzero" jsonschema_description:"How new generations are put in place."`
	Limits      Limits      `json:"limits,omitzero" jsonschema_description:"What one execution of a script and one request may use."`
	Permissions Permissions `json:"permissions,omitzero" jsonschema_description:"What scripts may reach outside of the app."`

	doc *yamldoc.Doc // nil for a manifest that was made up
}

// A Route is one line of "routes".
type Route struct {
	Pattern string `json:"-"` // of net/http.ServeMux
	Run     string `json:"run" jsonschema_description:"A handler or a workflow; a folder ending in / for static files."`
	Stream  string `json:"stream,omitempty" jsonschema:"enum=sse,enum=websocket,description=Keep the connection open."`
	When    string `json:"when,omitempty" jsonschema_description:"A condition on the request; run answers when it is true."`
	Else    string `json:"else,omitempty" jsonschema_description:"What answers when the condition is false; default 404."`

	Line   int `json:"-"` // of the pattern; 0 in a made-up manifest
	Column int `json:"-"`
}

// Routes are in the order of the file.
type Routes []Route

// A Job is one line of "jobs". Exactly one of Every and Cron is set.
type Job struct {
	Name    string   `json:"-"`
	Every   Duration `json:"every,omitempty" jsonschema_description:"The interval between two runs."`
	Cron    string   `json:"cron,omitempty" jsonschema_description:"Minute, hour, day of month, month, day of week; or @daily and the like."`
	TZ      string   `json:"tz,omitempty" jsonschema_description:"The time zone of cron, such as Europe/Berlin; default UTC."`
	Run     string   `json:"run" jsonschema_description:"A script or a workflow."`
	Overlap string   `json:"overlap,omitempty" jsonschema:"enum=skip,enum=queue,enum=allow,default=skip,description=What happens when a run is due while the last one still runs."`
	Jitter  Duration `json:"jitter,omitempty" jsonschema_description:"Each run begins up to this much later."`
	Timeout Duration `json:"timeout,omitempty" jsonschema_description:"The longest a run may take; default limits.time."`

	Line   int `json:"-"` // of the name; 0 in a made-up manifest
	Column int `json:"-"`
}

// Jobs are in the order of the file.
type Jobs []Job

// The values of Job.Overlap.
const (
	OverlapSkip  = "skip"  // the tick is dropped and counted
	OverlapQueue = "queue" // it runs afterwards
	OverlapAllow = "allow" // both run
)

// The values of Route.Stream; empty means an ordinary answer.
const (
	StreamSSE       = "sse"
	StreamWebSocket = "websocket"
)

// Rollout says how generations are kept.
type Rollout struct {
	Keep      int      `json:"keep,omitempty" jsonschema:"minimum=1,maximum=1000,default=20,description=Generations kept for rollback."`
	Trial     Duration `json:"trial,omitempty" jsonschema_description:"How long a new generation serves before it counts as proven, 10ms to 24h; default 10s. Until then the one before it is what a restart loads."`
	Counter   int64    `json:"counter,omitempty" jsonschema:"minimum=0,description=Rollback counter, raised by hand when a return to what was before would be harmful. A version with a lower one than another that has proved itself is refused."`
	MaxErrors float64  `json:"max_errors,omitempty" jsonschema:"minimum=0,maximum=1,default=0.5,description=Share of answers with 5xx above which a generation on trial is rolled back once it has given 20."`
	Guards    Guards   `json:"guards,omitzero" jsonschema_description:"What a change waits for before it is written and swapped in. A rollback waits for none of it."`
	Patience  Duration `json:"patience,omitempty" jsonschema_description:"How long a change waits for its guards before it is refused, 10ms to 24h; default 1m."`
}

// Guards are ceilings under which a change goes on; zero is none.
type Guards struct {
	MaxLoad    float64  `json:"max_load,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000,description=Load average of the last minute per processor of the machine below which a change goes on. Linux only."`
	MaxLatency Duration `json:"max_latency,omitempty" jsonschema_description:"99th percentile of the answers of the last ten seconds, of at least 20, below which a change goes on; 1ms to 1h."`
}

// Limits bound scripts and requests. Parse fills every field.
type Limits struct {
	Time   Duration `json:"time,omitempty" jsonschema_description:"Wall time of one execution; default 5s."`
	Memory Size     `json:"memory,omitempty" jsonschema_description:"Memory of one execution; default 64MiB."`
	Depth  int      `json:"depth,omitempty" jsonschema:"minimum=1,maximum=100000,default=1000,description=Nested calls."`
	Output Size     `json:"output,omitempty" jsonschema_description:"Size of a result as JSON; default 8MiB."`
	Body   Size     `json:"body,omitempty" jsonschema_description:"Size of a request's body; default 1MiB."`
	Drain  Duration `json:"drain,omitempty" jsonschema_description:"How long requests may finish when the process ends; default 30s."`
	MaxPin Duration `json:"max_pin,omitempty" jsonschema_description:"How long a stream or a run may hold its generation; default 1h."`
}

// Permissions are what scripts may reach.
type Permissions struct {
	HTTP []string `json:"http,omitempty" jsonschema_description:"Origins that http.fetch may call, such as https://pay.example.com; default none."`
}

// Defaults returns a manifest with every default filled in and no routes.
func Defaults() *Manifest {
	m := &Manifest{App: "app", API: 1}
	m.fill()
	return m
}

// fill sets what the file leaves out.
func (m *Manifest) fill() {
	set(&m.Listen, "127.0.0.1:8080")
	set(&m.Admin, "127.0.0.1:8081")
	set(&m.Rollout.Keep, 20)
	set(&m.Rollout.Trial, Duration(10e9))
	set(&m.Rollout.MaxErrors, 0.5)
	set(&m.Rollout.Patience, Duration(60e9))
	d := script.DefaultLimits
	set(&m.Limits.Time, Duration(d.Time))
	set(&m.Limits.Memory, Size(d.Memory))
	set(&m.Limits.Depth, d.Depth)
	set(&m.Limits.Output, Size(d.Output))
	set(&m.Limits.Body, 1<<20)
	set(&m.Limits.Drain, Duration(30e9))
	set(&m.Limits.MaxPin, Duration(3600e9))
	for i := range m.Jobs {
		set(&m.Jobs[i].Overlap, OverlapSkip)
	}
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// At returns the 1-based line and byte column where path stands in the file: a
// key, or for a list the element with that text, such as At("use", "recover").
// It falls back to the nearest part of the path that exists; 0, 0 when the
// manifest was made up.
func (m *Manifest) At(path ...string) (line, column int) {
	if m.doc == nil {
		return 0, 0
	}
	return m.doc.KeyPosition(m.resolve(path)...)
}

// resolve replaces the texts of list elements in path by their indexes.
func (m *Manifest) resolve(path []string) []string {
	out := make([]string, 0, len(path))
	for _, p := range path {
		if n := m.doc.Find(out...); n != nil && n.Kind() == yamldoc.List {
			for i, item := range n.Items() {
				if item.Text() == p {
					p = itoa(i)
					break
				}
			}
		}
		out = append(out, p)
	}
	return out
}

// Problem returns an error about the place that [Manifest.At] finds.
func (m *Manifest) Problem(kind script.Kind, msg, hint string, path ...string) *script.Error {
	e := &script.Error{Kind: kind, Message: msg, Hint: hint}
	if m.doc == nil {
		return e
	}
	e.File = m.doc.Name()
	e.Line, e.Column = m.At(path...)
	return e.WithFrame(m.doc.Source())
}

// frame returns the source around a line without a note.
func (m *Manifest) frame(line, column int) string {
	return codeframe.Render(m.doc.Source(), line, column, "")
}
