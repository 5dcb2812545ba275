package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// changeFlags are the flags of commands that change what is live.
type changeFlags struct {
	target
	message string
	expect  int32
	json    bool
	force   bool

	irreversible bool
}

// forceHelp tells what --force does where something is made live.
const forceHelp = "let in what states a lower rollback counter than a version that has proved itself"

func (f *changeFlags) add(c *cobra.Command) {
	f.flags(c)
	c.Flags().StringVarP(&f.message, "message", "m", "", "why, for the history")
	c.Flags().Int32Var(&f.expect, "expect", 0, "fail with status 5 unless this generation is live")
	c.Flags().BoolVar(&f.force, "force", false, forceHelp)
	c.Flags().BoolVar(&f.irreversible, "irreversible", false, "allow a change of the data of scripts that cannot be undone")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

func newReload(e *env) *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "reload [DIR]",
		Short: "Apply what is on disk now and wait for the outcome",
		Long: `Reload does what the watcher does when a file changes: the disk is checked, tested
and swapped in whole, or refused as a whole with status 3, and then what served
before serves on. It returns when the outcome is known. It is what applies
changes under run --no-watch.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.arg(args)
			return e.change(c.Context(), &f, func(ctx context.Context, client *admin.Client) (*adminv1.Update, error) {
				r, err := client.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{Message: f.message, ExpectedGeneration: f.expect, Force: f.force, Irreversible: f.irreversible}))
				if err != nil {
					return nil, err
				}
				return r.Msg.GetUpdate(), nil
			})
		},
	}
	f.add(c)
	return c
}

func newRollback(e *env) *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "rollback [GENERATION]",
		Short: "Return to an earlier generation, by default the one before",
		Long: `Rollback makes a kept generation live again at once. The disk stays as it is:
status shows it as drift until the next change or a reload. A generation that is
not kept has status 4. One that states a lower rollback counter (rollout.counter)
than a generation that has proved itself is refused with status 3, unless with --force.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			number := 0
			if len(args) > 0 {
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 {
					return failure(ExitUsage, "`theseus history` lists the generations", "%q is not a generation", args[0])
				}
				number = n
			}
			return e.change(c.Context(), &f, func(ctx context.Context, client *admin.Client) (*adminv1.Update, error) {
				r, err := client.Rollback(ctx, connect.NewRequest(&adminv1.RollbackRequest{Generation: int32(number), Message: f.message, ExpectedGeneration: f.expect, Force: f.force, Irreversible: f.irreversible}))
				if err != nil {
					return nil, err
				}
				return r.Msg.GetUpdate(), nil
			})
		},
		ValidArgsFunction: f.completeGenerations,
	}
	f.add(c)
	return c
}

// completeGenerations offers the kept generations to the shell.
func (t *target) completeGenerations(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	_ = t.dial(c.Context(), 2*time.Second, func(ctx context.Context, client *admin.Client) error {
		r, err := client.ListGenerations(ctx, connect.NewRequest(&adminv1.ListGenerationsRequest{}))
		if err != nil {
			return err
		}
		for _, g := range r.Msg.GetGenerations() {
			if g.GetState() != string(app.GenLive) {
				out = append(out, fmt.Sprintf("%d\t%s %s", g.GetNumber(), g.GetCreated().AsTime().Local().Format("15:04:05"), g.GetMessage()))
			}
		}
		return nil
	})
	return out, cobra.ShellCompDirectiveNoFileComp
}

// change runs a change and prints its outcome. With --json a refused update is
// printed too, and the exit status still tells.
func (e *env) change(ctx context.Context, f *changeFlags, do func(context.Context, *admin.Client) (*adminv1.Update, error)) error {
	return f.call(ctx, func(ctx context.Context, client *admin.Client) error {
		m, err := do(ctx, client)
		if err != nil {
			re, ok := errors.AsType[*app.RefusedError](remoteError(err))
			if !ok || !f.json {
				return err
			}
			if err := printJSON(e.out, re.Update); err != nil {
				return err
			}
			return told(ExitRefused)
		}
		u := admin.UpdateFrom(m)
		if f.json {
			return printJSON(e.out, u)
		}
		printOutcome(e.out, u)
		return nil
	})
}

// printOutcome prints one line about an update that went well.
func printOutcome(w io.Writer, u app.Update) {
	took := u.Ended.Sub(u.Started).Round(time.Millisecond)
	switch u.Outcome {
	case app.OutcomeNoop:
		fmt.Fprintf(w, "gen %d is live already\n", u.Generation)
	case app.OutcomeRolledBack:
		fmt.Fprintf(w, "gen %d → gen %d in %s%s\n", u.From, u.Generation, took, phases(u))
	default:
		fmt.Fprintf(w, "gen %d live in %s · %s passed%s\n", u.Generation, took, plural(u.Tests, "test"), phases(u))
	}
	for _, m := range u.Migrations {
		fmt.Fprintf(w, "%s\n", clean(m.String()))
	}
	printProblems(w, "warning", u.Warnings)
}

// phases lists the durations of an update's parts.
func phases(u app.Update) string {
	s := ""
	for _, p := range u.Phases {
		d := p.Duration
		switch {
		case d > time.Millisecond:
			d = d.Round(100 * time.Microsecond)
		case d > time.Microsecond:
			d = d.Round(100 * time.Nanosecond)
		}
		s += fmt.Sprintf(" · %s %s", p.Name, d)
	}
	return s
}

func newPlan(e *env) *cobra.Command {
	var t target
	var asJSON, detailed, diff bool
	c := &cobra.Command{
		Use:   "plan [DIR]",
		Short: "Show what applying the disk would change, without doing it",
		Long: `Plan builds and tests what is on disk beside what serves, and says what would
change. Its status is 3 when applying would be refused, and with
--detailed-exitcode 10 when there is something to apply.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t.arg(args)
			return t.call(c.Context(), func(ctx context.Context, client *admin.Client) error {
				r, err := client.Plan(ctx, connect.NewRequest(&adminv1.PlanRequest{}))
				if err != nil {
					return err
				}
				p := admin.PlanFrom(r.Msg.GetPlan())
				if asJSON {
					err = printJSON(e.out, p)
				} else {
					printPlan(e, p, diff)
				}
				switch {
				case err != nil:
					return err
				case len(p.Problems) > 0:
					return told(ExitRefused)
				case detailed && len(p.Changes) > 0:
					return told(ExitChanges)
				}
				return nil
			})
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&diff, "diff", false, "show the changed lines")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with status 10 when there is something to apply")
	return c
}

func printPlan(e *env, p app.Plan, diff bool) {
	if len(p.Changes) == 0 && len(p.Problems) == 0 {
		fmt.Fprintf(e.out, "nothing to do: the disk equals gen %d\n", p.Base)
		return
	}
	fmt.Fprintf(e.out, "against gen %d, which is live:\n", p.Base)
	for _, c := range p.Changes {
		printChange(e.out, c, diff)
	}
	for _, s := range p.Effects {
		fmt.Fprintf(e.out, "  · %s\n", clean(s))
	}
	printProblems(e.errOut, "warning", p.Warnings)
	if len(p.Problems) > 0 {
		printProblems(e.errOut, "error", p.Problems)
		fmt.Fprintln(e.out, "it would be refused")
		return
	}
	fmt.Fprintf(e.out, "%s would pass; apply it with: theseus reload --expect %d\n", plural(p.Tests, "test"), p.Base)
}
