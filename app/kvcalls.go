package app

import (
	"time"

	"github.com/theseus-run/theseus/script"
)

type kvCall func(keyValue, []script.Value) (script.Value, error)

// kvCalls are the capabilities of the app's shared data.
var kvCalls = map[string]kvCall{
	"kv.get": func(s keyValue, args []script.Value) (script.Value, error) {
		key, err := keyArg("kv.get(key)", args)
		if err != nil {
			return script.Value{}, err
		}
		text, _, err := s.Lookup(key)
		return script.JSON(text), kvError(err)
	},
	"kv.set": func(s keyValue, args []script.Value) (script.Value, error) {
		key, err := keyArg("kv.set(key, value, {ttl})", args)
		if err != nil {
			return script.Value{}, err
		}
		text, err := arg(args, 1).Text()
		if err != nil {
			return script.Value{}, err
		}
		var opt struct {
			TTL float64 `json:"ttl"` // milliseconds
		}
		if err := arg(args, 2).Decode(&opt); err != nil || opt.TTL < 0 {
			return script.Value{}, badArgs("kv.set(key, value, {ttl}): want ttl in milliseconds, got %s", arg(args, 2))
		}
		return script.Value{}, kvError(s.Set(key, text, time.Duration(opt.TTL*float64(time.Millisecond))))
	},
	"kv.delete": func(s keyValue, args []script.Value) (script.Value, error) {
		key, err := keyArg("kv.delete(key)", args)
		if err != nil {
			return script.Value{}, err
		}
		was, err := s.Remove(key)
		return script.Of(was), kvError(err)
	},
	"kv.incr": func(s keyValue, args []script.Value) (script.Value, error) {
		key, err := keyArg("kv.incr(key, by)", args)
		if err != nil {
			return script.Value{}, err
		}
		by := 1.0
		if v := arg(args, 1); !v.IsNull() {
			n, ok := number(v)
			if !ok {
				return script.Value{}, badArgs("kv.incr(key, by): want a number, got %s", v)
			}
			by = n
		}
		n, err := s.Incr(key, by)
		return script.Of(n), kvError(err)
	},
	"kv.cas": func(s keyValue, args []script.Value) (script.Value, error) {
		key, err := keyArg("kv.cas(key, old, new)", args)
		if err != nil {
			return script.Value{}, err
		}
		old, err := arg(args, 1).Text()
		if err != nil {
			return script.Value{}, err
		}
		text, err := arg(args, 2).Text()
		if err != nil {
			return script.Value{}, err
		}
		done, err := s.CAS(key, old, text)
		return script.Of(done), kvError(err)
	},
	"kv.keys": func(s keyValue, args []script.Value) (script.Value, error) {
		prefix, _ := arg(args, 0).Tree().(string)
		keys, err := s.List(prefix)
		if err != nil {
			return script.Value{}, kvError(err)
		}
		list := make([]any, len(keys))
		for i, k := range keys {
			list[i] = k
		}
		return script.Of(list), nil
	},
}

// keyArg returns the key, the first argument of every call.
func keyArg(usage string, args []script.Value) (string, error) {
	key, ok := arg(args, 0).Tree().(string)
	if !ok {
		return "", badArgs("%s: want a text as the key, got %s", usage, arg(args, 0))
	}
	return key, nil
}

// kvError makes an error of the store one of the script's.
func kvError(err error) error {
	if err == nil {
		return nil
	}
	return &script.Error{Kind: script.Failed, Message: err.Error(), Err: err}
}
