// Package migrate brings data from one version of its schema to another: it is
// migrated in a shadow copy while it is in use, each step up is proven by the step
// down, and what has changed meanwhile is caught up with, so that the switch is one
// batch of [kv.Store].
//
// A [Schema] has a name and owns the keys that begin with that name and a colon. The
// versions that the data has stand in the store, beside the number of the generation
// that has brought it there: [Versions], [Maker].
//
// Start with [Prepare]. It knows nothing of scripts: a Schema may be two functions.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/kv"
)

// A Schema knows the values of one kind. It must be safe for concurrent use. Null, as
// nil, is a value that is not there.
type Schema interface {
	// Versions returns the oldest version that the steps reach back to, and the
	// newest, which is the schema's own. 0 is data before there was a schema.
	Versions() (oldest, newest uint64)

	// Up makes a value of version n of one of n-1. Nil deletes the key.
	Up(ctx context.Context, n uint64, key string, value []byte) ([]byte, error)

	// Down makes a value of version n-1 of one of n.
	Down(ctx context.Context, n uint64, key string, value []byte) ([]byte, error)

	// OneWay returns why there is no step down from version n; empty when there is one.
	OneWay(ctx context.Context, n uint64) (why string, err error)

	// Check returns what is wrong with a value of the newest version.
	Check(ctx context.Context, key string, value []byte) error
}

// Schemas are the schemas of one generation by name. Data of a name that is not there
// is wanted at version 0.
type Schemas map[string]Schema

// Want returns the version that data is wanted at.
func (s Schemas) Want(name string) uint64 {
	if s[name] == nil {
		return 0
	}
	_, newest := s[name].Versions()
	return newest
}

// Wants returns the versions that data is wanted at, without those that are 0.
func (s Schemas) Wants() map[string]uint64 {
	out := make(map[string]uint64, len(s))
	for name := range s {
		out[name] = s.Want(name)
	}
	return out
}

// makerName is the name among the versions of a store that no schema can have.
const makerName = "@generation"

// String lists names and versions: equal for schemas that want the same.
func (s Schemas) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s=%d ", name, s.Want(name))
	}
	return b.String()
}

// Versions returns the versions that the data has, without those that are 0.
func Versions(s *kv.Store) map[string]uint64 {
	v := s.Versions()
	delete(v, makerName)
	return v
}

// Maker returns the number of the generation that brought the data to its versions,
// 0 for none. Its schemas have the steps down from them.
func Maker(s *kv.Store) uint64 { return s.Version(makerName) }

// Fits reports whether data with these versions is as the schemas want it.
func (s Schemas) Fits(versions map[string]uint64) bool {
	return maps.Equal(s.Wants(), versions)
}

// Prefix is what the keys of a schema begin with.
func Prefix(name string) string { return name + ":" }

// NameOf returns the name of the schema that a key could belong to, empty for none.
func NameOf(key string) string {
	name, _, ok := strings.Cut(key, ":")
	if !ok {
		return ""
	}
	return name
}

// A Move is what a migration does to the data of one schema.
type Move struct {
	Name     string
	From, To uint64
	Keys     int           // that were migrated
	Took     time.Duration // of the preparation
	OneWay   string        // why it cannot go back; empty when it can
}

// A move is a Move with what it takes.
type move struct {
	Move
	steps Schema // has the steps; nil when there are none
	check Schema // checks the outcome; may be nil
}

// An Error says where a migration failed. Nothing was changed.
type Error struct {
	Name string // of the schema
	Step string // "up2", "down2", "check"; empty for none
	Key  string // empty for all
	Err  error
}

// Error names step and key.
func (e *Error) Error() string {
	s := ""
	if e.Step != "" {
		s = e.Step + " "
	}
	if e.Key != "" {
		s += fmt.Sprintf("of %q", cut(e.Key))
	}
	if s == "" {
		return e.Err.Error()
	}
	return strings.TrimSpace(s) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrOneWay is wrapped when data is to go back where there is no step down.
	ErrOneWay = errors.New("there is no way back")
	// ErrTooOld is wrapped when data is older than the steps reach back to.
	ErrTooOld = errors.New("the steps do not reach back to it")
	// ErrNotBack is wrapped when a step down does not undo the step up.
	ErrNotBack = errors.New("the step down does not undo it")
)

// A Migration is data that is on its way. It is not safe for concurrent use.
type Migration struct {
	live   *kv.Store
	before map[string]uint64 // versions, with the maker
	moves  []*move
	seen   *kv.Store         // what out was made from
	out    map[string][]byte // by key: the value to be; nil when the key goes
}

// Prepare migrates a shadow copy of what is in live to what a generation wants, and
// proves each step up by its step down. Have has the schemas that the data has now,
// whose steps down are used. It returns nil when there is nothing to do.
//
// The error is an [*Error], that of the context, or one of the store, such as a
// *kv.LimitError when there is no room for the outcome.
func Prepare(ctx context.Context, live *kv.Store, have, want Schemas) (*Migration, error) {
	seen := live.Fork()
	m := &Migration{live: live, before: seen.Versions(), seen: seen, out: map[string][]byte{}}
	versions := Versions(seen)
	for _, name := range names(versions, want) {
		from, to := versions[name], want.Want(name)
		if from == to {
			continue
		}
		mv := &move{Move: Move{Name: name, From: from, To: to}, steps: want[name], check: want[name]}
		if to < from {
			mv.steps = have[name]
		}
		m.moves = append(m.moves, mv)
		if err := m.prepare(ctx, mv); err != nil {
			return nil, err
		}
	}
	if len(m.moves) == 0 {
		return nil, nil
	}
	return m, seen.Fork().Apply(m.batch(1)) // is there room?
}

func names(versions map[string]uint64, want Schemas) []string {
	all := slices.Collect(maps.Keys(versions))
	for name := range want {
		if _, ok := versions[name]; !ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// prepare migrates all keys of one schema.
func (m *Migration) prepare(ctx context.Context, mv *move) error {
	began := time.Now()
	if why, err := mv.oneWay(ctx); err != nil {
		return err
	} else {
		mv.OneWay = why
	}
	keys := m.seen.Keys(Prefix(mv.Name))
	err := m.run(ctx, mv, keys)
	mv.Took = time.Since(began)
	return err
}

// oneWay returns why there is no way back from where a move up leads.
func (mv *move) oneWay(ctx context.Context) (string, error) {
	if mv.steps == nil {
		return "", nil
	}
	oldest, _ := mv.steps.Versions()
	for n := max(mv.From, oldest) + 1; n <= mv.To; n++ {
		if why, err := mv.steps.OneWay(ctx, n); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

// Moves returns what the migration does, sorted by name.
func (m *Migration) Moves() []Move {
	out := make([]Move, len(m.moves))
	for i, mv := range m.moves {
		out[i] = mv.Move
		for key := range m.out {
			if strings.HasPrefix(key, Prefix(mv.Name)) {
				out[i].Keys++
			}
		}
	}
	return out
}

// OneWay returns why the migration cannot be undone; empty when it can be.
func (m *Migration) OneWay() string {
	for _, mv := range m.moves {
		if mv.OneWay != "" {
			return mv.OneWay
		}
	}
	return ""
}

// CatchUp migrates what has changed since, and returns how many keys that were. The
// errors are those of Prepare.
func (m *Migration) CatchUp(ctx context.Context) (int, error) {
	next := m.live.Fork()
	changed := map[*move][]string{}
	count := 0
	for _, key := range kv.Diff(m.seen, next).Keys() {
		mv := m.moveOf(key)
		if mv == nil {
			continue
		}
		count++
		delete(m.out, key)
		if _, ok := next.Get(key); ok {
			changed[mv] = append(changed[mv], key)
		}
	}
	m.seen = next
	for mv, keys := range changed {
		slices.Sort(keys)
		if err := m.run(ctx, mv, keys); err != nil {
			return count, err
		}
	}
	return count, nil
}

func (m *Migration) moveOf(key string) *move {
	name := NameOf(key)
	for _, mv := range m.moves {
		if mv.Name == name {
			return mv
		}
	}
	return nil
}

// Commit makes the store what was prepared, in one batch, and notes which generation
// wanted that. Nobody may write to the store between the last CatchUp, which must
// have been a moment ago, and the end of Commit. After an error nothing has changed:
// it wraps kv.ErrConflict when somebody else has migrated the data.
func (m *Migration) Commit(maker uint64) error { return m.live.Apply(m.batch(maker)) }

func (m *Migration) batch(maker uint64) *kv.Batch {
	b := &kv.Batch{}
	for _, key := range slices.Sorted(maps.Keys(m.out)) { // the log is the same for the same run
		b.Replace(key, m.out[key])
	}
	for _, mv := range m.moves {
		b.Expect(mv.Name, mv.From)
		b.SetVersion(mv.Name, mv.To)
	}
	b.Expect(makerName, m.before[makerName])
	b.SetVersion(makerName, maker)
	return b
}
