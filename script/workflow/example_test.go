package workflow_test

import (
	"context"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/workflow"
)

func Example() {
	files := fstest.MapFS{"workflows/order.yaml": {Data: []byte(`
input: { sku: string, qty: int }
steps:
  price: { run: handlers/price.js, with: { id: "${{ input.sku }}" } }
  total: { run: handlers/total.js, with: { sum: "${{ steps.price.each * input.qty }}" } }
output: { pay: "${{ steps.total.sum | round(2) }}" }
`)}}
	unit, err := workflow.New().Compile(context.Background(), files, "workflows/order.yaml", script.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unit.Close()

	// The host runs the units that steps name.
	host := script.HostFunc(func(_ context.Context, capability string, args []script.Value) (script.Value, error) {
		if args[0].Tree() == "handlers/price.js" {
			return script.JSON([]byte(`{"each": 1.25}`)), nil
		}
		return args[1], nil
	})
	ctx := workflow.WithObserver(context.Background(), printer{})
	out, err := unit.Execute(ctx, script.Call{Host: host, Args: []script.Value{script.JSON([]byte(`{"sku": "apple", "qty": 3}`))}})
	fmt.Println(out, err)
	// Output:
	// price running
	// price ok
	// total running
	// total ok
	// {"pay":3.75} <nil>
}

type printer struct{}

func (printer) Step(name, status string, _ int, _ error, _ time.Duration) { fmt.Println(name, status) }
