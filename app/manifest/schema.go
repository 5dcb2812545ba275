package manifest

import (
	"sync"

	"github.com/invopop/jsonschema"

	"github.com/theseus-run/theseus/internal/schema"
)

// The identities of the schemas, as editors see them.
const (
	SchemaID     = "https://theseus.run/schema/app.json"
	TestSchemaID = "https://theseus.run/schema/tests.json"
)

// Schema returns the JSON Schema of theseus.yaml. It must not be changed.
func Schema() []byte { return mustBytes(manifestJSON()) }

// TestSchema returns the JSON Schema of tests/*.yaml. It must not be changed.
func TestSchema() []byte { return mustBytes(testsJSON()) }

// Each schema is made once, when it is first needed.
var (
	manifestJSON = sync.OnceValues(func() ([]byte, error) { return schema.Generate(Manifest{}, SchemaID, "theseus.yaml") })
	testsJSON    = sync.OnceValues(func() ([]byte, error) { return schema.Generate(TestFile{}, TestSchemaID, "tests of an app") })

	manifestSchema = sync.OnceValues(func() (*schema.Schema, error) { return schema.Compile("app.json", Schema()) })
	testsSchema    = sync.OnceValues(func() (*schema.Schema, error) { return schema.Compile("tests.json", TestSchema()) })
)

// mustBytes panics when one of our own types has no schema.
func mustBytes(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// JSONSchema describes the two forms of a route.
func (Routes) JSONSchema() *jsonschema.Schema {
	file := &jsonschema.Schema{Type: "string", Description: "A handler or a workflow; a folder ending in / for static files."}
	return &jsonschema.Schema{Type: "object", Description: `Write one a line, such as "GET /: handlers/home.js".`,
		AdditionalProperties: &jsonschema.Schema{Description: "Write a file, such as handlers/home.js, or { run: …, stream: … }.", AnyOf: []*jsonschema.Schema{file, schema.Inline(Route{})}}}
}

// JSONSchema describes the map of jobs.
func (Jobs) JSONSchema() *jsonschema.Schema {
	job := schema.Inline(Job{})
	job.Description = "Write { every: 5s, run: jobs/file.js }, or cron: instead of every:."
	job.OneOf = []*jsonschema.Schema{{Required: []string{"every"}}, {Required: []string{"cron"}}}
	return &jsonschema.Schema{Type: "object", AdditionalProperties: job,
		Description: `Write one a line, such as "restock: { every: 5s, run: jobs/restock.js }".`}
}
