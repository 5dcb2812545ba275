package app_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
)

// The property: whatever is done to the files, what is served always equals the
// last tree that passed its gates. A model of the app, far simpler than the
// app, says which trees pass and what they answer.

// modelTree is what the model knows of one state of the disk.
type modelTree struct {
	handlers map[string]modelHandler // by name: handlers/NAME.js
	libs     map[string]modelFile    // handlers/lib/NAME.js
	config   modelFile               // config/c.yaml
	routed   map[string]bool         // names that theseus.yaml routes
	manifest modelFile
	expect   int // tests/t.yaml wants this config version; 0: no such file
}

type modelFile struct {
	version int
	broken  bool
	absent  bool
}

type modelHandler struct {
	modelFile
	imports []string
}

func (m modelTree) clone() modelTree {
	m.handlers, m.libs, m.routed = maps.Clone(m.handlers), maps.Clone(m.libs), maps.Clone(m.routed)
	return m
}

// passes says whether the tree passes its gates.
func (m modelTree) passes() bool {
	if m.manifest.broken || m.manifest.absent || m.config.broken || len(m.routed) == 0 {
		return false
	}
	for name := range m.routed {
		if _, ok := m.handlers[name]; !ok {
			return false
		}
	}
	for _, h := range m.handlers {
		if h.broken {
			return false
		}
		for _, l := range h.imports {
			if f, ok := m.libs[l]; !ok || f.broken {
				return false
			}
		}
	}
	return m.expect == 0 || m.expect == m.configVersion()
}

func (m modelTree) configVersion() int {
	if m.config.absent {
		return 0
	}
	return m.config.version
}

// answer is what GET /NAME gives.
func (m modelTree) answer(name string) string {
	h := m.handlers[name]
	s := fmt.Sprintf("%s %d", name, h.version)
	for _, l := range h.imports {
		s += fmt.Sprintf(" %s %d", l, m.libs[l].version)
	}
	return s + fmt.Sprintf(" config %d;", m.configVersion())
}

// files are the contents of the tree.
func (m modelTree) files() map[string]string {
	out := map[string]string{}
	for name, h := range m.handlers {
		src := ""
		for _, l := range h.imports {
			src += fmt.Sprintf("import { v as %s } from './lib/%s.js';\n", l, l)
		}
		src += fmt.Sprintf("export default () => `%s %d", name, h.version)
		for _, l := range h.imports {
			src += fmt.Sprintf(" %s ${%s}", l, l)
		}
		src += " config ${config.c?.v ?? 0};`;\n"
		if h.broken {
			src = src[:len(src)-10] + "(`${"
		}
		out["handlers/"+name+".js"] = src
	}
	for name, f := range m.libs {
		src := fmt.Sprintf("export const v = %d;\n", f.version)
		if f.broken {
			src = "export const v = = 1;\n"
		}
		out["handlers/lib/"+name+".js"] = src
	}
	if !m.config.absent {
		src := fmt.Sprintf("v: %d\n", m.config.version)
		if m.config.broken {
			src = "v: [1\n"
		}
		out["config/c.yaml"] = src
	}
	if !m.manifest.absent {
		src := fmt.Sprintf("app: model\napi: 1\n# %d\nroutes:\n", m.manifest.version)
		for _, name := range slices.Sorted(maps.Keys(m.routed)) {
			src += fmt.Sprintf("  GET /%s: handlers/%s.js\n", name, name)
		}
		if m.manifest.broken {
			src += "rooutes: {}\n"
		}
		out["theseus.yaml"] = src
	}
	if m.expect != 0 {
		first := slices.Sorted(maps.Keys(m.routed))
		if len(first) > 0 {
			out["tests/t.yaml"] = fmt.Sprintf("- name: t\n  request: GET /%s\n  expect: { contains: \"config %d;\" }\n", first[0], m.expect)
		}
	}
	return out
}

// pick returns one of the map's keys.
func pick[V any](r *rand.Rand, m map[string]V) string {
	keys := slices.Sorted(maps.Keys(m))
	if len(keys) == 0 {
		return ""
	}
	return keys[r.IntN(len(keys))]
}

// edit changes the model at random and says how.
func (m *modelTree) edit(r *rand.Rand, next int) string {
	switch r.IntN(14) {
	case 0: // create a handler
		name := fmt.Sprintf("h%d", r.IntN(4))
		var imports []string
		for _, l := range slices.Sorted(maps.Keys(m.libs)) {
			if r.IntN(2) == 0 {
				imports = append(imports, l)
			}
		}
		m.handlers[name] = modelHandler{modelFile{version: next}, imports}
		return "create handler " + name
	case 1: // create a library
		name := fmt.Sprintf("l%d", r.IntN(3))
		m.libs[name] = modelFile{version: next}
		return "create lib " + name
	case 2: // delete a handler
		name := pick(r, m.handlers)
		delete(m.handlers, name)
		return "delete handler " + name
	case 3: // delete a library
		name := pick(r, m.libs)
		delete(m.libs, name)
		return "delete lib " + name
	case 4: // break a handler
		if name := pick(r, m.handlers); name != "" {
			h := m.handlers[name]
			h.broken = true
			m.handlers[name] = h
			return "break handler " + name
		}
	case 5: // break a library
		if name := pick(r, m.libs); name != "" {
			m.libs[name] = modelFile{version: next, broken: true}
			return "break lib " + name
		}
	case 6: // rename a handler
		if from := pick(r, m.handlers); from != "" {
			to := fmt.Sprintf("h%d", r.IntN(4))
			h := m.handlers[from]
			delete(m.handlers, from)
			m.handlers[to] = h
			return "rename handler " + from + " to " + to
		}
	case 7: // route what there is
		m.routed = map[string]bool{}
		for name := range m.handlers {
			m.routed[name] = true
		}
		return "route all"
	case 8: // break or mend the manifest
		m.manifest = modelFile{version: next, broken: !m.manifest.broken}
		return fmt.Sprint("manifest broken ", m.manifest.broken)
	case 9: // delete or restore the configuration
		m.config = modelFile{version: next, absent: !m.config.absent}
		return fmt.Sprint("config absent ", m.config.absent)
	case 10:
		m.config = modelFile{version: next, broken: r.IntN(3) == 0}
		return fmt.Sprint("config broken ", m.config.broken)
	case 11: // a test that holds, fails or goes away
		switch r.IntN(3) {
		case 0:
			m.expect = 0
		case 1:
			m.expect = max(m.configVersion(), 1)
		case 2:
			m.expect = 999999
		}
		return fmt.Sprint("test wants config ", m.expect)
	}
	// Repair everything.
	for name, h := range m.handlers {
		h.broken, h.version = false, next
		for _, l := range h.imports {
			if f, ok := m.libs[l]; !ok || f.broken {
				m.libs[l] = modelFile{version: next}
			}
		}
		m.handlers[name] = h
	}
	m.manifest, m.config, m.expect = modelFile{version: next}, modelFile{version: next}, 0
	m.routed = map[string]bool{}
	if len(m.handlers) == 0 {
		m.handlers["h0"] = modelHandler{modelFile: modelFile{version: next}}
	}
	for name := range m.handlers {
		m.routed[name] = true
	}
	return "repair"
}

// disk brings a model's files to a directory.
type disk struct {
	dir     string
	mounted bool // like a Kubernetes ConfigMap: everything behind ..data
	swaps   int
	now     map[string]string
}

// sync makes the directory hold files.
func (d *disk) sync(t testing.TB, files map[string]string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if d.mounted {
		d.swaps++
		target := fmt.Sprintf("..v%d", d.swaps)
		write(t, filepath.Join(d.dir, target), files)
		check(os.MkdirAll(filepath.Join(d.dir, target), 0o755))
		tmp := filepath.Join(d.dir, "..data_tmp")
		check(os.Symlink(target, tmp))
		check(os.Rename(tmp, filepath.Join(d.dir, "..data")))
		tops := map[string]bool{}
		for name := range files {
			top, _, _ := strings.Cut(name, "/")
			tops[top] = true
		}
		entries, err := os.ReadDir(d.dir)
		check(err)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") && !tops[e.Name()] {
				check(os.Remove(filepath.Join(d.dir, e.Name())))
			}
		}
		for top := range tops {
			if _, err := os.Lstat(filepath.Join(d.dir, top)); err != nil {
				check(os.Symlink(filepath.Join("..data", top), filepath.Join(d.dir, top)))
			}
		}
		check(os.RemoveAll(filepath.Join(d.dir, fmt.Sprintf("..v%d", d.swaps-1))))
		return
	}
	for name := range d.now {
		if _, ok := files[name]; !ok {
			check(os.Remove(filepath.Join(d.dir, filepath.FromSlash(name))))
		}
	}
	for name, text := range files {
		if d.now[name] == text {
			continue
		}
		file := filepath.Join(d.dir, filepath.FromSlash(name))
		check(os.MkdirAll(filepath.Dir(file), 0o755))
		check(os.WriteFile(file+".tmp", []byte(text), 0o644))
		check(os.Rename(file+".tmp", file))
	}
	d.now = files
}

// sequence performs one random sequence of edits.
func sequence(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	m := modelTree{handlers: map[string]modelHandler{"h0": {modelFile: modelFile{version: 1}, imports: []string{"l0"}}},
		libs: map[string]modelFile{"l0": {version: 1}}, routed: map[string]bool{"h0": true}, config: modelFile{version: 1}}
	d := &disk{dir: t.TempDir(), mounted: seed%4 == 0}
	d.sync(t, m.files())
	a := open(t, d.dir)
	good := m.clone()
	var did []string
	for n := range 4 + r.IntN(8) {
		for range 1 + r.IntN(2) {
			did = append(did, m.edit(r, n+2))
		}
		d.sync(t, m.files())
		_, err := a.Reload(t.Context(), app.Change{Trigger: "api"})
		var refused *app.RefusedError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("seed %d after %q: %v", seed, did, err)
		}
		if passed := err == nil; passed != m.passes() {
			t.Fatalf("seed %d after %q: passed %v (%v), the model says %v\n%v", seed, did, passed, err, m.passes(), m.files())
		}
		if m.passes() {
			good = m.clone()
		}
		for name := range good.routed {
			resp, text := get(t, a, "GET", "/"+name, "")
			if want := good.answer(name); resp.StatusCode != 200 || text != want {
				t.Fatalf("seed %d after %q: GET /%s gave %d %q, want %q", seed, did, name, resp.StatusCode, text, want)
			}
		}
		if s := a.Status(); s.Drift == m.passes() || !s.Ready {
			t.Fatalf("seed %d after %q: drift %v, ready %v; the disk passes: %v", seed, did, s.Drift, s.Ready, m.passes())
		}
	}
}

func runSequences(t *testing.T, n int) {
	const part = 50
	for first := 0; first < n; first += part {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			t.Parallel()
			for seed := first; seed < first+part; seed++ {
				t.Run("", func(t *testing.T) { sequence(t, uint64(seed)) })
			}
		})
	}
}

func TestEditSequences(t *testing.T) {
	n := 200
	if testing.Short() || raceEnabled {
		n = 50
	}
	runSequences(t, n)
}

// TestEditSequencesFull runs 2,000 sequences; `make test` does it without the
// race detector.
func TestEditSequencesFull(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("the 200 of TestEditSequences are enough here")
	}
	runSequences(t, 2000)
}
