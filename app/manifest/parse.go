package manifest

import (
	"fmt"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// Parse reads the manifest in src, called name in messages. References such as
// ${NAME} are replaced by what lookup returns (os.LookupEnv in a program), and
// ${file:/path} by the file's text; a nil lookup knows no name. All mistakes are
// returned together.
func Parse(name string, src []byte, lookup func(name string) (string, bool)) (*Manifest, error) {
	doc, err := yamldoc.Parse(name, src)
	if err != nil {
		return nil, err
	}
	const hint = "it needs at least app, api and routes; theseus new writes an example"
	if len(src) == 0 || doc.Empty() || doc.Root().IsNull() {
		what := "the manifest has no content besides comments"
		if len(src) == 0 {
			what = "the manifest is empty"
		}
		return nil, yamldoc.Errors{{Kind: script.Refused, File: name, Message: what, Hint: hint}}
	}
	if doc.Root().Kind() != yamldoc.Map {
		return nil, yamldoc.Errors{doc.Problem(script.Refused, "the manifest is not a map of keys", hint)}
	}
	if err := doc.Substitute(lookup, yamldoc.ReadFile); err != nil {
		return nil, err
	}
	valid, err := manifestSchema()
	if err != nil {
		return nil, err
	}
	if err := valid.Validate(doc); err != nil {
		return nil, err
	}
	m := &Manifest{doc: doc}
	if err := doc.Decode(m); err != nil {
		return nil, err
	}
	m.fill()
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// UnmarshalYAML reads the map of routes in its order.
func (r *Routes) UnmarshalYAML(n *yamldoc.Node) error {
	var errs yamldoc.Errors
	list, err := entries(n, `write "METHOD /path: handlers/file.js", one a line`)
	if err != nil {
		return err
	}
	for _, e := range list {
		route := Route{Pattern: e.Key.Text(), Line: e.Key.Line(), Column: e.Key.Column()}
		switch e.Value.Kind() {
		case yamldoc.String:
			route.Run = e.Value.Text()
		case yamldoc.Map:
			if err := e.Value.Decode(&route); err != nil {
				errs = append(errs, yamldoc.Flatten("", err)...)
				continue
			}
		default:
			errs = append(errs, unfit(e.Value, fmt.Sprintf("route %q", route.Pattern), "write the file, such as handlers/home.js, or { run: …, stream: … }"))
			continue
		}
		*r = append(*r, route)
	}
	return errs.Err()
}

// UnmarshalYAML reads the map of jobs in its order.
func (j *Jobs) UnmarshalYAML(n *yamldoc.Node) error {
	var errs yamldoc.Errors
	list, err := entries(n, `write "name: { every: 5s, run: jobs/file.js }", one a line`)
	if err != nil {
		return err
	}
	for _, e := range list {
		job := Job{Name: e.Key.Text(), Line: e.Key.Line(), Column: e.Key.Column()}
		if e.Value.Kind() != yamldoc.Map {
			errs = append(errs, unfit(e.Value, "job "+job.Name, "write { every: 5s, run: jobs/file.js }"))
			continue
		}
		if err := e.Value.Decode(&job); err != nil {
			errs = append(errs, yamldoc.Flatten("", err)...)
			continue
		}
		*j = append(*j, job)
	}
	return errs.Err()
}

// entries returns the entries of a map; null has none.
func entries(n *yamldoc.Node, hint string) ([]yamldoc.Entry, error) {
	if !n.IsNull() && n.Kind() != yamldoc.Map {
		return nil, n.Problem(script.Refused, "want a map, got "+n.Describe(), hint)
	}
	return n.Entries(), nil
}

func unfit(n *yamldoc.Node, what, hint string) *script.Error {
	if n.IsNull() {
		return n.Problem(script.Refused, what+" has no value", hint)
	}
	return n.Problem(script.Refused, what+": want a file or a map, got "+n.Describe(), hint)
}
