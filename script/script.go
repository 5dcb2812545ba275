// Package script is the contract between the executor and its engines.
//
// An [Engine] turns source text into an immutable [Unit]; a unit runs on data
// that is copied in and out ([Value]) and reaches nothing but the functions of
// the [Host] it is called with. Engines live in packages of their own
// (script/js, script/workflow); adding one is a package and a line in
// internal/engines.
//
// Start with [Set.Compile]. A Unit may be executed from any number of
// goroutines. All errors of this contract are, or wrap, an [*Error], whose
// [Kind] says what stopped the script.
package script

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// An Engine compiles source files of one kind. Engines are stateless and safe
// for concurrent use.
type Engine interface {
	// Name is the engine's stable name, such as "js"; it is part of a unit's identity.
	Name() string

	// Extensions lists the file extensions the engine owns, with the dot.
	Extensions() []string

	// Enforces reports the limits that this engine holds by itself, in process.
	Enforces() Limit

	// Compile checks the file name in files, and what it imports, and returns it
	// as a unit. It runs nothing of the script but its top level, under limits.
	// The error is an *Error of kind Syntax, Refused or one of the limits.
	Compile(ctx context.Context, files fs.FS, name string, limits Limits) (Unit, error)
}

// A Unit is one compiled entry file with all that it imports. It is immutable:
// executing it changes nothing that another execution can see, except through
// the host.
type Unit interface {
	// Name is the path of the entry file inside the app, slash-separated.
	Name() string

	// Files lists every file that the unit was compiled from, the entry first.
	// While their contents stay equal the unit may be carried over.
	Files() []string

	// Refs lists the other units that this one calls by name, in source order.
	Refs() []Ref

	// Exports lists the names that Call.Func may take, sorted. The default
	// export is "default"; a unit may be without one.
	Exports() []string

	// Execute calls one exported function and returns what it returned. The
	// execution ends when ctx ends, or at the limits given to Compile,
	// whichever is first.
	Execute(ctx context.Context, call Call) (Value, error)

	// Trim gives back resources that are only kept for speed. Executions that
	// are running go on, later ones work.
	Trim()

	// Close releases the unit. Executions that are running finish; later ones
	// fail. Close may be called twice.
	Close()
}

// A Ref is a place in a unit that names another unit.
type Ref struct {
	Name   string // path of the unit that is called
	File   string // where it is named
	Line   int    // 1-based; 0 when unknown
	Column int    // 1-based; 0 when unknown
}

// A Call is one execution of a unit.
type Call struct {
	// Func names the export to call; empty means "default".
	Func string

	// Args are handed to the function in order. They are read-only views: what
	// the script does to them is not seen by the caller.
	Args []Value

	// Host is what the script may reach. Nil grants nothing.
	Host Host
}

// A Host gives a script its capabilities. A capability is a function with a
// dotted name ("kv.get", "log.info"); see [Capabilities] for those that every
// engine offers to its scripts. Call must be safe for concurrent use: a workflow
// calls it for several steps at once. An error of kind Denied says that the
// capability was not granted.
type Host interface {
	Call(ctx context.Context, capability string, args []Value) (Value, error)
}

// Capabilities are the host functions that scripts can name, "object.method".
// An engine offers all of them; the host decides per call what is granted.
var Capabilities = []string{
	"log.debug", "log.info", "log.warn", "log.error", // (message, fields?)
	"config.get",     // () → the app's configuration, an object; engines offer it as the value `config`
	"config.version", // () → a string that changes whenever config.get would
	"kv.get",         // (key) → value or null
	"kv.set",         // (key, value, {ttl: milliseconds}?)
	"kv.delete",      // (key) → whether it was there
	"kv.incr",        // (key, by = 1) → the new number
	"kv.cas",         // (key, old, new) → whether old was there and new is now
	"kv.keys",        // (prefix = "") → sorted keys
	"emit",           // (topic, data): publishes to streams of the app
	"now",            // () → milliseconds since the Unix epoch
	"http.fetch",     // (url, {method, headers, body, timeout}?) → {status, headers, body}
	"run",            // (unit name, argument) → the result of another unit of the same generation
	"sleep",          // (milliseconds)
}

// A HostFunc is an ordinary function used as a [Host].
type HostFunc func(ctx context.Context, capability string, args []Value) (Value, error)

// Call implements [Host].
func (f HostFunc) Call(ctx context.Context, capability string, args []Value) (Value, error) {
	return f(ctx, capability, args)
}

// A Limit is a set of limits.
type Limit uint8

// The limits an engine may enforce.
const (
	LimitTime Limit = 1 << iota
	LimitMemory
	LimitDepth
	LimitOutput
)

// Has reports whether l contains all of other.
func (l Limit) Has(other Limit) bool { return l&other == other }

// String lists the limits, such as "time, memory".
func (l Limit) String() string {
	var names []string
	for i, n := range []string{"time", "memory", "depth", "output"} {
		if l&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

// Limits bound one execution. A zero field takes its value from [DefaultLimits].
type Limits struct {
	Time   time.Duration // wall time of one execution
	Memory int64         // bytes an execution's heap may hold
	Depth  int           // nested calls
	Output int64         // bytes of the returned value as JSON
}

// DefaultLimits are generous for a request handler and small for a server.
var DefaultLimits = Limits{Time: 5 * time.Second, Memory: 64 << 20, Depth: 1000, Output: 8 << 20}

// WithDefaults returns l with zero fields filled from [DefaultLimits].
func (l Limits) WithDefaults() Limits {
	d := DefaultLimits
	if l.Time == 0 {
		l.Time = d.Time
	}
	if l.Memory == 0 {
		l.Memory = d.Memory
	}
	if l.Depth == 0 {
		l.Depth = d.Depth
	}
	if l.Output == 0 {
		l.Output = d.Output
	}
	return l
}

// A Set is the engines a program was built with.
type Set []Engine

// For returns the engine that owns name's extension.
func (s Set) For(name string) (Engine, bool) {
	ext := path.Ext(name)
	for _, e := range s {
		if slices.Contains(e.Extensions(), ext) {
			return e, true
		}
	}
	return nil, false
}

// Compile compiles the file name with the engine that owns its extension.
func (s Set) Compile(ctx context.Context, files fs.FS, name string, limits Limits) (Unit, error) {
	e, ok := s.For(name)
	if !ok {
		return nil, &Error{Kind: Refused, File: name,
			Message: fmt.Sprintf("no engine runs %q files", path.Ext(name)),
			Hint:    "known extensions: " + strings.Join(s.Extensions(), " ")}
	}
	return e.Compile(ctx, files, name, limits.WithDefaults())
}

// Extensions lists every extension of the set, sorted.
func (s Set) Extensions() []string {
	var all []string
	for _, e := range s {
		all = append(all, e.Extensions()...)
	}
	slices.Sort(all)
	return all
}
