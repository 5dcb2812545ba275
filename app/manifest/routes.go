package manifest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// routes checks each route by itself, then that they fit together.
func (c *checker) routes() {
	mux := http.NewServeMux()
	var fine []Route
	for _, r := range c.m.Routes {
		if !c.route(r) {
			continue
		}
		if reason := register(http.NewServeMux(), r.Pattern); reason != "" {
			c.fail("patterns are [METHOD ][HOST]/path, with {name} for a part and {name...} for the rest", []string{"routes", r.Pattern}, "route %q: %s", r.Pattern, reason)
			continue
		}
		if register(mux, r.Pattern) != "" {
			c.conflict(fine, r)
			continue
		}
		fine = append(fine, r)
	}
}

// route checks what concerns one route alone. It reports whether its pattern
// can be registered.
func (c *checker) route(r Route) bool {
	at := []string{"routes", r.Pattern}
	method, _, spaced := strings.Cut(strings.TrimSpace(r.Pattern), " ")
	if spaced && method != strings.ToUpper(method) {
		c.fail("write "+strings.ToUpper(method), at, "route %q: methods are upper case", r.Pattern)
		return false
	}
	if !spaced {
		method = ""
	}
	for _, t := range []struct{ name, key string }{{r.Run, "run"}, {r.Else, "else"}} {
		if t.key == "else" && t.name == "" {
			continue
		}
		if !c.target(t.name, true, at...) {
			return true
		}
		if folder := strings.HasSuffix(t.name, "/"); folder && r.Stream != "" {
			c.fail("name a script, or remove stream", at, "route %q: a folder cannot be a stream", r.Pattern)
		} else if folder && method != "" && method != http.MethodGet && method != http.MethodHead {
			c.fail("use GET", at, "route %q: static files answer GET and HEAD only", r.Pattern)
		}
	}
	if r.Stream != "" && r.Stream != StreamSSE && r.Stream != StreamWebSocket {
		c.value(yamldoc.DidYouMean(r.Stream, []string{StreamSSE, StreamWebSocket}), append(at, "stream"), "stream %s is not known", c.show(append(at, "stream")...))
	}
	if r.Else != "" && r.When == "" {
		c.fail(`add when: with a condition, such as header("X-Beta") == "1"`, at, "route %q: else without when", r.Pattern)
	}
	return true
}

// conflict reports the earlier route that r cannot stand beside.
func (c *checker) conflict(earlier []Route, r Route) {
	for _, e := range earlier {
		mux := http.NewServeMux()
		if register(mux, e.Pattern) != "" || register(mux, r.Pattern) == "" {
			continue
		}
		p := c.m.Problem(script.Refused,
			fmt.Sprintf("route %q conflicts with route %q in line %d: some requests match both, and neither is more specific", r.Pattern, e.Pattern, e.Line),
			"remove one of them, or make one of them more specific", "routes", r.Pattern)
		if same(e.Pattern, r.Pattern) {
			p.Message = fmt.Sprintf("route %q matches the same requests as route %q in line %d", r.Pattern, e.Pattern, e.Line)
			p.Hint = "remove one of them"
		}
		p.Frame = c.m.frame(e.Line, e.Column) + p.Frame
		c.errs = append(c.errs, p)
		return
	}
}

// same reports whether two patterns differ in the names of wildcards only.
func same(a, b string) bool {
	mux := http.NewServeMux()
	reason := ""
	if reason = register(mux, a); reason == "" {
		reason = register(mux, b)
	}
	return strings.Contains(reason, "matches the same requests")
}

// register adds a pattern to mux and returns why that is impossible.
func register(mux *http.ServeMux, pattern string) (reason string) {
	defer func() {
		if r := recover(); r != nil {
			reason = fmt.Sprint(r)
			if _, after, ok := strings.Cut(reason, fmt.Sprintf("parsing %q: ", pattern)); ok {
				reason = after
			}
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return ""
}
