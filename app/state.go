package app

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/script"
)

// stateFolder holds the schemas of the scripts' data: state/NAME.js has the steps
// between the versions of what stands under the keys NAME:….
const stateFolder = "state/"

// A stateFile is a file of state/, compiled. It implements migrate.Schema.
type stateFile struct {
	unit           *unit
	oldest, newest uint64
	funcs          map[string]string // "up2" → the name of the export, which some languages begin with a capital

	mu  sync.Mutex        // guards what follows
	why map[uint64]string // by version: why there is no way back from it; nil before it was asked
}

var (
	schemaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	stepName   = regexp.MustCompile(`^(up|down|irreversible)([1-9][0-9]{0,8})$`)
)

// isSchema reports whether a file of the tree is a schema: it lies directly in state/.
func isSchema(name string) bool { return path.Dir(name)+"/" == stateFolder }

// schemaOf returns the name of the schema in a file.
func schemaOf(file string) string { return strings.TrimSuffix(path.Base(file), path.Ext(file)) }

// loadSchemas makes the schemas of the units in state/.
func (b *builder) loadSchemas(im *image) {
	files := map[string]string{} // name → file
	for _, file := range sortedKeys(im.units) {
		if !strings.HasPrefix(file, stateFolder) || slices.Contains(strings.Split(file, "/"), "lib") {
			continue
		}
		name := schemaOf(file)
		p := Problem{Kind: "state", File: file, Line: 1, Column: 1}
		switch {
		case !isSchema(file):
			p.Message, p.Hint = "a schema lies directly in state/", "put code that schemas import into state/lib/"
		case !schemaName.MatchString(name):
			p.Message, p.Hint = fmt.Sprintf("%q cannot be the name of a schema", name), "letters, digits, - and _, at most 64: the keys begin with it and a colon"
		case files[name] != "":
			p.Message = files[name] + " has the schema " + name + " already"
		default:
			files[name] = file
			if s := b.loadSchema(im.units[file]); s != nil {
				if im.schemas == nil {
					im.schemas = migrate.Schemas{}
				}
				im.schemas[name] = s
			}
			continue
		}
		b.problems = append(b.problems, b.framed(p))
	}
	im.form = im.schemas.String()
}

// loadSchema checks the exports of one schema.
func (b *builder) loadSchema(u *unit) *stateFile {
	s := &stateFile{unit: u, funcs: map[string]string{}}
	var ups []uint64
	for _, export := range u.Exports() {
		if export == "" {
			continue
		}
		name := strings.ToLower(export[:1]) + export[1:]
		s.funcs[name] = export
		if m := stepName.FindStringSubmatch(name); m != nil && m[1] == "up" {
			n, _ := strconv.ParseUint(m[2], 10, 64)
			ups = append(ups, n)
		}
	}
	wrong := func(at, hint, format string, args ...any) {
		p := Problem{Kind: "state", File: u.Name(), Message: fmt.Sprintf(format, args...), Hint: hint}
		p.Line, p.Column = b.lookUp(u.Name(), s.funcs[at])
		b.problems = append(b.problems, b.framed(p))
	}
	if len(ups) == 0 {
		wrong("", "export function up1(value, key) { … } and down1, its reverse", "the schema has no version: it exports no up1")
		return nil
	}
	slices.Sort(ups)
	s.oldest, s.newest = ups[0]-1, ups[len(ups)-1]
	good := true
	for i, n := range ups {
		up, down, final := fmt.Sprint("up", n), fmt.Sprint("down", n), fmt.Sprint("irreversible", n)
		switch {
		case i > 0 && n != ups[i-1]+1:
			wrong(up, "the steps follow each other; the oldest may go once no data is that old", "there is no up%d between up%d and up%d", n-1, ups[i-1], n)
		case s.funcs[down] == "" && s.funcs[final] == "":
			wrong(up, fmt.Sprintf("export function %s(value, key), which undoes it; or, if nothing can, function %s() that returns why", down, final), "there is no %s", down)
		case s.funcs[down] != "" && s.funcs[final] != "":
			wrong(final, "remove one of them", "there is both %s and %s", down, final)
		default:
			continue
		}
		good = false
	}
	for _, name := range sortedKeys(s.funcs) {
		m := stepName.FindStringSubmatch(name)
		if m == nil || m[1] == "up" {
			continue
		}
		if n, _ := strconv.ParseUint(m[2], 10, 64); !slices.Contains(ups, n) {
			wrong(name, "", "there is %s but no up%d", name, n)
			good = false
		}
	}
	if !good {
		return nil
	}
	return s
}

// lookUp finds a name in a file, the first line for none.
func (b *builder) lookUp(file, name string) (line, column int) {
	f, ok := b.tree.File(file)
	if !ok || name == "" {
		return 1, 1
	}
	at := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).FindIndex(f.Data)
	if at == nil {
		return 1, 1
	}
	before := string(f.Data[:at[0]])
	return 1 + strings.Count(before, "\n"), at[0] - strings.LastIndex(before, "\n")
}

// Versions implements migrate.Schema.
func (s *stateFile) Versions() (oldest, newest uint64) { return s.oldest, s.newest }

// Up implements migrate.Schema.
func (s *stateFile) Up(ctx context.Context, n uint64, key string, value []byte) ([]byte, error) {
	return s.call(ctx, fmt.Sprint("up", n), script.JSON(value), script.Of(key))
}

// Down implements migrate.Schema.
func (s *stateFile) Down(ctx context.Context, n uint64, key string, value []byte) ([]byte, error) {
	return s.call(ctx, fmt.Sprint("down", n), script.JSON(value), script.Of(key))
}

// Check implements migrate.Schema.
func (s *stateFile) Check(ctx context.Context, key string, value []byte) error {
	if s.funcs["check"] == "" {
		return nil
	}
	_, err := s.call(ctx, "check", script.JSON(value), script.Of(key))
	return err
}

// OneWay implements migrate.Schema.
func (s *stateFile) OneWay(ctx context.Context, n uint64) (string, error) {
	if s.funcs[fmt.Sprint("irreversible", n)] == "" {
		return "", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		why, err := s.reasons(ctx)
		if err != nil {
			return "", err
		}
		s.why = why
	}
	return s.why[n], nil
}

// reasons asks each step that cannot be undone why.
func (s *stateFile) reasons(ctx context.Context) (map[uint64]string, error) {
	all := map[uint64]string{}
	for n := s.oldest + 1; n <= s.newest; n++ {
		name := fmt.Sprint("irreversible", n)
		if s.funcs[name] == "" {
			continue
		}
		text, err := s.call(ctx, name)
		why, _ := script.JSON(text).Tree().(string)
		if why = strings.Join(strings.Fields(why), " "); err == nil && why == "" {
			err = fmt.Errorf("it must return the reason as text, not %s", script.JSON(text))
		}
		if err != nil {
			return nil, &migrate.Error{Name: schemaOf(s.unit.Name()), Step: name, Err: err}
		}
		all[n] = why
	}
	return all, nil
}

// call runs one function of the schema, which has no host: a step is a matter of its
// value alone.
func (s *stateFile) call(ctx context.Context, name string, args ...script.Value) ([]byte, error) {
	v, err := s.unit.Execute(ctx, script.Call{Func: s.funcs[name], Args: args})
	s.unit.execs.Add(1)
	if err != nil {
		s.unit.errs.Add(1)
		return nil, err
	}
	if tag, ok := script.Tagged(v); ok {
		return nil, fmt.Errorf("it returns a %s, not data", tag)
	}
	if v.IsNull() {
		return nil, nil
	}
	return v.Text()
}

// stateProblem says why data cannot be brought to what a generation wants.
func stateProblem(err error, schemas ...migrate.Schemas) []Problem {
	me, ok := errors.AsType[*migrate.Error](err)
	if !ok {
		p := Problem{Kind: "state", Message: err.Error()}
		if _, full := errors.AsType[*kv.LimitError](err); full {
			p.Message = "there is no room for the migrated data: " + p.Message
		}
		return []Problem{p}
	}
	p := Problem{Kind: "state", File: fileOf(me.Name, schemas...), Message: me.Error()}
	if se, ok := errors.AsType[*script.Error](err); ok {
		p.File, p.Line, p.Column, p.Frame = se.File, se.Line, se.Column, se.Frame
		p.Message = (&migrate.Error{Name: me.Name, Step: me.Step, Key: me.Key, Err: errors.New(se.Message)}).Error()
	}
	switch {
	case errors.Is(err, migrate.ErrTooOld):
		p.Hint = "bring back the steps that reach to that version"
	case errors.Is(err, migrate.ErrOneWay):
		p.Hint = "go forward: write the next version"
	case errors.Is(err, migrate.ErrNotBack):
		p.Hint = "mend the step down; or, if nothing can undo it, export irreversibleN() in its place, which returns why"
	}
	return []Problem{p}
}
