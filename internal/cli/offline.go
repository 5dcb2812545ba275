package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/update"
)

// stateDir is where the history of the app named by a command's argument is.
func stateDir(args []string, state string) string {
	if state != "" {
		return state
	}
	return filepath.Join(dirArg(args), ".theseus")
}

func newApply(e *env) *cobra.Command {
	var state, message, hooksFile string
	var asJSON, force, irreversible bool
	c := &cobra.Command{
		Use:   "apply [DIR|FILE]",
		Short: "Make what is on disk the version that the next start serves",
		Long: `Apply carries one whole update through without a running instance: it builds the
app, runs its tests, and makes it the permanent version in its history. Once that
would survive a loss of power it prints

    ack ID DIGEST

on a line of its own. If it does not, what was live is, or the error says that the
disk did not tell; then recover does. A running instance holds the history: use
reload there.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			around, err := e.loadHooks(hooksFile, dirArg(args))
			if err != nil {
				return err
			}
			u, err := app.Apply(c.Context(), dirArg(args), app.Options{
				Engines: engines.All(), StateDir: state, Hooks: around, Log: slog.New(slog.DiscardHandler), Version: e.build.Version, Program: e.program,
			}, app.Change{Trigger: "apply", Who: self(), Message: message, Force: force, Irreversible: irreversible})
			if asJSON && u.ID != "" {
				err = errors.Join(err, printJSON(e.out, u))
			}
			if err != nil {
				return err
			}
			printProblems(e.errOut, "warning", u.Warnings)
			if asJSON {
				return nil
			}
			_, err = fmt.Fprintf(e.out, "ack %s %s\n", u.ID, u.Digest)
			return err // whoever counts on the ack must know that it was not printed
		},
	}
	c.Flags().StringVar(&state, "state", "", "directory of the history (default: .theseus in the app)")
	c.Flags().StringVarP(&message, "message", "m", "", "why, for the history")
	c.Flags().BoolVar(&force, "force", false, forceHelp)
	c.Flags().BoolVar(&irreversible, "irreversible", false, "allow a change of the data of scripts that cannot be undone")
	c.Flags().StringVar(&hooksFile, "hooks", "", hooksUsage)
	c.Flags().BoolVar(&asJSON, "json", false, "print the update as JSON in place of the ack")
	return c
}

func newRecover(e *env) *cobra.Command {
	var state string
	var asJSON bool
	c := &cobra.Command{
		Use:   "recover [DIR]",
		Short: "Make the history whole after a crash, and say what became of what",
		Long: `Recover does what a start does first: it completes what was committed, drops what
was not, and writes into the history what became of each change. A second recover
finds nothing to do.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := app.Recover(stateDir(args, state), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e.out, r)
			}
			for _, p := range r.Problems {
				fmt.Fprintf(e.errOut, "theseus: warning: %s\n", clean(p))
			}
			for _, t := range r.Ended {
				fmt.Fprintf(e.out, "%s  %s  gen %d  %s\n", t.Change, t.Outcome, t.Version.Number, clean(t.Why))
			}
			fmt.Fprintf(e.out, "live %s\npermanent %s\nanchor %s\n", versionText(r.Live), versionText(r.Permanent), versionText(r.Anchor))
			return nil
		},
	}
	c.Flags().StringVar(&state, "state", "", "directory of the history (default: .theseus in DIR)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// versionText is "gen 12 DIGEST", or "none".
func versionText(v update.Version) string {
	if v.IsZero() {
		return "none"
	}
	return fmt.Sprintf("gen %d %s", v.Number, v.Digest)
}

func newFsck(e *env) *cobra.Command {
	var state string
	var full, repair, asJSON bool
	c := &cobra.Command{
		Use:   "fsck [DIR]",
		Short: "Check the history on disk",
		Long: `Fsck checks that everything the history names is there, and with --full that every
file has the digest in its name. It changes nothing, and may run beside a running
instance. It ends with status 1 when something is wrong.

With --repair, and no running instance, it drops generations that are damaged and
that nothing needs, and files that nothing names.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := fsck(c.Context(), stateDir(args, state), full, repair)
			if err != nil {
				return err
			}
			if asJSON {
				if err := printJSON(e.out, h); err != nil {
					return err
				}
			} else {
				printHealth(e, h)
			}
			if !h.OK {
				return told(ExitFailed)
			}
			return nil
		},
	}
	c.Flags().StringVar(&state, "state", "", "directory of the history (default: .theseus in DIR)")
	c.Flags().BoolVar(&full, "full", false, "read every file and compare its digest")
	c.Flags().BoolVar(&repair, "repair", false, "drop what is damaged and not needed")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func fsck(_ context.Context, dir string, full, repair bool) (store.Health, error) {
	st, err := store.Open(dir, store.Options{ReadOnly: !repair})
	if errors.Is(err, fs.ErrNotExist) {
		return store.Health{}, failure(ExitNotFound, "give the app's directory, or --state", "%s: there is no history", dir)
	}
	if err != nil {
		return store.Health{}, err
	}
	defer st.Close()
	if repair {
		if err := st.Repair(); err != nil {
			return store.Health{}, err
		}
	}
	h := st.Check(full)
	return h, st.Close()
}

func printHealth(e *env, h store.Health) {
	for _, f := range h.Findings {
		needed := ""
		if f.Needed {
			needed = " (needed)"
		}
		fmt.Fprintf(e.errOut, "theseus: error: %s: %s%s\n", clean(f.Path), clean(f.What), needed)
		if f.Repair != "" {
			fmt.Fprintf(e.errOut, "theseus: hint: %s\n", clean(f.Repair))
		}
	}
	fmt.Fprintf(e.out, "%s, %s, %d bytes, %s that nothing names\nlive %s\npermanent %s\nanchor %s\n",
		plural(h.Generations, "generation"), plural(h.Objects, "object"), h.Bytes, plural(h.Orphans, "file"), versionText(h.Live), versionText(h.Permanent), versionText(h.Anchor))
	if h.OK {
		fmt.Fprintln(e.out, "ok")
	}
}
