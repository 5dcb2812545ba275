// Package hooks reads the operator's file of hooks, commands and HTTP calls around
// the steps of a change, and runs them.
//
// It belongs to who runs the program, not to who edits the app: [Load] refuses a file,
// or a command, that lies in the app's directory.
package hooks

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/update"
)

// maxHooks is how many a file may have.
const maxHooks = 100

// file is the content of a file of hooks.
type file struct {
	Hooks []entry `json:"hooks"`
}

// entry is one of them. Exactly one of Before and After is set, and one of Run and
// URL.
type entry struct {
	Name    string   `json:"name"`
	Before  string   `json:"before"` // a step, or "every"
	After   string   `json:"after"`
	Kinds   []string `json:"kinds"` // of changes; empty means all
	Run     []string `json:"run"`   // a program and its arguments
	URL     string   `json:"url"`
	Timeout duration `json:"timeout"` // zero means update.DefaultHookTimeout
}

// maxTimeout bounds entry.Timeout.
const maxTimeout = time.Hour

type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < time.Millisecond || v > maxTimeout {
		return errors.New("want a duration from 1ms to 1h, such as 5s")
	}
	*d = duration(v)
	return nil
}

// every stands for all steps.
const every = "every"

var (
	hookName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)
	kinds    = []string{string(update.KindApp), string(update.KindBinary), string(update.KindRollback), string(update.KindRevert)}
)

// Load reads the file of hooks at path. App is the directory, or the single file, of
// the app, which it must lie outside of. Programs are looked up now: by their path,
// which may be relative to the file, or in PATH. All mistakes are returned together.
func Load(path, app string) ([]update.Hook, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	src, err := yamldoc.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the file of hooks %s: %w", path, err)
	}
	doc, err := yamldoc.Parse(path, src)
	if err != nil {
		return nil, err
	}
	if inside(path, app) {
		return nil, yamldoc.Errors{{Kind: script.Refused, File: path, Message: "the file of hooks lies in the app's directory",
			Hint: "put it where only the operator may write: who edits the app must not choose commands"}}
	}
	if doc.Empty() || doc.Root().Kind() != yamldoc.Map {
		return nil, yamldoc.Errors{doc.Problem(script.Refused, "there is no list of hooks", `write "hooks:", and below it "- { name: …, before: swap, run: [program] }"`)}
	}
	var f file
	if err := doc.Decode(&f); err != nil {
		return nil, err
	}
	c := checker{doc: doc, dir: filepath.Dir(path), app: app}
	if len(f.Hooks) > maxHooks {
		c.fail("", []string{"hooks"}, "%d hooks, of at most %d", len(f.Hooks), maxHooks)
	}
	var all []update.Hook
	for i, e := range f.Hooks {
		all = append(all, c.hook(i, e, f.Hooks[:i]))
	}
	if err := c.errs.Err(); err != nil {
		return nil, err
	}
	return all, nil
}

// inside reports whether path, once links are followed, lies in dir.
func inside(path, dir string) bool {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return false // a single script: what lies beside it is not the app's
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	if d, err := filepath.EvalSymlinks(dir); err == nil {
		dir = d
	}
	for _, p := range []string{path, real} {
		if rel, err := filepath.Rel(dir, p); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// A checker collects what is wrong with a file of hooks.
type checker struct {
	doc      *yamldoc.Doc
	dir, app string
	errs     yamldoc.Errors
}

func (c *checker) fail(hint string, at []string, format string, args ...any) {
	c.errs = append(c.errs, c.doc.Problem(script.Refused, fmt.Sprintf(format, args...), hint, at...))
}

// hook checks one entry and makes a hook of it.
func (c *checker) hook(i int, e entry, before []entry) update.Hook {
	at := func(key ...string) []string { return append([]string{"hooks", fmt.Sprint(i)}, key...) }
	h := update.Hook{Name: e.Name, Timeout: time.Duration(e.Timeout), After: e.After != ""}
	switch {
	case e.Name == "":
		c.fail(`add "name: …": messages and the history name it`, at(), "a hook has no name")
	case !hookName.MatchString(e.Name):
		c.fail("use 1 to 63 of letters, digits, _, . and -", at("name"), "hook name %q", e.Name)
	case slices.ContainsFunc(before, func(o entry) bool { return o.Name == e.Name }):
		c.fail("give each a name of its own", at("name"), "there are two hooks %s", e.Name)
	}
	h.Step = c.step(e, at)
	for n, k := range e.Kinds {
		if !slices.Contains(kinds, k) {
			c.fail(yamldoc.DidYouMean(k, kinds), at("kinds", fmt.Sprint(n)), "there is no kind %q of change", k)
		}
		h.Kinds = append(h.Kinds, update.Kind(k))
	}
	switch {
	case (len(e.Run) > 0) == (e.URL != ""):
		c.fail("write run: [program, argument…] or url: http://host/path", at(), "hook %s: want one of run and url", e.Name)
	case e.URL != "":
		h.Run = c.call(e.URL, at("url"))
	default:
		h.Run = c.command(e.Run, at("run", "0"))
	}
	return h
}

// step returns the step that the hook stands before or after; empty for each.
func (c *checker) step(e entry, at func(...string) []string) string {
	known := append(slices.Clone(update.Steps), every)
	step, key := e.Before, "before"
	if e.After != "" {
		step, key = e.After, "after"
	}
	switch {
	case (e.Before == "") == (e.After == ""):
		c.fail("steps are "+strings.Join(known, ", "), at(), "hook %s: want one of before and after", e.Name)
	case step == every:
		return ""
	case !slices.Contains(known, step):
		c.fail(yamldoc.DidYouMean(step, known), at(key), "there is no step %q", step)
	}
	return step
}

// command finds the program that a hook runs.
func (c *checker) command(run, at []string) runFunc {
	name := run[0]
	for _, a := range run {
		if strings.ContainsRune(a, 0) {
			c.fail("", at, "an argument contains a NUL")
			return nil
		}
	}
	if strings.ContainsRune(name, '/') && !filepath.IsAbs(name) {
		name = filepath.Join(c.dir, name)
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	switch {
	case err != nil:
		c.fail("name a program that can be executed, by its path or one in PATH", at, "%v", err)
	case inside(path, c.app):
		c.fail("put it where only the operator may write: who edits the app must not choose commands", at, "%s lies in the app's directory", path)
	}
	return command{path: path, args: run[1:], dir: c.dir}.run
}

// call checks where a hook sends its calls.
func (c *checker) call(text string, at []string) runFunc {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		c.fail("write http://host/path or https://host/path", at, "%q is not a URL that can be called", text)
		return nil
	}
	return call{url: text}.run
}
