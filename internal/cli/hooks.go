package cli

import (
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/hooks"
	"github.com/theseus-run/theseus/internal/yamldoc"
)

const hooksUsage = "file of commands and HTTP calls around the steps of each change, read at start; it must not lie in the app's directory"

// loadHooks reads the file of hooks for the app at path, and prints what is wrong
// with it. Without a file there are none.
func (e *env) loadHooks(file, path string) ([]app.Hook, error) {
	if file == "" {
		return nil, nil
	}
	all, err := hooks.Load(file, path)
	if err == nil {
		return all, nil
	}
	var problems []app.Problem
	for _, p := range yamldoc.Flatten(file, err) {
		problems = append(problems, app.Problem{Kind: "hook", Message: p.Message, Hint: p.Hint, File: p.File, Line: p.Line, Column: p.Column, Frame: p.Frame})
	}
	printProblems(e.errOut, "error", problems)
	return nil, told(ExitRefused)
}
