package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/examples"
)

func newNew(e *env) *cobra.Command {
	var template string
	var names, about []string
	for _, t := range examples.Templates() {
		names = append(names, t.Name)
		about = append(about, fmt.Sprintf("  %-8s %s", t.Name, t.About))
	}
	c := &cobra.Command{
		Use:   "new DIR",
		Short: "Make an app directory from a template",
		Long: `New copies a template into DIR, which must be empty or not there yet. The
templates are part of the program; nothing is fetched.

Templates (by default the one that DIR is named after, else the first):
` + strings.Join(about, "\n"),
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			if template == "" {
				template = names[0]
				if _, ok := examples.Find(filepath.Base(dir)); ok {
					template = filepath.Base(dir)
				}
			}
			t, ok := examples.Find(template)
			if !ok {
				return failure(ExitUsage, "templates: "+strings.Join(names, ", "), "there is no template %q", template)
			}
			if err := copyApp(t.Files, dir); err != nil {
				return err
			}
			fmt.Fprintf(e.out, "made %s from template %s; run it with: theseus run %s\n", dir, t.Name, dir)
			return nil
		},
	}
	c.Flags().StringVarP(&template, "template", "t", "", "template: "+strings.Join(names, ", "))
	return c
}

// copyApp copies files into dir, which must be empty or missing.
func copyApp(files fs.FS, dir string) error {
	entries, err := os.ReadDir(dir)
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ".theseus" }) // a run that found nothing left it
	switch {
	case err == nil && len(entries) > 0:
		return failure(ExitFailed, "choose another name, or empty it", "%s is not empty", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make an app: %w", err)
	}
	return os.CopyFS(dir, files)
}
