package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/kv"
)

// tagged is a schema whose version n has the number n appended to a text.
type tagged struct {
	oldest, newest uint64
	final          uint64 // there is no way back from it
	wrong          string // a key that no step down gets right
}

func (s tagged) Versions() (oldest, newest uint64) { return s.oldest, s.newest }

func (s tagged) Check(_ context.Context, key string, value []byte) error {
	if want := fmt.Sprintf("/%d\"", s.newest); !strings.HasSuffix(string(value), want) {
		return fmt.Errorf("%s does not end with %s", value, want)
	}
	return nil
}

func (s tagged) OneWay(_ context.Context, n uint64) (string, error) {
	if n == s.final {
		return "for good", nil
	}
	return "", nil
}

func (s tagged) Up(_ context.Context, n uint64, _ string, v []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s/%d\"", v[:len(v)-1], n), nil
}

func (s tagged) Down(_ context.Context, n uint64, key string, v []byte) ([]byte, error) {
	out, ok := strings.CutSuffix(string(v), fmt.Sprintf("/%d\"", n))
	if !ok {
		return nil, fmt.Errorf("%s is not of version %d", v, n)
	}
	if key == s.wrong {
		out += "?"
	}
	return []byte(out + `"`), nil
}

// at is the text of a value at a version.
func at(base string, version uint64) string {
	for n := uint64(1); n <= version; n++ {
		base += fmt.Sprint("/", n)
	}
	return `"` + base + `"`
}

// bring brings a store to what want has, with no writes meanwhile.
func bring(t *testing.T, s *kv.Store, have, want Schemas, maker uint64) {
	t.Helper()
	m, err := Prepare(t.Context(), s, have, want)
	if err == nil && m != nil {
		err = m.Commit(maker)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever is written while a migration is prepared, after its end each key has the
// value that was written last, in the version that is wanted; what is no schema's is as
// it was.
func TestMigrationsAmongWrites(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := kv.New(kv.Options{})
		model := map[string]string{}
		var have Schemas
		write := func() {
			for range r.IntN(8) {
				key := fmt.Sprintf("%s:%d", []string{"a", "b", "c"}[r.IntN(3)], r.IntN(12))
				if r.IntN(4) == 0 {
					s.Delete(key)
					delete(model, key)
					continue
				}
				base := fmt.Sprint("v", r.IntN(100))
				if err := s.Set(key, []byte(at(base, have.Want(NameOf(key)))), time.Duration(r.IntN(2))*time.Hour); err != nil {
					t.Fatal(err)
				}
				model[key] = base
			}
		}
		for step := range uint64(12) {
			write()
			want := Schemas{}
			for _, name := range []string{"a", "b"} {
				if v := uint64(r.IntN(4)); v > 0 {
					want[name] = tagged{newest: v}
				}
			}
			m, err := Prepare(t.Context(), s, have, want)
			if err != nil {
				t.Fatal(seed, err)
			}
			for range r.IntN(3) {
				write()
				if m != nil {
					if _, err := m.CatchUp(t.Context()); err != nil {
						t.Fatal(seed, err)
					}
				}
			}
			if m != nil {
				if err := m.Commit(step + 1); err != nil {
					t.Fatal(seed, err)
				}
				if Maker(s) != step+1 {
					t.Fatal(seed, "the maker is", Maker(s))
				}
			}
			have = want
			if !want.Fits(Versions(s)) {
				t.Fatal(seed, Versions(s), want.Wants())
			}
			got := map[string]string{}
			for _, key := range s.Keys("") {
				value, _ := s.Get(key)
				got[key] = string(value)
			}
			expect := map[string]string{}
			for key, base := range model {
				expect[key] = at(base, want.Want(NameOf(key)))
			}
			if !maps.Equal(got, expect) {
				t.Fatalf("seed %d, step %d: %v, want %v", seed, step, got, expect)
			}
		}
	}
}

// After a refusal nothing has changed.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		have, want Schemas
		is         error
		text       string
	}{
		{"not undone", nil, Schemas{"a": tagged{newest: 1, wrong: "a:2"}}, ErrNotBack, `down1 of "a:2"`},
		{"too old", nil, Schemas{"a": tagged{oldest: 1, newest: 2}}, ErrTooOld, "steps between 1 and 2"},
		{"no steps down", nil, nil, ErrTooOld, "nothing has the steps"},
		{"steps down are gone", Schemas{"a": tagged{oldest: 1, newest: 2}}, nil, ErrTooOld, "steps between 1 and 2"},
		{"no way back", Schemas{"a": tagged{newest: 2, final: 2}}, nil, ErrOneWay, "from version 2: for good"},
		{"one key is not of the version", Schemas{"a": tagged{newest: 2}}, Schemas{"a": tagged{newest: 1}}, nil, `down2 of "a:odd"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := kv.New(kv.Options{})
			for i := range 5 {
				_ = s.Set(fmt.Sprint("a:", i), []byte(`"x"`), 0)
			}
			if c.have != nil || c.name == "no steps down" {
				bring(t, s, nil, Schemas{"a": tagged{newest: 2}}, 1)
				_ = s.Set("a:odd", []byte(`"odd"`), 0)
			}
			before := s.Fork()
			_, err := Prepare(t.Context(), s, c.have, c.want)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want …%s…", err, c.text)
			}
			if n := kv.Diff(before, s).Len(); n != 0 {
				t.Errorf("%d changes", n)
			}
		})
	}
}

func TestOneWay(t *testing.T) {
	t.Parallel()
	s := kv.New(kv.Options{})
	_ = s.Set("a:1", []byte(`"x"`), 0)
	m, err := Prepare(t.Context(), s, nil, Schemas{"a": tagged{newest: 3, final: 2, wrong: ""}})
	if err != nil || m.OneWay() != "for good" || m.Moves()[0].Keys != 1 {
		t.Fatal(m, err)
	}
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := kv.New(kv.Options{MaxTotal: 20})
	_ = s.Set("a:1", []byte(`"0123456789"`), 0)
	_, err := Prepare(t.Context(), s, nil, Schemas{"a": tagged{newest: 9}})
	if _, full := errors.AsType[*kv.LimitError](err); !full {
		t.Fatal(err)
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	s := kv.New(kv.Options{})
	_ = s.Set("a:1", []byte(`"x"`), 0)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("a rollback was asked for")
	cancel(why)
	if _, err := Prepare(ctx, s, nil, Schemas{"a": tagged{newest: 1}}); !errors.Is(err, why) {
		t.Fatal(err)
	}
}

// Two that migrate one store at a time: one wins, and the other changes nothing.
func TestConflict(t *testing.T) {
	t.Parallel()
	s := kv.New(kv.Options{})
	_ = s.Set("a:1", []byte(`"x"`), 0)
	want := Schemas{"a": tagged{newest: 1}}
	m, err := Prepare(t.Context(), s, nil, want)
	if err != nil {
		t.Fatal(err)
	}
	bring(t, s, nil, want, 1)
	if err := m.Commit(2); !errors.Is(err, kv.ErrConflict) || Maker(s) != 1 {
		t.Fatal(err, Maker(s))
	}
	if v, _ := s.Get("a:1"); string(v) != `"x/1"` {
		t.Errorf("%s", v)
	}
}
