package migrate

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/theseus-run/theseus/internal/kv"
)

// run migrates keys of one schema, several at a time, and notes the outcome. Of
// several errors it returns that of the first key.
func (m *Migration) run(ctx context.Context, mv *move, keys []string) error {
	var (
		mu     sync.Mutex
		next   int
		failed = len(keys) // the index of the key that err is about
		err    error
	)
	work := func() {
		for {
			mu.Lock()
			i := next
			next++
			stop := i >= failed
			mu.Unlock()
			if stop {
				return
			}
			value, ok := m.seen.Get(keys[i])
			if !ok {
				continue // its time has passed
			}
			out, e := mv.one(ctx, keys[i], value)
			mu.Lock()
			if e == nil {
				m.out[keys[i]] = out
			} else if i < failed {
				failed, err = i, e
			}
			mu.Unlock()
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(keys)) {
		wg.Go(work)
	}
	wg.Wait()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// one migrates one value.
func (mv *move) one(ctx context.Context, key string, value []byte) ([]byte, error) {
	out, err := convert(ctx, mv.Name, mv.steps, key, value, mv.From, mv.To, true)
	if err != nil || out == nil || mv.check == nil {
		return out, err
	}
	if err := mv.check.Check(ctx, key, out); err != nil {
		return nil, &Error{Name: mv.Name, Step: "check", Key: key, Err: fmt.Errorf("%w; it has %s", err, cut(string(out)))}
	}
	return out, nil
}

// Convert makes of a value of one version that of another, by the steps of a schema.
// Nil is a value that is not there, before and after. The error is an [*Error].
func Convert(ctx context.Context, name string, s Schema, key string, value []byte, from, to uint64) ([]byte, error) {
	return convert(ctx, name, s, key, value, from, to, false)
}

// convert is Convert, and proves the steps up if asked to.
func convert(ctx context.Context, name string, s Schema, key string, value []byte, from, to uint64, prove bool) ([]byte, error) {
	if from == to || isNull(value) {
		return value, nil
	}
	if err := reaches(name, s, from, to); err != nil {
		return nil, err
	}
	for from < to && value != nil {
		from++
		next, err := step(ctx, name, "up", s.Up, from, key, value)
		if err == nil && prove {
			err = undone(ctx, name, s, from, key, value, next)
		}
		if err != nil {
			return nil, err
		}
		value = next
	}
	for from > to && value != nil {
		why, err := s.OneWay(ctx, from)
		if err == nil && why != "" {
			err = &Error{Name: name, Err: fmt.Errorf("%w from version %d: %s", ErrOneWay, from, why)}
		}
		if err != nil {
			return nil, err
		}
		if value, err = step(ctx, name, "down", s.Down, from, key, value); err != nil {
			return nil, err
		}
		from--
	}
	return value, nil
}

// reaches reports whether the schema has the steps between two versions.
func reaches(name string, s Schema, from, to uint64) error {
	if s == nil {
		return &Error{Name: name, Err: fmt.Errorf("the data is at version %d, and nothing has the steps to version %d: %w", from, to, ErrTooOld)}
	}
	oldest, newest := s.Versions()
	if min(from, to) < oldest || max(from, to) > newest {
		return &Error{Name: name, Err: fmt.Errorf("from version %d to %d: there are steps between %d and %d: %w", from, to, oldest, newest, ErrTooOld)}
	}
	return nil
}

type stepFunc func(ctx context.Context, n uint64, key string, value []byte) ([]byte, error)

func step(ctx context.Context, name, dir string, f stepFunc, n uint64, key string, value []byte) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out, err := f(ctx, n, key, value)
	if err != nil {
		return nil, &Error{Name: name, Step: fmt.Sprint(dir, n), Key: key, Err: err}
	}
	if isNull(out) {
		return nil, nil
	}
	return out, nil
}

// undone checks that the step down from version n undoes the step up to it, unless it
// is one that cannot be undone.
func undone(ctx context.Context, name string, s Schema, n uint64, key string, value, next []byte) error {
	why, err := s.OneWay(ctx, n)
	if err != nil || why != "" {
		return err
	}
	if next == nil {
		return &Error{Name: name, Step: fmt.Sprint("up", n), Key: key, Err: fmt.Errorf("it deletes the key: %w", ErrNotBack)}
	}
	back, err := step(ctx, name, "down", s.Down, n, key, next)
	if err != nil {
		return err
	}
	if !kv.Equal(back, value) {
		return &Error{Name: name, Step: fmt.Sprint("down", n), Key: key,
			Err: fmt.Errorf("%w: up%d makes %s of %s, and down%d makes %s of that", ErrNotBack, n, cut(string(next)), cut(string(value)), n, cut(text(back)))}
	}
	return nil
}

// isNull reports whether a value is not there.
func isNull(value []byte) bool { return value == nil || string(bytes.TrimSpace(value)) == "null" }

func text(value []byte) string {
	if value == nil {
		return "null"
	}
	return string(value)
}

// cut shortens a value for a message.
func cut(s string) string {
	const most = 120
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
