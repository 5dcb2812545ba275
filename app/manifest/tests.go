package manifest

import (
	"strings"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// A TestFile is one file of tests/.
type TestFile []Test

// A Test is one request with what is expected, or several in Steps.
type Test struct {
	Name string `json:"name" jsonschema_description:"What the test shows."`
	TestStep
	Steps []TestStep `json:"steps,omitempty" jsonschema_description:"Several requests that belong together, in order; cookies are kept between them."`
}

// A TestStep is one request.
type TestStep struct {
	Request string            `json:"request,omitempty" jsonschema_description:"METHOD /path?query"`
	Headers map[string]string `json:"headers,omitempty" jsonschema_description:"Headers to send."`
	Body    any               `json:"body,omitempty" jsonschema_description:"Text is sent as it is, anything else as JSON."`
	Expect  Expect            `json:"expect,omitzero" jsonschema_description:"What the answer must be."`

	Line   int `json:"-"` // 1-based
	Column int `json:"-"`
}

// Expect is what an answer must be. What is not set is not compared; an unset
// status means any below 400.
type Expect struct {
	Status   int               `json:"status,omitempty" jsonschema:"minimum=100,maximum=599,description=The status; default any below 400."`
	JSON     any               `json:"json,omitempty" jsonschema_description:"Everything in it must be in the answer."`
	Headers  map[string]string `json:"headers,omitempty" jsonschema_description:"Text that the named headers contain."`
	Body     *string           `json:"body,omitempty" jsonschema_description:"The exact body."`
	Contains string            `json:"contains,omitempty" jsonschema_description:"A part of the body."`
}

// ParseTests reads one file of tests/. An empty file has no tests.
func ParseTests(name string, src []byte) (TestFile, error) {
	doc, err := yamldoc.Parse(name, src)
	if err != nil {
		return nil, err
	}
	if doc.Empty() {
		return nil, nil
	}
	valid, err := testsSchema()
	if err != nil {
		return nil, err
	}
	if err := valid.Validate(doc); err != nil {
		return nil, err
	}
	var tests TestFile
	if err := doc.Decode(&tests); err != nil {
		return nil, err
	}
	var errs yamldoc.Errors
	for i, n := range doc.Root().Items() {
		errs = append(errs, tests[i].place(n)...)
	}
	return tests, errs.Err()
}

// place notes where the test stands and checks it.
func (t *Test) place(n *yamldoc.Node) (errs yamldoc.Errors) {
	t.Line, t.Column = n.Line(), n.Column()
	if t.Name == "" {
		errs = append(errs, n.Problem(script.Refused, "the test has no name", "add name: with what the test shows"))
	}
	if len(t.Steps) == 0 {
		return append(errs, t.check(n)...)
	}
	if t.Request != "" || n.Get("expect") != nil || n.Get("body") != nil || n.Get("headers") != nil {
		errs = append(errs, n.Problem(script.Refused, "a test has a request of its own or steps, not both", "move the request into the first step"))
	}
	for i, s := range n.Get("steps").Items() {
		t.Steps[i].Line, t.Steps[i].Column = s.Line(), s.Column()
		errs = append(errs, t.Steps[i].check(s)...)
	}
	return errs
}

// check validates the request line and the expected status.
func (s *TestStep) check(n *yamldoc.Node) (errs yamldoc.Errors) {
	method, target, ok := strings.Cut(s.Request, " ")
	at := n
	if r := n.Get("request"); r != nil {
		at = r
	}
	switch {
	case s.Request == "":
		errs = append(errs, n.Problem(script.Refused, "request is missing", "add request: GET /path"))
	case !ok || method == "" || strings.ToUpper(method) != method || !strings.HasPrefix(strings.TrimSpace(target), "/"):
		errs = append(errs, at.Problem(script.Refused, "request "+at.Show()+" is not METHOD /path", "write it as in GET /products/1?full=1"))
	}
	if st := s.Expect.Status; st != 0 && (st < 100 || st > 599) {
		errs = append(errs, n.Get("expect").Get("status").Problem(script.Refused, "status "+itoa(st)+" is not an HTTP status", "use 100 to 599"))
	}
	return errs
}
