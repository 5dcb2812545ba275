package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/theseus-run/theseus/internal/topic"
	"github.com/theseus-run/theseus/script"
)

// environment is the outside world of a generation's scripts: the app's own
// while it serves, a private one while its tests run.
type environment struct {
	work   *background // workflow runs
	runs   *runs
	data   *data
	topics *topic.Hub
	fetch  *fetcher // nil: no network
	log    *slog.Logger
	now    func() time.Time
	test   bool
}

// host gives one execution of a unit its capabilities. It is a [script.Host].
type host struct {
	gen  *Generation
	env  *environment
	unit string
	deep int // nested run() calls
}

// maxNested bounds run() calling run().
const maxNested = 8

// host returns the capabilities of the named unit in env.
func (g *Generation) host(env *environment, unit string) *host {
	return &host{gen: g, env: env, unit: unit}
}

// Call implements [script.Host].
func (h *host) Call(ctx context.Context, capability string, args []script.Value) (script.Value, error) {
	switch capability {
	case "log.debug":
		return h.logAt(ctx, slog.LevelDebug, args)
	case "log.info":
		return h.logAt(ctx, slog.LevelInfo, args)
	case "log.warn":
		return h.logAt(ctx, slog.LevelWarn, args)
	case "log.error":
		return h.logAt(ctx, slog.LevelError, args)
	case "config.get":
		return h.gen.config.value, nil
	case "config.version":
		return script.Of(h.gen.config.digest), nil
	case "now":
		return script.Of(h.env.now().UnixMilli()), nil
	case "sleep":
		return h.sleep(ctx, args)
	case "emit":
		return h.emit(args)
	case "run":
		return h.run(ctx, args)
	case "http.fetch":
		return h.fetch(ctx, args)
	}
	if call, ok := kvCalls[capability]; ok {
		return h.env.data.call(ctx, h.gen, call, args)
	}
	return script.Value{}, denied("%s is not a capability of this host", capability)
}

func denied(format string, args ...any) error {
	return &script.Error{Kind: script.Denied, Message: fmt.Sprintf(format, args...)}
}

func badArgs(format string, args ...any) error {
	return &script.Error{Kind: script.Failed, Message: fmt.Sprintf(format, args...)}
}

// maxFields bounds the fields of a log line, in bytes of JSON.
const maxFields = 8 << 10

// logAt writes one line of the script's log.
func (h *host) logAt(ctx context.Context, level slog.Level, args []script.Value) (script.Value, error) {
	if !h.env.log.Enabled(ctx, level) {
		return script.Value{}, nil
	}
	attrs := []slog.Attr{slog.Int("generation", h.gen.number), slog.String("update", h.gen.update), slog.String("unit", h.unit)}
	message := ""
	for i, a := range args {
		switch t := a.Tree().(type) {
		case string:
			if i == 0 {
				message = t
				continue
			}
			message += " " + t
		case map[string]any:
			if i > 0 { // in a group of their own: a script must not pass for the log itself
				var fields []any
				for _, k := range sortedKeys(t) {
					fields = append(fields, slog.Any(k, t[k]))
				}
				if text, err := a.Text(); err != nil || len(text) > maxFields {
					fields = []any{slog.String("cut", string(text[:min(len(text), maxFields)])+"…")}
				}
				attrs = append(attrs, slog.Group("fields", fields...))
				continue
			}
			message = a.String()
		default:
			if i > 0 {
				message += " "
			}
			message += a.String()
		}
	}
	const maxMessage = 8 << 10
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	h.env.log.LogAttrs(ctx, level, message, attrs...)
	return script.Value{}, nil
}

func (h *host) sleep(ctx context.Context, args []script.Value) (script.Value, error) {
	ms, ok := number(arg(args, 0))
	if !ok || ms < 0 {
		return script.Value{}, badArgs("sleep(ms): want a number of milliseconds, got %s", arg(args, 0))
	}
	t := time.NewTimer(time.Duration(min(ms, 1e9) * float64(time.Millisecond)))
	defer t.Stop()
	select {
	case <-t.C:
		return script.Value{}, nil
	case <-ctx.Done():
		return script.Value{}, &script.Error{Kind: script.Timeout, Message: "sleep was ended by the time limit", Err: context.Cause(ctx)}
	}
}

func (h *host) emit(args []script.Value) (script.Value, error) {
	name, ok := arg(args, 0).Tree().(string)
	if !ok || name == "" || len(name) > 128 {
		return script.Value{}, badArgs("emit(topic, data): want a topic of 1 to 128 bytes, got %s", arg(args, 0))
	}
	text, err := arg(args, 1).Text()
	if err != nil {
		return script.Value{}, badArgs("emit(topic, data): %v", err)
	}
	return script.Of(h.env.topics.Publish(name, slices.Clone(text))), nil
}

// run executes another unit of the same generation.
func (h *host) run(ctx context.Context, args []script.Value) (script.Value, error) {
	name, _ := arg(args, 0).Tree().(string)
	u, ok := h.gen.units[name]
	if !ok {
		return script.Value{}, &script.Error{Kind: script.Refused, Message: fmt.Sprintf("run(%q): no such unit in generation %d", name, h.gen.number),
			Hint: "units are the files of handlers/, jobs/, middleware/ and workflows/ outside lib/, and what workflows name"}
	}
	if h.deep >= maxNested {
		return script.Value{}, &script.Error{Kind: script.Depth, Message: fmt.Sprintf("run(%q): more than %d nested runs", name, maxNested)}
	}
	inner := *h
	inner.unit, inner.deep = name, h.deep+1
	var in []script.Value
	if len(args) > 1 {
		in = args[1:2]
	}
	return h.gen.execute(ctx, u, script.Call{Args: in, Host: &inner})
}

func (h *host) fetch(ctx context.Context, args []script.Value) (script.Value, error) {
	if h.env.fetch == nil {
		return script.Value{}, denied("http.fetch: tests have no network")
	}
	return h.env.fetch.do(ctx, h.gen.manifest.Permissions.HTTP, args)
}

// execute runs a unit and counts it.
func (g *Generation) execute(ctx context.Context, u *unit, call script.Call) (script.Value, error) {
	start := time.Now()
	v, err := u.Execute(ctx, call)
	u.execs.Add(1)
	if err != nil {
		u.errs.Add(1)
	}
	if o := g.app.opt.Observer; o != nil {
		o.Execution(u.engine, u.Name(), script.KindOf(err), time.Since(start))
	}
	return v, err
}

// arg returns the i-th argument, null when there is none.
func arg(args []script.Value, i int) script.Value {
	if i < len(args) {
		return args[i]
	}
	return script.Value{}
}

// number returns v as a float64.
func number(v script.Value) (float64, bool) {
	switch n := v.Tree().(type) {
	case float64:
		return n, true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}
