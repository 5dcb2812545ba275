// Package schema makes JSON Schemas of Go types and validates YAML documents
// with them, pointing at the line and column of every violation.
//
// [Generate] writes a self-contained schema of draft 2020-12 that editors can
// use. [Compile] reads a schema, one of our own or a user's; [Schema.Validate]
// checks a document. A schema may refer to itself only: nothing is fetched. Work
// is bounded by [MaxBytes], [MaxDepth] and [MaxSteps], so that a hostile schema
// is an error and not a hang.
//
// A Schema is safe for concurrent use. Errors are yamldoc.Errors.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"

	gen "github.com/invopop/jsonschema"
)

// The limits of a schema that is compiled.
const (
	MaxBytes = 256 << 10 // of JSON text
	MaxDepth = 64        // nested objects and lists
	MaxSteps = 1_000_000 // subschemas applied to one document
)

// Generate returns the schema of v's type as indented JSON. Properties are named
// by json tags; a field is required unless its tag says omitempty or omitzero.
// The tag jsonschema_description, or the description in a jsonschema tag,
// explains a field. A type may describe itself with a JSONSchema method.
func Generate(v any, id, title string) ([]byte, error) {
	r := gen.Reflector{Anonymous: true, ExpandedStruct: true}
	s := r.Reflect(v)
	s.ID, s.Title = gen.ID(id), title
	var buf bytes.Buffer
	text, err := s.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("generate schema of %s: %w", reflect.TypeOf(v), err)
	}
	if err := indent(&buf, text); err != nil {
		return nil, fmt.Errorf("generate schema of %s: %w", reflect.TypeOf(v), err)
	}
	return buf.Bytes(), nil
}

// Inline returns the schema of v's type without references, for use in a
// JSONSchema method.
func Inline(v any) *gen.Schema {
	r := gen.Reflector{Anonymous: true, DoNotReference: true}
	s := r.Reflect(v)
	s.Version = ""
	return s
}

// A Schema is a compiled JSON Schema.
type Schema struct {
	raw any

	mu       sync.Mutex // one validation at a time counts steps
	steps    *int
	compiled *jsonschema.Schema
}

// location is the base of every schema; nothing is loaded from it.
const location = "schema:///root"

// Compile reads the JSON Schema in src, called name in messages. Drafts 4 to
// 2020-12 are known, the last being the default.
func Compile(name string, src []byte) (*Schema, error) {
	refuse := func(msg, hint string) (*Schema, error) {
		return nil, yamldoc.Errors{{Kind: script.Refused, File: name, Message: msg, Hint: hint}}
	}
	if len(src) > MaxBytes {
		return refuse(fmt.Sprintf("the schema has %d bytes, at most %d are read", len(src), MaxBytes), "make the schema smaller")
	}
	if depth(src) > MaxDepth {
		return refuse(fmt.Sprintf("the schema is nested deeper than %d levels", MaxDepth), "use $defs and $ref")
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	if err != nil {
		return nil, yamldoc.Errors{jsonError(name, src, err)}
	}
	s := &Schema{raw: raw, steps: new(int)}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: "schema:///steps", Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
		return stepper{s.steps}, nil
	}})
	c.AssertVocabs()
	if err := c.AddResource(location, raw); err != nil {
		return refuse("this is not a JSON Schema: "+clean(err), "see json-schema.org for the keywords")
	}
	if s.compiled, err = c.Compile(location); err != nil {
		if _, remote := errors.AsType[*jsonschema.LoadURLError](err); remote {
			return refuse("the schema refers to another file: "+clean(err), "copy what is needed into $defs and refer to it with #/$defs/NAME")
		}
		return refuse("this is not a JSON Schema: "+clean(err), "see json-schema.org for the keywords")
	}
	return s, nil
}

// clean makes a library's message one line without our internal location.
func clean(err error) string {
	msg := strings.ReplaceAll(err.Error(), location+"#", "#")
	msg = strings.ReplaceAll(msg, location, "the schema")
	return strings.Join(strings.Fields(msg), " ")
}

// noLoader refuses references to other documents.
type noLoader struct{}

var errRemote = errors.New("references to other documents are not followed")

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) { return nil, errRemote }

// stepper counts how many subschemas are applied.
type stepper struct{ steps *int }

// tooManySteps is what a stepper panics with.
type tooManySteps struct{}

// Validate implements jsonschema.SchemaExt.
func (s stepper) Validate(*jsonschema.ValidatorContext, any) {
	if *s.steps++; *s.steps > MaxSteps {
		panic(tooManySteps{})
	}
}

// Validate checks doc and returns every violation with its place.
func (s *Schema) Validate(doc *yamldoc.Doc) error {
	err := s.run(doc.Any())
	if err == nil {
		return nil
	}
	ve, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return yamldoc.Errors{doc.Problem(script.Refused, err.Error(), "simplify the schema")}
	}
	r := reporter{schema: s, doc: doc, seen: map[string]bool{}}
	r.report(ve)
	return r.errs.Err()
}

// run validates plain data within the budget of steps.
func (s *Schema) run(v any) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.steps = 0
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(tooManySteps); !ok {
				panic(p)
			}
			err = fmt.Errorf("checking the schema takes more than %d steps", MaxSteps)
		}
	}()
	return s.compiled.Validate(v)
}
