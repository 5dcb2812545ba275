package evalunit

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/theseus-run/theseus/script"
)

// maxNested bounds run() calling run().
const maxNested = 16

// A world is what the units of one evaluation share.
type world struct {
	engines script.Set
	files   fs.FS
	limits  script.Limits
	log     *slog.Logger

	mu    sync.Mutex
	units map[string]script.Unit
	kv    map[string]entry
}

type entry struct {
	value   script.Value
	expires time.Time // zero: never
}

func newHost(engines script.Set, files fs.FS, limits script.Limits, log *slog.Logger) *world {
	return &world{engines: engines, files: files, limits: limits, log: log, units: make(map[string]script.Unit), kv: make(map[string]entry)}
}

// unit compiles a file once.
func (w *world) unit(ctx context.Context, name string) (script.Unit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u, ok := w.units[name]; ok {
		return u, nil
	}
	u, err := w.engines.Compile(ctx, w.files, name, w.limits)
	if err != nil {
		return nil, err
	}
	w.units[name] = u
	return u, nil
}

// A host gives one unit its capabilities.
type host struct {
	*world
	name string
	deep int
}

func (w *world) to(name string) *host { return &host{world: w, name: name} }

// Call implements [script.Host].
func (h *host) Call(ctx context.Context, capability string, args []script.Value) (script.Value, error) {
	switch capability {
	case "log.debug", "log.info", "log.warn", "log.error":
		h.logAt(ctx, strings.TrimPrefix(capability, "log."), args)
		return script.Value{}, nil
	case "config.get":
		return script.JSON([]byte("{}")), nil
	case "config.version":
		return script.Of("eval"), nil
	case "now":
		return script.Of(time.Now().UnixMilli()), nil
	case "sleep":
		return script.Value{}, sleep(ctx, arg(args, 0))
	case "emit":
		h.log.InfoContext(ctx, "emit", "unit", h.name, "topic", arg(args, 0).String(), "data", arg(args, 1).String())
		return script.Value{}, nil
	case "run":
		return h.run(ctx, args)
	case "http.fetch":
		return script.Value{}, &script.Error{Kind: script.Denied, Message: "http.fetch: eval has no network",
			Hint: "grant it in an app, with permissions.http"}
	}
	if strings.HasPrefix(capability, "kv.") {
		return h.keyValue(capability, args)
	}
	return script.Value{}, &script.Error{Kind: script.Denied, Message: capability + " is not a capability of eval"}
}

func (h *host) logAt(ctx context.Context, level string, args []script.Value) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	attrs := []slog.Attr{slog.String("unit", h.name)}
	message := arg(args, 0).String()
	if s, ok := arg(args, 0).Tree().(string); ok {
		message = s
	}
	if fields, ok := arg(args, 1).Tree().(map[string]any); ok {
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			attrs = append(attrs, slog.Any(k, fields[k]))
		}
	}
	h.log.LogAttrs(ctx, levels[level], message, attrs...)
}

func sleep(ctx context.Context, v script.Value) error {
	var ms float64
	if err := v.Decode(&ms); err != nil || ms < 0 {
		return &script.Error{Kind: script.Failed, Message: fmt.Sprintf("sleep(ms): want a number of milliseconds, got %s", v)}
	}
	t := time.NewTimer(time.Duration(min(ms, 1e9) * float64(time.Millisecond)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return &script.Error{Kind: script.Timeout, Message: "sleep was ended by the time limit", Err: context.Cause(ctx)}
	}
}

// run executes another unit of the tree.
func (h *host) run(ctx context.Context, args []script.Value) (script.Value, error) {
	name, _ := arg(args, 0).Tree().(string)
	if h.deep >= maxNested {
		return script.Value{}, &script.Error{Kind: script.Depth, Message: fmt.Sprintf("run(%q): more than %d nested runs", name, maxNested)}
	}
	u, err := h.unit(ctx, name)
	if err != nil {
		return script.Value{}, err
	}
	var in []script.Value
	if len(args) > 1 {
		in = args[1:2]
	}
	return u.Execute(ctx, script.Call{Args: in, Host: &host{world: h.world, name: name, deep: h.deep + 1}})
}

// keyValue is a kv of its own for this evaluation.
func (h *host) keyValue(capability string, args []script.Value) (script.Value, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(h.kv, func(_ string, e entry) bool { return !e.expires.IsZero() && !now.Before(e.expires) })
	if capability == "kv.keys" {
		prefix, _ := arg(args, 0).Tree().(string)
		keys := []any{}
		for _, k := range slices.Sorted(maps.Keys(h.kv)) {
			if strings.HasPrefix(k, prefix) {
				keys = append(keys, k)
			}
		}
		return script.Of(keys), nil
	}
	key, ok := arg(args, 0).Tree().(string)
	if !ok {
		return script.Value{}, &script.Error{Kind: script.Failed, Message: fmt.Sprintf("%s(key): want a string, got %s", capability, arg(args, 0))}
	}
	old := h.kv[key]
	switch capability {
	case "kv.get":
		return old.value, nil
	case "kv.set":
		e := entry{value: arg(args, 1)}
		var options struct{ TTL float64 }
		if len(args) > 2 && args[2].Decode(&options) == nil && options.TTL > 0 {
			e.expires = now.Add(time.Duration(options.TTL * float64(time.Millisecond)))
		}
		h.kv[key] = e
		return script.Value{}, nil
	case "kv.delete":
		_, was := h.kv[key]
		delete(h.kv, key)
		return script.Of(was), nil
	case "kv.incr":
		by, n := 1.0, 0.0
		if len(args) > 1 && args[1].Decode(&by) != nil || !old.value.IsNull() && old.value.Decode(&n) != nil {
			return script.Value{}, &script.Error{Kind: script.Failed, Message: fmt.Sprintf("kv.incr(%q): want numbers", key)}
		}
		e := entry{value: script.Of(n + by), expires: old.expires}
		h.kv[key] = e
		return e.value, nil
	case "kv.cas":
		if !reflect.DeepEqual(data(old.value), data(arg(args, 1))) {
			return script.Of(false), nil
		}
		h.kv[key] = entry{value: arg(args, 2)}
		return script.Of(true), nil
	}
	return script.Value{}, &script.Error{Kind: script.Denied, Message: capability + " is not a capability of eval"}
}

// data returns v as encoding/json decodes it, for comparison.
func data(v script.Value) any {
	text, err := v.Text()
	if err != nil {
		return err
	}
	return script.JSON(text).Tree()
}

func arg(args []script.Value, i int) script.Value {
	if i < len(args) {
		return args[i]
	}
	return script.Value{}
}
