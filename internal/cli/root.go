// Package cli is the command line of theseus: flags, output and exit statuses.
// The work is done by the packages it wires together.
package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app"
)

// Build is what the program knows about itself.
type Build struct {
	Version  string
	Commit   string // the revision that it was built from; empty when that is not known
	Modified bool   // with changes that are not in Commit
	Time     string // of Commit, RFC 3339
	Counter  string // the rollback counter, a decimal number; empty is 0
}

// program is the fingerprint, without the digest.
func (b Build) program() (*app.Program, error) {
	p := &app.Program{Version: b.Version, Commit: b.Commit, Modified: b.Modified}
	p.Time, _ = time.Parse(time.RFC3339, b.Time)
	var err error
	if p.Counter, err = strconv.ParseInt(cmp.Or(b.Counter, "0"), 10, 64); err != nil || p.Counter < 0 {
		return nil, fmt.Errorf("this program was linked with the counter %q, which is no number from 0", b.Counter)
	}
	return p, nil
}

// env is what commands share.
type env struct {
	build       Build
	program     *app.Program
	in          io.Reader
	out, errOut io.Writer
}

// Main runs the command line args and returns the exit status.
func Main(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, build Build) int {
	program, err := build.program()
	if err != nil {
		return report(errOut, err)
	}
	e := &env{build: build, program: program, in: in, out: out, errOut: errOut}
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	return report(errOut, root.ExecuteContext(ctx))
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "theseus",
		Short: "Replace any plank of a running service while it sails",
		Long: `Theseus runs an app directory — handlers, workflows, jobs, middleware and
configuration — and swaps whole generations of it while it serves. A change
that is wrong is refused; a change that was a mistake is undone in one step.

Start with:  theseus demo
Then:        theseus new shop && theseus run shop

Exit statuses:
   0  done
   1  failed in a way that has no status of its own
   2  wrong command, flag or argument
   3  a check or a test refused it
   4  no such generation
   5  another generation is live than --expect says, or an upgrade is under way
   8  no answer within --timeout
  10  plan --detailed-exitcode: there is something to apply
  69  no running instance answers
 130  interrupted
eval has others; see its help.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       e.build.Version,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(&cobra.Group{ID: "build", Title: "Build:"}, &cobra.Group{ID: "release", Title: "Release:"},
		&cobra.Group{ID: "observe", Title: "Observe:"}, &cobra.Group{ID: "operate", Title: "Operate:"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			if c.Args != nil {
				c.Args = usage(c.Args)
			}
			root.AddCommand(c)
		}
	}
	add("build", newNew(e), newRun(e), newExec(e), newCheck(e), newEval(e), newSchema(e))
	add("release", newPlan(e), newReload(e), newApply(e), newRollback(e), newHistory(e), newShow(e), newDiff(e), newInspect(e), newUpgrade(e))
	add("observe", newStatus(e), newLogs(e))
	add("operate", newDemo(e), newRecover(e), newFsck(e), newVersion(e))
	root.AddCommand(newEvalChild(e), newExecChild())
	root.SetCompletionCommandGroupID("operate")
	root.SetHelpCommandGroupID("operate")
	root.Args = noCommand
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	strict(root)
	return root
}

// dirArg returns the app directory of a command: its first argument or ".".
func dirArg(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}
