package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/script/workflow"
)

func newSchema(e *env) *cobra.Command {
	kinds := map[string]func() []byte{"app": manifest.Schema, "workflow": workflow.Schema, "tests": manifest.TestSchema}
	return &cobra.Command{
		Use:   "schema app|workflow|tests",
		Short: "Print the JSON Schema of the manifest, of workflows or of tests",
		Long: `Schema prints a JSON Schema (draft 2020-12) that editors can use, generated from
the types that theseus itself reads. ` + "`theseus run`" + ` leaves the same files in
.theseus/schema/.`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"app", "workflow", "tests"},
		RunE: func(_ *cobra.Command, args []string) error {
			text, ok := kinds[args[0]]
			if !ok {
				return failure(ExitUsage, "kinds are app, workflow and tests", "there is no schema %q", args[0])
			}
			_, err := fmt.Fprintf(e.out, "%s\n", text())
			return err
		},
	}
}

func newVersion(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, commit and Go version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Commit  string `json:"commit,omitempty"`
				Time    string `json:"time,omitempty"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{e.build.Version, e.build.Commit, e.build.Time, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if asJSON {
				return printJSON(e.out, v)
			}
			commit := ""
			if v.Commit != "" {
				commit = " " + short(v.Commit)
			}
			_, err := fmt.Fprintf(e.out, "theseus %s%s %s %s/%s\n", v.Version, commit, v.Go, v.OS, v.Arch)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
