package manifest

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

var notName = regexp.MustCompile(`[^a-z0-9-]+`)

// Implicit returns the manifest of an app without theseus.yaml, given the
// slash-separated paths of its files. One file alone answers every request. In a
// folder handlers/NAME.js answers /NAME and handlers/index.js answers /, folders
// below alike; files under handlers/lib/ are left out.
func Implicit(files []string) (*Manifest, error) {
	m := Defaults()
	if len(files) == 1 && !strings.Contains(files[0], "/") && path.Ext(files[0]) != "" {
		m.App = strings.Trim(notName.ReplaceAllString(strings.ToLower(strings.TrimSuffix(files[0], path.Ext(files[0]))), "-"), "-")
		if m.App = m.App[:min(len(m.App), 63)]; m.App == "" {
			m.App = "app"
		}
		m.Routes = Routes{{Pattern: "/", Run: files[0]}}
		return m, nil
	}
	var errs yamldoc.Errors
	owner := map[string]string{} // pattern → file
	for _, f := range slices.Sorted(slices.Values(files)) {
		rel, ok := strings.CutPrefix(f, "handlers/")
		if !ok || path.Ext(rel) != ".js" || strings.HasPrefix(rel, "lib/") {
			continue
		}
		pattern, ok := implicitPattern(strings.TrimSuffix(rel, ".js"))
		switch {
		case !ok:
			errs = append(errs, &script.Error{Kind: script.Refused, File: f, Message: "the name of this file cannot be part of a route",
				Hint: "use letters, digits and -._~, or name it in " + File})
			continue
		case owner[pattern] != "":
			errs = append(errs, &script.Error{Kind: script.Refused, File: f, Message: "answers the same path as " + owner[pattern], Hint: "rename one of them"})
			continue
		}
		owner[pattern] = f
		m.Routes = append(m.Routes, Route{Pattern: pattern, Run: f})
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	if len(m.Routes) == 0 {
		return nil, yamldoc.Errors{nothing(files)}
	}
	return m, nil
}

// nothing explains why files are no app.
func nothing(files []string) *script.Error {
	e := &script.Error{Kind: script.Refused, Message: "no " + File + " and no handlers/ here", Hint: "theseus new makes an app; theseus run FILE.js serves one file"}
	for _, f := range files {
		switch {
		case f == "theseus.yml" || strings.EqualFold(f, File):
			e.File, e.Hint = f, "rename "+f+" to "+File
			return e
		case strings.HasPrefix(f, "handlers/"):
			e.Message, e.Hint = "no "+File+", and handlers/ has no .js files outside lib/", "add handlers/index.js, or write "+File
		}
	}
	return e
}

var plainPath = regexp.MustCompile(`^[A-Za-z0-9._~/-]+$`)

// implicitPattern returns the route of a handler named without extension.
func implicitPattern(name string) (string, bool) {
	if !plainPath.MatchString(name) {
		return "", false
	}
	switch {
	case name == "index":
		return "/{$}", true
	case path.Base(name) == "index":
		name = path.Dir(name)
	}
	return "/" + name, true
}
