package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/theseus-run/theseus/internal/spell"
)

// usage turns an argument error into one that shows the usage, with its status.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*statusError](err); ok {
			return err
		}
		hint := "usage: " + strings.TrimSpace(c.UseLine())
		if len(args) == 0 {
			return failure(ExitUsage, hint, "`%s` needs an argument", c.CommandPath())
		}
		return failure(ExitUsage, hint, "too many arguments: `%s`", strings.Join(args, " "))
	}
}

// unknownCommand is the error for a name that is not a command of c.
func unknownCommand(c *cobra.Command, name string) error {
	var known []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			known = append(append(known, sub.Name()), sub.Aliases...)
		}
	}
	hint := "`" + c.CommandPath() + " --help` lists the commands"
	if near := spell.Nearest(name, known); near != "" {
		hint = "did you mean `" + c.CommandPath() + " " + near + "`?"
	}
	return failure(ExitUsage, hint, "there is no command %q", name)
}

// noCommand refuses arguments of a command that only has other commands.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(c, args[0])
	}
	return nil
}

// flagError adds to a wrong flag what was meant.
func flagError(c *cobra.Command, err error) error {
	hint := "`" + c.CommandPath() + " --help` lists the flags"
	if ne, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		if near := spell.Nearest(ne.GetSpecifiedName(), known); near != "" {
			hint = "did you mean --" + near + "?"
		}
	}
	return failure(ExitUsage, hint, "%w", err)
}

// strict makes the commands that cobra brings along refuse what they do not
// know, as the others do.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return unknownCommand(found, args[len(args)-max(len(rest), 1)])
				}
				return nil
			}
		case "completion":
			c.Args, c.RunE = noCommand, func(c *cobra.Command, _ []string) error { return c.Help() }
			for _, shell := range c.Commands() {
				shell.Args = usage(cobra.NoArgs)
			}
		}
	}
}
