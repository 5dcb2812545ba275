package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/engines"
)

func newCheck(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "check [DIR|FILE]",
		Aliases: []string{"validate", "lint"},
		Short:   "Check an app and run its tests without serving it",
		Long: `Check builds the app in DIR (default "."), or a single script, as run would, and
runs the tests in its tests/ in process. Nothing is served, stored or fetched.
It tells every problem it finds, and ends with status 3 when there is one.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			start := time.Now()
			r := struct {
				OK         bool          `json:"ok"`
				Tests      int           `json:"tests"`
				Warnings   []app.Problem `json:"warnings"`
				Problems   []app.Problem `json:"problems"`
				DurationMS int64         `json:"duration_ms"`
			}{Warnings: []app.Problem{}, Problems: []app.Problem{}}
			tests, warnings, problems := app.Check(c.Context(), dirArg(args), app.Options{Engines: engines.All()})
			r.OK, r.Tests, r.DurationMS = len(problems) == 0, tests, time.Since(start).Milliseconds()
			r.Warnings, r.Problems = append(r.Warnings, warnings...), append(r.Problems, problems...)
			if asJSON {
				if err := printJSON(e.out, r); err != nil {
					return err
				}
			} else {
				printProblems(e.errOut, "warning", warnings)
				printProblems(e.errOut, "error", problems)
				if r.OK {
					fmt.Fprintf(e.out, "ok: %s passed in %d ms\n", plural(tests, "test"), r.DurationMS)
				}
			}
			if !r.OK {
				return told(ExitRefused)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
