package expr_test

import (
	"fmt"

	"github.com/theseus-run/theseus/internal/expr"
)

func ExampleCompile() {
	vars := map[string]any{"payload": map[string]any{"items": []any{3, 1, 2}}}
	for _, src := range []string{".payload.items | length > 2", "payload.customer.name | default('guest')", "payload.total > 10"} {
		p, err := expr.Compile(src, expr.Options{Vars: []string{"payload"}})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(p.Eval(vars))
	}
	// Output:
	// true <nil>
	// guest <nil>
	// <nil> can't compare nil > number 10; a missing value is nil, default(x, 0) replaces it
}
