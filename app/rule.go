package app

import (
	"net/http"

	"github.com/theseus-run/theseus/internal/expr"
)

// ruleRequest is the hidden variable under which a rule's functions find the request.
const ruleRequest = "$request"

// ruleOptions are what a route's "when" can name.
var ruleOptions = expr.Options{
	Vars: []string{"method", "path", "host"},
	Funcs: []expr.Func{
		requestFunc("header", func(r *http.Request, name string) string { return r.Header.Get(name) }),
		requestFunc("query", func(r *http.Request, name string) string { return r.URL.Query().Get(name) }),
		requestFunc("cookie", func(r *http.Request, name string) string {
			c, err := r.Cookie(name)
			if err != nil {
				return ""
			}
			return c.Value
		}),
	},
}

// requestFunc is a function of one name that reads the request.
func requestFunc(name string, get func(r *http.Request, name string) string) expr.Func {
	return expr.Func{Name: name, Min: 1, Max: 1, Call: func(vars map[string]any, args []any) (any, error) {
		key, ok := args[0].(string)
		if !ok {
			return nil, badArgs("%s(name): want a text", name)
		}
		return get(vars[ruleRequest].(*http.Request), key), nil
	}}
}

// evalRule evaluates a route's "when".
func evalRule(p *expr.Program, r *http.Request) (bool, error) {
	return p.Test(map[string]any{"method": r.Method, "path": r.URL.Path, "host": r.Host, ruleRequest: r})
}
