package app

import (
	"context"
	"time"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/migrate"
)

// A keyValue is the data as a script sees it. The methods are those of kv.Store.
type keyValue interface {
	Lookup(key string) (text []byte, ok bool, err error)
	Set(key string, value []byte, ttl time.Duration) error
	Remove(key string) (bool, error)
	Incr(key string, by float64) (float64, error)
	CAS(key string, old, new []byte) (bool, error)
	List(prefix string) ([]string, error)
}

// converted is the data for a generation that wants other versions than it has: one
// that was replaced and has not ended all it began. What it reads comes through the
// steps to its own version, what it writes through those back. The gate is held.
type converted struct {
	ctx     context.Context
	data    *data
	schemas migrate.Schemas // of the generation
}

// convert makes a value of the version that the data has one that the generation
// wants, or the reverse.
func (c *converted) convert(key string, value []byte, reverse bool) ([]byte, error) {
	name := migrate.NameOf(key)
	from, to := c.data.schemas.Want(name), c.schemas.Want(name)
	steps := c.data.schemas[name]
	if to > from {
		steps = c.schemas[name]
	}
	if reverse {
		from, to = to, from
	}
	return migrate.Convert(c.ctx, name, steps, key, value, from, to)
}

// Lookup implements keyValue.
func (c *converted) Lookup(key string) ([]byte, bool, error) {
	text, ok, err := c.data.kv.Lookup(key)
	if err != nil || !ok {
		return nil, false, err
	}
	text, err = c.convert(key, text, false)
	return text, text != nil, err
}

// Set implements keyValue.
func (c *converted) Set(key string, value []byte, ttl time.Duration) error {
	if err := kv.New(kv.Options{}).Set(key, value, ttl); err != nil { // what is wrong with it
		return err
	}
	value, err := c.convert(key, value, true)
	if err != nil {
		return err
	}
	return c.data.kv.Set(key, value, ttl)
}

// Remove implements keyValue.
func (c *converted) Remove(key string) (bool, error) { return c.data.kv.Remove(key) }

// List implements keyValue.
func (c *converted) List(prefix string) ([]string, error) { return c.data.kv.List(prefix) }

// Incr implements keyValue.
func (c *converted) Incr(key string, by float64) (sum float64, err error) {
	_, err = c.change(key, func(one *kv.Store) (bool, error) {
		sum, err = one.Incr(key, by)
		return err == nil, err
	})
	return sum, err
}

// CAS implements keyValue.
func (c *converted) CAS(key string, old, new []byte) (bool, error) {
	return c.change(key, func(one *kv.Store) (bool, error) { return one.CAS(key, old, new) })
}

// change makes a change of one key, as in a store that has nothing else, and reports
// whether do has made one. It begins again when somebody else changes the key.
func (c *converted) change(key string, do func(one *kv.Store) (bool, error)) (bool, error) {
	for {
		was, ok, err := c.data.kv.Lookup(key)
		if err != nil {
			return false, err
		}
		if !ok {
			was = nil
		}
		one := kv.New(kv.Options{})
		value, err := c.convert(key, was, false)
		if err == nil && value != nil {
			err = one.Set(key, value, 0)
		}
		if err != nil {
			return false, err
		}
		if done, err := do(one); err != nil || !done {
			return false, err
		}
		value, _ = one.Get(key)
		if value, err = c.convert(key, value, true); err != nil {
			return false, err
		}
		if done, err := c.data.kv.CAS(key, was, value); done || err != nil {
			return done, err
		}
		if err := context.Cause(c.ctx); err != nil {
			return false, err
		}
	}
}
