package schema

import (
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// A reporter turns the validator's tree of failures into a list of errors.
type reporter struct {
	schema *Schema
	doc    *yamldoc.Doc
	errs   yamldoc.Errors
	seen   map[string]bool
}

func (r *reporter) add(e *script.Error) {
	if key := e.Error(); !r.seen[key] {
		r.seen[key] = true
		r.errs = append(r.errs, e)
	}
}

// value reports a problem with the value at a path, key one with its key.
func (r *reporter) value(path []string, hint, format string, args ...any) {
	r.add(r.doc.Problem(script.Refused, fmt.Sprintf(format, args...), hint, path...))
}

func (r *reporter) key(path []string, hint, format string, args ...any) {
	r.add(r.doc.KeyProblem(script.Refused, fmt.Sprintf(format, args...), hint, path...))
}

// report adds what e and its causes say.
func (r *reporter) report(e *jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf:
		r.choice(e)
		return
	case *kind.OneOf:
		if r.exclusive(e) {
			return
		}
		if len(e.Causes) > 0 {
			r.choice(e)
			return
		}
	}
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			r.report(c)
		}
		return
	}
	r.leaf(e)
}

// choice reports the branch of anyOf or oneOf that was most likely meant: one
// that wants this kind of value. Without such a branch it tells what is wanted.
func (r *reporter) choice(e *jsonschema.ValidationError) {
	var fits []*jsonschema.ValidationError
	var want []string
	for _, c := range e.Causes {
		if t := wrongType(c, len(e.InstanceLocation)); t != nil {
			for _, w := range t.Want {
				if w = typeName(w); !slices.Contains(want, w) {
					want = append(want, w)
				}
			}
			continue
		}
		fits = append(fits, c)
	}
	if len(fits) == 0 {
		r.wrong(e, strings.Join(want, " or "))
		return
	}
	best := slices.MinFunc(fits, func(a, b *jsonschema.ValidationError) int { return failures(a) - failures(b) })
	r.report(best)
}

// exclusive reports a oneOf whose branches only name required keys: the object
// has several of them, or none. It reports whether e is such a oneOf.
func (r *reporter) exclusive(e *jsonschema.ValidationError) bool {
	branches, _ := r.subschema(e)["oneOf"].([]any)
	var keys, present []string
	for _, b := range branches {
		obj, _ := b.(map[string]any)
		required, _ := obj["required"].([]any)
		if len(obj) != 1 || len(required) != 1 {
			return false
		}
		keys = append(keys, fmt.Sprint(required[0]))
		if k := fmt.Sprint(required[0]); r.doc.Find(slices.Concat(e.InstanceLocation, []string{k})...) != nil {
			present = append(present, k)
		}
	}
	if len(present) > 0 {
		r.key(slices.Concat(e.InstanceLocation, present[len(present)-1:]), "keep one of them", "%s exclude each other%s", strings.Join(present, " and "), inside(e.InstanceLocation))
	} else {
		r.key(e.InstanceLocation, "add one of them", "%s is missing%s", strings.Join(keys, " or "), inside(e.InstanceLocation))
	}
	return true
}

// wrongType returns the failure that the whole value, at depth, has another type.
func wrongType(e *jsonschema.ValidationError, depth int) *kind.Type {
	if t, ok := e.ErrorKind.(*kind.Type); ok && len(e.InstanceLocation) == depth {
		return t
	}
	if len(e.Causes) == 1 {
		return wrongType(e.Causes[0], depth)
	}
	return nil
}

// failures counts the leaves below e.
func failures(e *jsonschema.ValidationError) (n int) {
	if len(e.Causes) == 0 {
		return 1
	}
	for _, c := range e.Causes {
		n += failures(c)
	}
	return n
}

func (r *reporter) wrong(e *jsonschema.ValidationError, want string) {
	n := r.doc.Find(e.InstanceLocation...)
	if n == nil {
		n = r.doc.Root()
	}
	hint := r.description(e)
	if like := r.examples(e); like != "" {
		hint = like
	} else if want == typeName("string") && (n.Kind() == yamldoc.Number || n.Kind() == yamldoc.Bool) {
		hint = fmt.Sprintf("put it in quotes: %q", n.Text())
	}
	r.value(e.InstanceLocation, hint, "want %s, got %s", want, n.Describe())
}

// leaf reports one failure.
func (r *reporter) leaf(e *jsonschema.ValidationError) {
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := r.known(e)
		for _, p := range k.Properties {
			r.key(slices.Concat(at, []string{p}), yamldoc.DidYouMean(p, known), "unknown key %q", p)
		}
	case *kind.Required:
		for _, p := range k.Missing {
			r.key(at, r.describe(e, p), "key %q is missing%s", p, inside(at))
		}
	case *kind.Type:
		var want []string
		for _, w := range k.Want {
			want = append(want, typeName(w))
		}
		r.wrong(e, strings.Join(want, " or "))
	case *kind.Enum:
		r.value(at, oneOf(r.show(at), k.Want), "%s is not one of the known values", r.show(at))
	case *kind.Const:
		r.value(at, fmt.Sprintf("write %v", k.Want), "%s is not %v", r.show(at), k.Want)
	case *kind.Pattern:
		if title := r.title(e); title != "" {
			h := r.examples(e)
			if h == "" {
				h = r.description(e)
			}
			r.value(at, h, "%s is not a %s", r.show(at), title)
			return
		}
		hint := r.description(e)
		if hint == "" {
			hint = "it must match " + k.Want
		}
		r.value(at, hint, "%s does not have the right form", r.show(at))
	case *kind.Format:
		r.value(at, r.description(e), "%s is not a valid %s", r.show(at), k.Want)
	case *kind.Minimum:
		r.value(at, "use at least "+number(k.Want), "%s is too small", r.show(at))
	case *kind.Maximum:
		r.value(at, "use at most "+number(k.Want), "%s is too large", r.show(at))
	case *kind.ExclusiveMinimum:
		r.value(at, "use more than "+number(k.Want), "%s is too small", r.show(at))
	case *kind.ExclusiveMaximum:
		r.value(at, "use less than "+number(k.Want), "%s is too large", r.show(at))
	case *kind.FalseSchema:
		r.key(at, "remove it", "%s is not allowed here", last(at))
	default:
		r.value(at, r.description(e), "%s", e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	}
}

// subschema returns the part of the schema that failed.
func (r *reporter) subschema(e *jsonschema.ValidationError) map[string]any {
	_, fragment, _ := strings.Cut(e.SchemaURL, "#")
	if p, err := url.PathUnescape(fragment); err == nil {
		fragment = p
	}
	return resolve(r.schema.raw, fragment)
}

// known lists the keys that the failed object schema knows.
func (r *reporter) known(e *jsonschema.ValidationError) (names []string) {
	props, _ := r.subschema(e)["properties"].(map[string]any)
	for name := range props {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// description returns the schema's own words about the failed value.
func (r *reporter) description(e *jsonschema.ValidationError) string {
	text, _ := r.subschema(e)["description"].(string)
	return hint(text)
}

// examples returns the schema's textual examples as a hint.
func (r *reporter) examples(e *jsonschema.ValidationError) string {
	list, _ := r.subschema(e)["examples"].([]any)
	var texts []string
	for _, x := range list {
		if s, ok := x.(string); ok {
			texts = append(texts, s)
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "write it like " + strings.Join(texts, ", ")
}

// title returns what the failed value is called in the schema.
func (r *reporter) title(e *jsonschema.ValidationError) string {
	text, _ := r.subschema(e)["title"].(string)
	return text
}

// describe returns the description of a property of the failed object.
func (r *reporter) describe(e *jsonschema.ValidationError, property string) string {
	props, _ := r.subschema(e)["properties"].(map[string]any)
	prop, _ := props[property].(map[string]any)
	text, _ := prop["description"].(string)
	return hint(text)
}

// hint makes a description fit behind "hint:".
func hint(text string) string {
	text = strings.TrimSuffix(text, ".")
	if len(text) > 1 && text[1] >= 'a' && text[1] <= 'z' || strings.HasPrefix(text, "A ") {
		text = strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

// show quotes the value at a path.
func (r *reporter) show(path []string) string {
	if n := r.doc.Find(path...); n != nil {
		return n.Show()
	}
	return "the value"
}

func inside(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " in " + last(path)
}

// last names the end of a path, with its list when it is an index.
func last(path []string) string {
	if len(path) == 0 {
		return "the document"
	}
	p := path[len(path)-1]
	if strings.Trim(p, "0123456789") == "" && len(path) > 1 {
		return fmt.Sprintf("%s[%s]", path[len(path)-2], p)
	}
	return p
}

// oneOf returns the hint for a value that is none of want.
func oneOf(shown string, want []any) string {
	var known []string
	for _, w := range want {
		known = append(known, fmt.Sprint(w))
	}
	return yamldoc.DidYouMean(strings.Trim(shown, `"`), known)
}

// typeName names a JSON type the way yamldoc does.
func typeName(t string) string {
	switch t {
	case "object":
		return "a map"
	case "array":
		return "a list"
	case "string":
		return "a string"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	}
	return t
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}
