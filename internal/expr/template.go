package expr

import (
	"slices"
	"strings"
)

// maxExpressions bounds the expressions of one template.
const maxExpressions = 100

// A Template is text with ${{ expressions }} in it. Text that is exactly one
// expression gives the expression's value, of any type; otherwise the values
// are put into the text, as the function string does it. $${{ is the text ${{.
type Template struct {
	parts []part
}

// A part is text, or an expression when prog is set.
type part struct {
	text string
	prog *Program
}

// ParseTemplate compiles s.
func ParseTemplate(s string, opt Options) (*Template, error) {
	t := &Template{}
	var text strings.Builder
	count, at := 0, 0
	for at < len(s) {
		i := strings.Index(s[at:], "${{")
		if i < 0 {
			break
		}
		if i += at; i > at && s[i-1] == '$' {
			text.WriteString(s[at:i-1] + "${{")
			at = i + len("${{")
			continue
		}
		text.WriteString(s[at:i])
		prog, end, err := compile(s, i+len("${{"), true, &opt)
		if err != nil {
			return nil, err
		}
		if count++; count > maxExpressions {
			return nil, located(s, 0, faultf(i, "more than %d expressions in one text", maxExpressions))
		}
		if text.Len() > 0 {
			t.parts = append(t.parts, part{text: text.String()})
			text.Reset()
		}
		t.parts = append(t.parts, part{prog: prog})
		at = end
	}
	text.WriteString(s[at:])
	if text.Len() > 0 || len(t.parts) == 0 {
		t.parts = append(t.parts, part{text: text.String()})
	}
	return t, nil
}

// Constant returns the text of a template without expressions.
func (t *Template) Constant() (string, bool) {
	if len(t.parts) == 1 && t.parts[0].prog == nil {
		return t.parts[0].text, true
	}
	return "", false
}

// Refs returns the paths of the variables the template reads; see [Program.Refs].
func (t *Template) Refs() [][]string {
	var refs [][]string
	for _, p := range t.parts {
		if p.prog != nil {
			refs = append(refs, p.prog.refs...)
		}
	}
	return slices.Clip(refs)
}

// Eval computes the template.
func (t *Template) Eval(vars map[string]any) (any, error) {
	return t.eval(&state{vars: vars})
}

func (t *Template) eval(s *state) (any, error) {
	if len(t.parts) == 1 {
		if p := t.parts[0]; p.prog != nil {
			return p.prog.run(s)
		}
		return t.parts[0].text, nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.prog == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.prog.run(s)
		if err != nil {
			return nil, err
		}
		text, err := s.text(v)
		if err != nil {
			return nil, p.prog.failed(err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
