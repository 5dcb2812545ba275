package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/codeframe"
	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/internal/spell"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/script"
)

// unitFolders hold scripts that are compiled whether or not something names
// them yet, so that a broken one is refused when it is saved and not when it is used.
var unitFolders = []string{"handlers/", "workflows/", "middleware/", "jobs/", stateFolder}

// builtins are the entries of "use" that are not files.
var builtins = map[string]bool{"access-log": true, "recover": true}

// builder turns a tree into an image.
type builder struct {
	engines script.Set
	tree    *tree.Tree
	prev    *image // what units are carried over from; may be nil
	number  int    // of the generation that is built
	env     func(string) (string, bool)
	load    func() (float64, error) // measures it, for a guard
	mapped  bool                    // what serves, or served last, has a manifest: losing it is a mistake

	m        *manifest.Manifest
	limits   script.Limits
	problems []Problem
	warnings []Problem
}

// build compiles t. Units of prev whose files did not change are carried over as the
// same objects. It returns the problems instead of an image when there are any;
// nothing of the attempt is then left.
func build(ctx context.Context, b builder) (*image, []Problem) {
	b.loadManifest()
	if b.m == nil {
		return nil, b.problems
	}
	im := &image{tree: b.tree, manifest: b.m, units: map[string]*unit{}, rules: map[string]*expr.Program{}, limits: limitsOf(b.m)}
	b.limits = im.limits.script
	im.config = b.loadConfig()
	im.tests = b.loadTests()
	fresh := b.compileUnits(ctx, im)
	b.checkTargets(im)
	b.loadSchemas(im)
	if len(b.problems) == 0 {
		im.warnings = b.warnings
		return im, nil
	}
	for _, u := range fresh {
		u.Close()
	}
	return nil, b.problems
}

// problem notes err, taking its position and frame along.
func (b *builder) problem(kind string, err error) {
	for _, p := range problemsOf(kind, err) {
		same := func(q Problem) bool {
			return q.File == p.File && q.Line == p.Line && q.Column == p.Column && q.Message == p.Message
		}
		if !slices.ContainsFunc(b.problems, same) { // several units may import the file that is broken
			b.problems = append(b.problems, p)
		}
	}
}

// problemsOf flattens err into problems.
func problemsOf(kind string, err error) []Problem {
	if multi, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Problem
		for _, e := range multi.Unwrap() {
			all = append(all, problemsOf(kind, e)...)
		}
		return all
	}
	if fe, ok := errors.AsType[*tree.FileError](err); ok {
		return []Problem{{Kind: "file", File: fe.Path, Message: fe.Reason, Hint: fe.Hint}}
	}
	if se, ok := errors.AsType[*script.Error](err); ok {
		if kind == "" {
			kind = string(se.Kind)
		}
		return []Problem{{Kind: kind, Message: se.Message, Hint: se.Hint, File: se.File, Line: se.Line, Column: se.Column, Frame: se.Frame}}
	}
	if kind == "" {
		kind = "error"
	}
	return []Problem{{Kind: kind, Message: err.Error()}}
}

// loadManifest reads theseus.yaml, or makes one up for a single file or a bare
// handlers folder.
func (b *builder) loadManifest() {
	if f, ok := b.tree.File(manifest.File); ok {
		m, err := manifest.Parse(manifest.File, f.Data, b.env)
		if err != nil {
			b.problem("manifest", err)
			return
		}
		if err := checkGuards(m, b.load); err != nil {
			b.problem("manifest", err)
			return
		}
		b.m = m
		return
	}
	if b.mapped {
		b.problems = append(b.problems, Problem{Kind: "manifest", File: manifest.File, Message: "the manifest was deleted",
			Hint: "restore it; an app without one is a new app, in a directory of its own"})
		return
	}
	m, err := implicit(b.tree)
	if err != nil {
		b.problem("manifest", err)
		return
	}
	b.m = m
}

// implicit makes a manifest up for a tree that has none.
func implicit(t *tree.Tree) (*manifest.Manifest, error) {
	var names []string
	for _, f := range t.Files() {
		names = append(names, f.Path)
	}
	return manifest.Implicit(names)
}

// wanted lists the units of the tree: files in the unit folders outside lib/,
// and what the manifest names.
func (b *builder) wanted() []string {
	set := map[string]bool{}
	for _, f := range b.tree.Files() {
		for _, folder := range unitFolders {
			if strings.HasPrefix(f.Path, folder) && !slices.Contains(strings.Split(path.Dir(f.Path), "/"), "lib") {
				if _, ok := b.engines.For(f.Path); ok {
					set[f.Path] = true
				}
			}
		}
	}
	for _, r := range b.m.Routes {
		for _, name := range []string{r.Run, r.Else} {
			if name != "" && !strings.HasSuffix(name, "/") {
				set[name] = true
			}
		}
	}
	for _, name := range b.m.Use {
		if !builtins[name] {
			set[name] = true
		}
	}
	for _, j := range b.m.Jobs {
		set[j.Run] = true
	}
	names := make([]string, 0, len(set))
	for name := range set {
		if _, ok := b.tree.File(name); ok { // missing ones are reported where they are named
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// compileUnits fills im.units with everything wanted and what that refers to.
// It returns the units that were not carried over.
func (b *builder) compileUnits(ctx context.Context, im *image) (fresh []*unit) {
	queue := b.wanted()
	seen := map[string]bool{}
	for _, name := range queue {
		seen[name] = true
	}
	for len(queue) > 0 {
		results := make([]compiled, len(queue))
		sem := make(chan struct{}, runtime.GOMAXPROCS(0))
		var wg sync.WaitGroup
		for i, name := range queue {
			if u := b.carry(name); u != nil {
				results[i] = compiled{unit: u, carried: true}
				continue
			}
			wg.Go(func() {
				sem <- struct{}{}
				defer func() { <-sem }()
				results[i] = b.compile(ctx, name)
			})
		}
		wg.Wait()
		queue = queue[:0]
		for _, r := range results {
			if r.err != nil {
				b.problem("", b.explainMissing(r.err))
				continue
			}
			im.units[r.unit.Name()] = r.unit
			if r.carried {
				im.carried++
			} else {
				fresh = append(fresh, r.unit)
			}
			for _, ref := range r.unit.Refs() {
				if seen[ref.Name] {
					continue
				}
				seen[ref.Name] = true
				if _, ok := b.tree.File(ref.Name); ok {
					queue = append(queue, ref.Name)
				}
			}
		}
	}
	for _, name := range sortedKeys(im.units) {
		for _, ref := range im.units[name].Refs() {
			if im.units[ref.Name] == nil && !b.hasProblem(ref.Name) {
				b.missing(ref.File, ref.Line, ref.Column, ref.Name)
			}
		}
	}
	return fresh
}

type compiled struct {
	unit    *unit
	carried bool
	err     error
}

// carry returns the previous image's unit when every file it was made of is
// unchanged and so are the limits.
func (b *builder) carry(name string) *unit {
	if b.prev == nil || b.prev.limits.script != b.limits {
		return nil
	}
	u := b.prev.units[name]
	if u == nil {
		return nil
	}
	for file, digest := range u.files {
		if f, ok := b.tree.File(file); !ok || f.Digest != digest {
			return nil
		}
	}
	return u
}

// compile compiles one unit.
func (b *builder) compile(ctx context.Context, name string) compiled {
	engine, ok := b.engines.For(name)
	if !ok {
		return compiled{err: &script.Error{Kind: script.Refused, File: name, Message: "no engine runs " + path.Ext(name) + " files",
			Hint: "known extensions: " + strings.Join(b.engines.Extensions(), " ")}}
	}
	su, err := engine.Compile(ctx, b.tree, name, b.limits)
	if err != nil {
		return compiled{err: err}
	}
	if !strings.HasPrefix(name, stateFolder) && !slices.Contains(su.Exports(), "default") {
		su.Close()
		return compiled{err: &script.Error{Kind: script.Refused, File: name, Message: "has no default export", Hint: "write: export default (req) => …"}}
	}
	u := &unit{Unit: su, engine: engine.Name(), files: map[string]string{}, since: b.number}
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%v\x00", engine.Name(), name, b.limits)
	for _, file := range su.Files() {
		f, ok := b.tree.File(file)
		if !ok {
			continue
		}
		u.files[file] = f.Digest
		u.calls = u.calls || strings.Contains(string(f.Data), "run(")
		_, _ = io.WriteString(h, file+"\x00"+f.Digest+"\x00")
	}
	u.digest = hex.EncodeToString(h.Sum(nil))
	return compiled{unit: u}
}

// checkTargets checks that what the manifest names is there and fits.
func (b *builder) checkTargets(im *image) {
	for _, r := range b.m.Routes {
		b.checkRun(im, r.Run, "routes", r.Pattern)
		if r.Else != "" {
			b.checkRun(im, r.Else, "routes", r.Pattern)
		}
		if r.When != "" {
			rule, err := compileRule(r.When)
			if err != nil {
				line, col := b.m.At("routes", r.Pattern)
				b.problems = append(b.problems, b.framed(Problem{Kind: "route", File: manifest.File, Line: line, Column: col, Message: "when: " + err.Error()}))
			}
			im.rules[r.Pattern] = rule
		}
		if u := im.units[r.Run]; r.Stream != "" && u != nil && u.engine == "workflow" {
			line, col := b.m.At("routes", r.Pattern)
			b.problems = append(b.problems, b.framed(Problem{Kind: "route", File: manifest.File, Line: line, Column: col, Message: "a workflow cannot be a stream"}))
		}
	}
	for _, name := range b.m.Use {
		if builtins[name] {
			continue
		}
		b.checkRun(im, name, "use", name)
	}
	for _, j := range b.m.Jobs {
		b.checkRun(im, j.Run, "jobs", j.Name)
	}
	if len(b.m.Routes) > 0 && len(im.tests) == 0 {
		b.warnings = append(b.warnings, Problem{Kind: "test", Message: "the app has no tests: nothing is tried before a change goes live", Hint: "put request → expected into tests/NAME.yaml"})
	}
}

// checkRun checks one value of "run".
func (b *builder) checkRun(im *image, name string, at ...string) {
	if strings.HasSuffix(name, "/") {
		for _, f := range b.tree.Files() {
			if strings.HasPrefix(f.Path, name) {
				return
			}
		}
	} else if im.units[name] != nil || b.hasProblem(name) {
		return
	}
	line, col := b.m.At(at...)
	b.missing(manifest.File, line, col, name)
}

// hasProblem reports whether the file itself already has a problem.
func (b *builder) hasProblem(name string) bool {
	_, there := b.tree.File(name)
	return there && slices.ContainsFunc(b.problems, func(p Problem) bool { return p.File == name || p.File != manifest.File })
}

// missing notes that file names a unit or folder that is not there.
func (b *builder) missing(file string, line, col int, name string) {
	p := Problem{Kind: "route", File: file, Line: line, Column: col, Message: name + " does not exist"}
	if near := b.nearest(name); near != "" {
		p.Hint = "did you mean " + near + "?"
	}
	if b.prev != nil {
		if _, was := b.prev.tree.File(name); was {
			p.Message = name + " was deleted but is still needed by " + strings.Join(b.needers(name, file), ", ")
			p.Hint = "restore it, or remove what names it"
		}
	}
	b.problems = append(b.problems, b.framed(p))
}

// explainMissing adds to an import error who else still needs a deleted file.
func (b *builder) explainMissing(err error) error {
	se, ok := errors.AsType[*script.Error](err)
	if !ok || b.prev == nil || se.Kind != script.Refused {
		return err
	}
	for _, f := range b.prev.tree.Files() {
		if _, still := b.tree.File(f.Path); still || !strings.Contains(se.Message, f.Path) {
			continue
		}
		c := *se
		c.Message = "imports " + f.Path + ", which was deleted but is still needed by " + strings.Join(b.needers(f.Path, se.File), ", ")
		c.Hint = "restore it, or remove the imports"
		return &c
	}
	return err
}

// needers lists the units of the previous image that were made of name and
// still exist, and first, sorted.
func (b *builder) needers(name, first string) []string {
	set := map[string]bool{first: true}
	for un, u := range b.prev.units {
		if _, there := b.tree.File(un); !there || un == name {
			continue
		}
		if _, ok := u.files[name]; ok {
			set[un] = true
		}
		for _, ref := range u.Refs() {
			if ref.Name == name {
				set[un] = true
			}
		}
	}
	return sortedKeys(set)
}

// nearest returns a file of the tree with the same base name or stem.
func (b *builder) nearest(name string) string {
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	best := ""
	var stems []string // of the same folder and extension
	for _, f := range b.tree.Files() {
		fs := strings.TrimSuffix(path.Base(f.Path), path.Ext(f.Path))
		if path.Dir(f.Path) == path.Dir(name) && path.Ext(f.Path) == path.Ext(name) {
			stems = append(stems, fs)
		}
		if fs == stem || len(stem) > 2 && (strings.HasPrefix(fs, stem) || strings.HasPrefix(stem, fs) && len(fs) > 2) {
			if best == "" || path.Dir(f.Path) == path.Dir(name) {
				best = f.Path
			}
		}
	}
	if near := spell.Nearest(stem, stems); best == "" && near != "" {
		best = path.Join(path.Dir(name), near+path.Ext(name))
	}
	return best
}

// framed adds the code frame of the problem's place.
func (b *builder) framed(p Problem) Problem {
	if f, ok := b.tree.File(p.File); ok && p.Frame == "" {
		p.Frame = frame(f.Data, p.Line, p.Column)
	}
	return p
}

func frame(src []byte, line, column int) string { return codeframe.Render(src, line, column, "") }
