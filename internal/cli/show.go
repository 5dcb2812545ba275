package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

func newShow(e *env) *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "show UPDATE",
		Short: "Show one update: who, when, what, why, how long, and what became of it",
		Long: `Show tells all that is known of the update with that id; history lists them. What
it changed is shown too, if the generations before and after it are still kept.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.call(c.Context(), func(ctx context.Context, client *admin.Client) error {
				r, err := client.ListUpdates(ctx, connect.NewRequest(&adminv1.ListUpdatesRequest{Limit: math.MaxInt32}))
				if err != nil {
					return err
				}
				for _, m := range r.Msg.GetUpdates() {
					if m.GetId() != args[0] {
						continue
					}
					s := shown{Update: admin.UpdateFrom(m)}
					if s.Generation > 0 && s.From > 0 && s.From != s.Generation {
						s.Changes, _ = diff(ctx, client, s.From, s.Generation) // they may not be kept any more
					}
					if asJSON {
						return printJSON(e.out, s)
					}
					s.print(e.out)
					return nil
				}
				return failure(ExitNotFound, "`theseus history` lists the updates", "there is no update %q in the history", args[0])
			})
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// shown is what show tells.
type shown struct {
	app.Update
	Changes []app.FileChange `json:"changes,omitempty"`
}

func (s shown) print(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s%s\n", name, clean(fmt.Sprintf(format, args...)))
	}
	row("update", "%s", s.ID)
	row("outcome", "%s", s.Outcome)
	row("by", "%s", s.Trigger)
	if s.Message != "" {
		row("message", "%s", s.Message)
	}
	row("from", "gen %d", s.From)
	if s.Generation > 0 {
		row("to", "gen %d", s.Generation)
	}
	row("digest", "%s", s.Digest)
	row("began", "%s", s.Started.Format(time.RFC3339Nano))
	row("took", "%s", s.Ended.Sub(s.Started).Round(time.Microsecond))
	for _, p := range s.Phases {
		row("", "%s %s", p.Name, p.Duration)
	}
	for _, m := range s.Migrations {
		row("data", "%s", m)
	}
	row("tests", "%d", s.Tests)
	if t := s.Trial; t != nil {
		row("trial", "%s at %s %s", t.Outcome, t.Ended.Format(time.RFC3339), t.Why)
	} else if s.Outcome == app.OutcomeLive {
		row("trial", "it lasts, or another process knows")
	}
	printProblems(w, "warning", s.Warnings)
	printProblems(w, "error", s.Problems)
	for _, c := range s.Changes {
		printChange(w, c, true)
	}
}

// printChange prints a changed file, with its lines if they are wanted.
func printChange(w io.Writer, c app.FileChange, lines bool) {
	mark, known := map[string]string{"added": "+", "removed": "-"}[c.Op]
	if !known {
		mark = "~"
	}
	fmt.Fprintf(w, "  %s %s\n", mark, clean(c.Path))
	if lines && c.Diff != "" {
		fmt.Fprintln(w, indent(cleanLines(strings.ReplaceAll(c.Diff, "\t", "    "))))
	}
}

// diff asks for what differs between two generations; 0 is the disk.
func diff(ctx context.Context, client *admin.Client, from, to int) ([]app.FileChange, error) {
	r, err := client.DiffGenerations(ctx, connect.NewRequest(&adminv1.DiffGenerationsRequest{From: int32(from), To: int32(to)}))
	if err != nil {
		return nil, err
	}
	var all []app.FileChange
	for _, m := range r.Msg.GetChanges() {
		all = append(all, admin.ChangeFrom(m))
	}
	return all, nil
}

func newDiff(e *env) *cobra.Command {
	var t target
	var asJSON, names bool
	c := &cobra.Command{
		Use:   "diff GENERATION [GENERATION]",
		Short: "Show what differs between two kept generations, or one and the disk",
		Long: `Diff prints the files that differ, and their lines. With one generation, or with
"disk" for one of them, it compares with what is on disk.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := generationArg(args[0])
			if err != nil {
				return err
			}
			to := 0
			if len(args) > 1 {
				if to, err = generationArg(args[1]); err != nil {
					return err
				}
			}
			return t.call(c.Context(), func(ctx context.Context, client *admin.Client) error {
				changes, err := diff(ctx, client, from, to)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(e.out, append([]app.FileChange{}, changes...))
				}
				for _, c := range changes {
					printChange(e.out, c, !names)
				}
				return nil
			})
		},
		ValidArgsFunction: t.completeGenerations,
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	c.Flags().BoolVar(&names, "name-only", false, "print only the names of the files")
	return c
}

// generationArg reads a generation's number; "disk" is 0.
func generationArg(arg string) (int, error) {
	if arg == "disk" {
		return 0, nil
	}
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 {
		return 0, failure(ExitUsage, "`theseus history` lists the generations", "%q is not a generation, nor \"disk\"", arg)
	}
	return n, nil
}
