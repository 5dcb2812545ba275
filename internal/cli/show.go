package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app"
)

func newShow(e *env) *cobra.Command {
	var f pastFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "show UPDATE|GENERATION",
		Short: "Show one update or generation: who, when, what, why, how long, and what became of it",
		Long: `Show tells all that is known of the update with that id, or of the generation with
that number; history lists them. What an update changed is shown too, if the
generations before and after it are still kept.

Without a running instance it reads what is on disk, and says so.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.read(c.Context(), e, func(ctx context.Context, p past) error {
				if n, err := strconv.Atoi(args[0]); err == nil && n > 0 {
					return e.showGeneration(ctx, p, n, asJSON)
				}
				return e.showUpdate(ctx, p, args[0], asJSON)
			})
		},
		ValidArgsFunction: f.completeGenerations,
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func (e *env) showUpdate(ctx context.Context, p past, id string, asJSON bool) error {
	all, err := p.Updates(ctx, 0)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(u app.Update) bool { return u.ID == id })
	if at < 0 {
		return failure(ExitNotFound, "`theseus history` lists the updates", "there is no update %q in the history", id)
	}
	s := shown{Update: all[at]}
	if s.Generation > 0 && s.From > 0 && s.From != s.Generation {
		s.Changes, _ = p.Diff(ctx, s.From, s.Generation) // they may not be kept any more
	}
	if asJSON {
		return printJSON(e.out, s)
	}
	s.print(e.out)
	return nil
}

func (e *env) showGeneration(ctx context.Context, p past, n int, asJSON bool) error {
	g, err := p.Generation(ctx, n)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(e.out, g)
	}
	row := rows(e.out)
	row("generation", "%d", g.Number)
	row("state", "%s", g.State)
	row("digest", "%s", g.Digest)
	row("made", "%s", g.Created.Format(time.RFC3339Nano))
	row("by", "%s", by(g.Trigger, g.Who))
	row("update", "%s", g.Update)
	if g.Message != "" {
		row("message", "%s", g.Message)
	}
	row("made of", "%s, %s (%d carried), %s", plural(g.Files, "file"), plural(g.Units, "unit"), g.Carried, plural(g.Tests, "test"))
	if g.Counter > 0 {
		row("counter", "%d", g.Counter)
	}
	if q := g.Program; q != nil {
		printProgram(row, *q)
	}
	for _, c := range g.Content {
		fmt.Fprintf(e.out, "  %s  %s\n", short(c.Digest), clean(c.Path))
	}
	return nil
}

// printProgram prints the fingerprint of a program.
func printProgram(row func(name, format string, args ...any), p app.Program) {
	row("program", "theseus %s", p.Version)
	if p.Commit != "" {
		commit := p.Commit
		if p.Modified {
			commit += " with changes that are not committed"
		}
		row("commit", "%s", commit)
	}
	if !p.Time.IsZero() {
		row("committed", "%s", p.Time.Format(time.RFC3339))
	}
	if p.Digest != "" {
		row("sha256", "%s", p.Digest)
	}
	if p.Counter > 0 {
		row("its counter", "%d", p.Counter)
	}
}

// rows returns what prints a line of a name and a text.
func rows(w io.Writer) func(name, format string, args ...any) {
	return func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s%s\n", name, clean(fmt.Sprintf(format, args...)))
	}
}

// shown is what show tells.
type shown struct {
	app.Update
	Changes []app.FileChange `json:"changes,omitempty"`
}

func (s shown) print(w io.Writer) {
	row := rows(w)
	row("update", "%s", s.ID)
	row("outcome", "%s", s.Outcome)
	row("by", "%s", by(s.Trigger, s.Who))
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

func newDiff(e *env) *cobra.Command {
	var f pastFlags
	var asJSON, names bool
	c := &cobra.Command{
		Use:   "diff GENERATION [GENERATION]",
		Short: "Show what differs between two kept generations, or one and the disk",
		Long: `Diff prints the files that differ, and their lines. With one generation, or with
"disk" for one of them, it compares with what is on disk.

Without a running instance it reads the kept generations from disk, and says so.`,
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
			return f.read(c.Context(), e, func(ctx context.Context, p past) error {
				changes, err := p.Diff(ctx, from, to)
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
		ValidArgsFunction: f.completeGenerations,
	}
	f.add(c)
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
