package js

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/theseus-run/theseus/script"
)

// Bounds on source text, checked before the engine sees any of it.
const (
	maxFile    = 1 << 20 // bytes of one file
	maxClosure = 8 << 20 // bytes of an entry file and all that it imports
	maxFiles   = 200
)

// bootModule is what the engine calls the place the entry is imported from.
const bootModule = "<eval>"

// A closure is an entry file and all that it imports. It does not change once
// it is complete.
type closure struct {
	entry   string
	order   []string          // in the order they were found, entry first
	sources map[string]string // path → text
	edges   []edge
	bytes   int
}

// An edge is one import.
type edge struct{ from, specifier, to string }

// A resolver fills a closure while the engine asks for modules.
type resolver struct {
	closure
	files   fs.FS
	refusal *script.Error // the first module that was refused
}

func newResolver(files fs.FS, entry string) *resolver {
	return &resolver{files: files, closure: closure{entry: entry, sources: make(map[string]string)}}
}

// loadEntry reads the entry file.
func (r *resolver) loadEntry() error {
	if !fs.ValidPath(r.entry) || r.entry == "." {
		return &script.Error{Kind: script.Refused, File: r.entry, Message: "is not a path inside the app"}
	}
	if err := r.load(r.entry); err != nil {
		if errors.Is(err.Err, fs.ErrNotExist) {
			err.Message = "does not exist"
		}
		return err
	}
	return nil
}

// load reads and checks the file name. The error is about that file.
func (r *resolver) load(name string) *script.Error {
	if _, ok := r.sources[name]; ok {
		return nil
	}
	refuse := func(hint, format string, args ...any) *script.Error {
		return &script.Error{Kind: script.Refused, File: name, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if len(r.order) >= maxFiles {
		return refuse("", "is one file too many: a unit may have %d", maxFiles)
	}
	text, err := readSource(r.files, name)
	if err != nil {
		if e, ok := errors.AsType[*script.Error](err); ok {
			return e
		}
		e := refuse("", "cannot be read: %v", err)
		e.Err = err
		return e
	}
	if r.bytes += len(text); r.bytes > maxClosure {
		return refuse("split the unit: handlers share nothing but kv, so they need not share a file", "makes the unit larger than %s with what it imports", size(maxClosure))
	}
	source := string(text)
	if path.Ext(name) == ".json" {
		if source, err = jsonModule(text); err != nil {
			e := refuse("", "is not JSON: %v", err)
			if s, ok := errors.AsType[*json.SyntaxError](err); ok {
				e.Line, e.Column = position(text, int(s.Offset)-1)
				e.WithFrame(text)
			}
			return e
		}
	}
	r.sources[name] = source
	r.order = append(r.order, name)
	return nil
}

// readSource reads a text file of at most maxFile bytes.
func readSource(files fs.FS, name string) ([]byte, error) {
	refuse := func(hint, format string, args ...any) error {
		return &script.Error{Kind: script.Refused, File: name, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, refuse("", "is a directory")
	case !info.Mode().IsRegular():
		return nil, refuse("", "is not a regular file")
	case info.Size() > maxFile:
		return nil, refuse("move data out of the source, into config/ or kv", "has %s; a source file may have %s", size(info.Size()), size(maxFile))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, refuse("", "is larger than %s", size(maxFile))
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		line, _ := position(text, i)
		return nil, refuse("source files are UTF-8 text", "is not text: a NUL byte in line %d", line)
	}
	if !utf8.Valid(text) {
		i := 0
		for {
			c, n := utf8.DecodeRune(text[i:])
			if c == utf8.RuneError && n <= 1 {
				break
			}
			i += n
		}
		line, column := position(text, i)
		e := &script.Error{Kind: script.Refused, File: name, Line: line, Column: column, Message: "is not valid UTF-8", Hint: "save the file as UTF-8"}
		return nil, e.WithFrame(text)
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

func size(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// jsonModule returns a module whose default export is the frozen data of text.
func jsonModule(text []byte) (string, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "", err
	}
	literal := string(script.AppendString(nil, string(text)))
	// These two are line ends inside a JavaScript string of old, not of JSON.
	literal = strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`).Replace(literal)
	return "export default JSON.parse(" + literal + ", (_, v) => Object.freeze(v));", nil
}

// position returns the 1-based line and column, in bytes, of an offset.
func position(text []byte, offset int) (line, column int) {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	return 1 + bytes.Count(before, []byte("\n")), offset - bytes.LastIndexByte(before, '\n')
}

// target returns the path that specifier means in the file from, or why it
// means none.
func target(from, specifier string) (to, problem, hint string) {
	switch {
	case strings.Contains(specifier, "://") || strings.HasPrefix(specifier, "data:"):
		return "", "which is a URL", "copy the file into the app and import it by relative path"
	case strings.HasPrefix(specifier, "/"):
		return "", "which is an absolute path", "import by relative path: ./name.js"
	case !strings.HasPrefix(specifier, "./") && !strings.HasPrefix(specifier, "../"):
		return "", "which is not a relative path", "import by relative path: ./name.js; packages have to be copied into the app"
	}
	to = path.Join(path.Dir(from), specifier)
	switch {
	case to == ".." || strings.HasPrefix(to, "../"):
		return "", "which is outside the app", "copy the file into the app"
	case strings.HasSuffix(specifier, "/") || !fs.ValidPath(to) || strings.ContainsAny(to, "\\\x00"):
		return "", "which is not the path of a file", ""
	}
	switch path.Ext(to) {
	case ".js", ".mjs", ".json":
		return to, "", ""
	case "":
		return "", "which has no extension", "write the extension: " + specifier + ".js"
	}
	return "", "which is not a .js, .mjs or .json file", ""
}

// normalize is the engine's question what an import means.
func (r *resolver) normalize(from, specifier string) (string, error) {
	if from == bootModule {
		return specifier, nil
	}
	to, problem, hint := target(from, specifier)
	if problem != "" {
		return "", r.refuse(from, specifier, &script.Error{Kind: script.Refused, Hint: hint,
			Message: fmt.Sprintf("imports %q, %s", specifier, problem)})
	}
	r.edges = append(r.edges, edge{from, specifier, to})
	if err := r.load(to); err != nil {
		if errors.Is(err.Err, fs.ErrNotExist) {
			err = &script.Error{Kind: script.Refused, Message: fmt.Sprintf("imports %s, which does not exist", to), Err: err.Err,
				Hint: "paths are relative to the importing file"}
		} else if err.Line == 0 {
			err = &script.Error{Kind: script.Refused, Message: fmt.Sprintf("imports %s, which %s", to, err.Message), Hint: err.Hint, Err: err.Err}
		}
		return "", r.refuse(from, specifier, err)
	}
	return to, nil
}

// refuse records the first refusal, placed at the import that led to it.
func (r *resolver) refuse(from, specifier string, err *script.Error) error {
	if err.File == "" {
		err.File = from
		err.Line, err.Column = r.importPosition(from, specifier)
		r.errorAt(err)
	}
	if r.refusal == nil {
		r.refusal = err
	}
	return err
}

// errorAt fills err's frame.
func (c *closure) errorAt(err *script.Error) *script.Error {
	if source, ok := c.sources[err.File]; ok && err.Line > 0 && path.Ext(err.File) != ".json" {
		return err.WithFrame([]byte(source))
	}
	return err
}

// importPosition finds where a file names a specifier; 0, 0 when it cannot.
func (c *closure) importPosition(from, specifier string) (line, column int) {
	source := c.sources[from]
	pattern := `(?:\bfrom|\bimport)\s*\(?\s*(["']` + regexp.QuoteMeta(specifier) + `["'])`
	if at := regexp.MustCompile(pattern).FindStringSubmatchIndex(source); at != nil {
		return position([]byte(source), at[2])
	}
	for _, quote := range []string{`"`, `'`} {
		if i := strings.Index(source, quote+specifier+quote); i >= 0 {
			return position([]byte(source), i)
		}
	}
	return 0, 0
}

// cycle returns the error for an import cycle, or nil.
func (c *closure) cycle() *script.Error {
	out := make(map[string][]edge)
	for _, e := range c.edges {
		out[e.from] = append(out[e.from], e)
	}
	const visiting, visited = 1, 2
	state := make(map[string]int)
	var trail []string
	var visit func(string) *script.Error
	visit = func(name string) *script.Error {
		state[name] = visiting
		trail = append(trail, name)
		for _, e := range out[name] {
			switch state[e.to] {
			case visiting:
				start := 0
				for trail[start] != e.to {
					start++
				}
				err := &script.Error{Kind: script.Refused, File: e.from,
					Message: "import cycle: " + strings.Join(append(trail[start:len(trail):len(trail)], e.to), " → "),
					Hint:    "move what both need into a third file"}
				err.Line, err.Column = c.importPosition(e.from, e.specifier)
				return c.errorAt(err)
			case visited:
				continue
			}
			if err := visit(e.to); err != nil {
				return err
			}
		}
		trail = trail[:len(trail)-1]
		state[name] = visited
		return nil
	}
	return visit(c.entry)
}
