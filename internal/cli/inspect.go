package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/internal/executable"
)

// inspectView is what `theseus inspect --json` prints.
type inspectView struct {
	*executable.Info
	Mode        string                 `json:"mode"`
	Platform    string                 `json:"platform,omitempty"`
	Fingerprint executable.Fingerprint `json:"fingerprint"`
	Starts      startsView             `json:"starts"`
}

// startsView says whether this machine can start the file, and if not, why.
type startsView struct {
	OK    bool            `json:"ok"`
	Check executable.Kind `json:"check,omitempty"`
	Error string          `json:"error,omitempty"`
	Hint  string          `json:"hint,omitempty"`
}

func newInspect(e *env) *cobra.Command {
	var asJSON, check bool
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a program file is, and whether it can be started here",
		Long: `Inspect shows the format, platform, headers, sections, linked libraries, Go build
information and digest of a program (ELF, PE, Mach-O) or script, and whether this
machine can start it. Nothing is executed.

It ends with status 4 when there is no such file, and 3 when the file is no whole
program: a directory, empty, cut off, of no known format. A whole program that
this machine can't start, such as one for another platform, is shown with status
0; with --check it is status 3 too.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			info, err := executable.Inspect(args[0])
			if err != nil {
				return inspectError(err)
			}
			v := viewOf(info)
			if asJSON {
				if err := printJSON(e.out, v); err != nil {
					return err
				}
			} else {
				printInspect(e.out, v)
			}
			if v.Starts.OK || info.Damage == nil && !check {
				return nil
			}
			if asJSON {
				return told(ExitRefused)
			}
			return failure(ExitRefused, v.Starts.Hint, "inspect %s: %s", args[0], v.Starts.Error)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&check, "check", false, "end with status 3 unless this machine can start it")
	return c
}

// inspectError gives a file of which nothing can be told its status.
func inspectError(err error) error {
	ce, ok := errors.AsType[*executable.CheckError](err)
	if !ok {
		return err
	}
	code := ExitRefused
	switch ce.Check {
	case executable.CheckMissing:
		code = ExitNotFound
	case executable.CheckUnreadable, executable.CheckChanged: // says nothing about the file
		code = ExitFailed
	}
	return failure(code, clean(ce.Hint), "inspect %s: %w", ce.Path, ce.Err)
}

func viewOf(i *executable.Info) inspectView {
	v := inspectView{Info: i, Mode: i.Mode.String(), Platform: i.Platform(), Fingerprint: i.Fingerprint(), Starts: startsView{OK: true}}
	if ce, ok := errors.AsType[*executable.CheckError](i.CheckHere()); ok {
		v.Starts = startsView{Check: ce.Check, Error: ce.Err.Error(), Hint: ce.Hint}
	}
	return v
}

func printInspect(w io.Writer, v inspectView) {
	fmt.Fprintln(w, clean(v.Path))
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", clean(name), clean(value))
		}
	}
	row("format", formatLine(v.Info))
	row("platform", v.Platform)
	row("size", plural(int(v.Size), "byte"))
	row("mode", v.Mode)
	row("written", v.Modified.Format(time.RFC3339))
	row("sha256", v.Digest)
	printBuild(row, v)
	row("build id", v.BuildID)
	row("interpreter", strings.TrimSpace(v.Interpreter+" "+v.InterpreterArg))
	row("libraries", strings.Join(v.Libraries, " "))
	for _, h := range v.Headers {
		row(h.Name, h.Value)
	}
	for _, n := range v.Notes {
		row("note", n)
	}
	if v.Starts.OK {
		row("starts here", "yes")
	} else {
		row("starts here", "no: "+v.Starts.Error)
	}
	_ = tw.Flush()
	printParts(w, v.Info)
}

func formatLine(i *executable.Info) string {
	parts := []string{string(i.Format)}
	if i.Bits > 0 {
		parts = append(parts, fmt.Sprintf("%d-bit %s-endian", i.Bits, i.ByteOrder))
	}
	parts = append(parts, i.Type, i.Machine)
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// printBuild shows the fingerprint and what Go wrote into the program.
func printBuild(row func(name, value string), v inspectView) {
	f, b := v.Fingerprint, v.Build
	if b == nil {
		return
	}
	row("version", f.Version)
	commit := f.Commit
	if f.Modified {
		commit += " with changes that are not committed"
	}
	row("commit", commit)
	if !f.Time.IsZero() {
		row("committed", f.Time.Format(time.RFC3339))
	}
	row("go", b.GoVersion)
	row("package", b.Package)
	row("module", strings.TrimSpace(b.Module+" "+b.Version))
	if len(b.Deps) > 0 {
		row("depends on", plural(len(b.Deps), "module"))
	}
	for _, s := range b.Settings {
		if !strings.HasPrefix(s.Name, "vcs") && s.Name != "GOOS" && s.Name != "GOARCH" {
			row("built with", s.Name+"="+s.Value)
		}
	}
}

// printParts shows the tables of sections and segments.
func printParts(w io.Writer, i *executable.Info) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if len(i.Sections) > 0 {
		fmt.Fprintln(tw, "\nSECTION\tADDRESS\tOFFSET\tSIZE\tFLAGS")
	}
	for _, s := range i.Sections {
		fmt.Fprintf(tw, "%s\t%#x\t%#x\t%d\t%s\n", clean(s.Name), s.Address, s.Offset, s.Size, s.Flags)
	}
	_ = tw.Flush()
	if len(i.Segments) > 0 {
		fmt.Fprintln(tw, "\nSEGMENT\tADDRESS\tOFFSET\tIN FILE\tIN MEMORY\tFLAGS")
	}
	for _, s := range i.Segments {
		fmt.Fprintf(tw, "%s\t%#x\t%#x\t%d\t%d\t%s\n", clean(s.Name), s.Address, s.Offset, s.FileSize, s.MemSize, s.Flags)
	}
	_ = tw.Flush()
}
