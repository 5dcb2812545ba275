package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/internal/evalunit"
	"github.com/theseus-run/theseus/script"
)

// evalChild is the hidden command that `theseus eval` starts.
const evalChild = "eval-child"

func newEval(e *env) *cobra.Command {
	var input, memory, function string
	var timeout time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "eval FILE",
		Short: "Run one script or workflow once, confined, and print its outcome",
		Long: `Eval compiles FILE with the engine of its extension and calls its default
function once, in a child process under hard limits: whatever the script does,
eval ends at the deadline. Files of the same app can be imported and run; config is
empty, kv is new, and http.fetch is denied.

Outcomes and exit statuses: ok 0, error 1, syntax 3, refused 4, timeout 10,
memory 11, depth 12, output 13, denied 14.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var limit manifest.Size
			if memory != "" {
				if err := limit.UnmarshalText([]byte(memory)); err != nil || limit <= 0 {
					return failure(ExitUsage, "sizes look like 64MiB or 1GB", "--memory %q is not a size", memory)
				}
			}
			if timeout < 0 || c.Flags().Changed("timeout") && timeout == 0 {
				return failure(ExitUsage, "a timeout looks like 500ms or 5s", "--timeout must be positive")
			}
			in, err := e.evalInput(input)
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the program itself: %w", err)
			}
			r := evalunit.Main(c.Context(), evalunit.Options{
				File: args[0], Input: in, Func: function, Timeout: timeout, Memory: limit.Bytes(),
				Self: self, ChildArgs: []string{evalChild}, Log: e.errOut,
			})
			if asJSON {
				err = printJSON(e.out, r)
			} else {
				err = e.printReport(r)
			}
			if err != nil || r.ExitStatus() == 0 {
				return err
			}
			return told(r.ExitStatus())
		},
	}
	c.Flags().StringVarP(&input, "input", "i", "", "argument of the call as JSON; @FILE reads it from a file, - from standard input (default {})")
	c.Flags().StringVar(&function, "func", "", "function to call (default: the default export)")
	c.Flags().DurationVar(&timeout, "timeout", 0, "wall time, compiling included (default 5s)")
	c.Flags().StringVar(&memory, "memory", "", "memory of the script (default 64MiB)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object, whatever the outcome")
	return c
}

// evalInput reads the --input flag.
func (e *env) evalInput(input string) ([]byte, error) {
	const most = 64 << 20
	read := func(r io.Reader) ([]byte, error) {
		b, err := io.ReadAll(io.LimitReader(r, most+1))
		if err == nil && len(b) > most {
			err = fmt.Errorf("the input is larger than %d bytes", most)
		}
		return b, err
	}
	switch name, isFile := strings.CutPrefix(input, "@"); {
	case input == "-":
		return read(e.in)
	case isFile:
		f, err := os.Open(name)
		if err != nil {
			return nil, failure(ExitUsage, "--input takes JSON, @FILE or -", "read the input: %w", err)
		}
		defer f.Close()
		return read(f)
	}
	return []byte(input), nil
}

// printReport prints a result on stdout, or an error on stderr.
func (e *env) printReport(r evalunit.Report) error {
	if r.Outcome == "ok" {
		_, err := fmt.Fprintf(e.out, "%s\n", r.Result)
		return err
	}
	kind := r.Outcome + ": "
	if r.Outcome == string(script.Failed) {
		kind = "" // "error: error:" says nothing more
	}
	fmt.Fprintf(e.errOut, "theseus: error: %s%s\n", kind, clean(where(r.Error)))
	if r.Error.Frame != "" {
		fmt.Fprintln(e.errOut, indent(strings.TrimRight(r.Error.Frame, "\n")))
	}
	if r.Error.Hint != "" {
		fmt.Fprintf(e.errOut, "theseus: hint: %s\n", clean(r.Error.Hint))
	}
	return nil
}

// newEvalChild is the confined half of `theseus eval`.
func newEvalChild(e *env) *cobra.Command {
	return &cobra.Command{
		Use: evalChild, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if code := evalunit.Child(c.Context(), engines.All(), e.in, e.out, e.errOut); code != 0 {
				return told(code)
			}
			return nil
		},
	}
}

// where is a failure with its position.
func where(f *evalunit.Failure) string {
	return app.Problem{Message: f.Message, File: f.File, Line: f.Line, Column: f.Column}.String()
}
