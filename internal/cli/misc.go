package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/executable"
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
		Long: `Version prints which binary this is; a plus sign behind the commit stands for
changes that are not in it. With --json it also prints the commit's time, the
SHA-256 of its own file, and its rollback counter where it has one.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				app.Program
				Go   string `json:"go"`
				OS   string `json:"os"`
				Arch string `json:"arch"`
			}{*e.program, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if asJSON {
				var err error
				if v.Digest, err = executable.SelfDigest(); err != nil {
					return err
				}
				return printJSON(e.out, v)
			}
			commit := ""
			if v.Commit != "" {
				commit = " " + short(v.Commit)
			}
			if v.Modified {
				commit += "+"
			}
			_, err := fmt.Fprintf(e.out, "theseus %s%s %s %s/%s\n", v.Version, commit, v.Go, v.OS, v.Arch)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
