package workflow

import (
	"sync"

	"github.com/invopop/jsonschema"

	"github.com/theseus-run/theseus/internal/schema"
)

// JSONSchema describes a list of names, or one.
func (Names) JSONSchema() *jsonschema.Schema {
	name := &jsonschema.Schema{Type: "string"}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{name, {Type: "array", Items: name}}}
}

// JSONSchemaExtend adds what field tags can't say.
func (Spec) JSONSchemaExtend(s *jsonschema.Schema) {
	steps, ok := s.Properties.Get("steps")
	if !ok {
		return
	}
	least, most := uint64(1), uint64(maxSteps)
	steps.MinProperties, steps.MaxProperties = &least, &most
	steps.PropertyNames = &jsonschema.Schema{Pattern: stepName.String()}
}

// SchemaID names the schema of workflows.
const SchemaID = "https://theseus.run/schema/workflow.json"

// Schema returns the JSON Schema of workflows/*.yaml. It must not be changed.
func Schema() []byte {
	text, err := schemaJSON()
	if err != nil {
		panic(err) // one of our own types has no schema
	}
	return text
}

// The schema is made once, when it is first needed.
var schemaJSON = sync.OnceValues(func() ([]byte, error) { return schema.Generate(&Spec{}, SchemaID, "workflow") })
