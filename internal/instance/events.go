package instance

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/observe"
	"github.com/theseus-run/theseus/upgrade"
)

// onEvent does what a step in the life of the process asks for, and tells it to
// events and metrics. It must not block.
func (in *Instance) onEvent(e upgrade.Event, events *app.Events, metrics *observe.Metrics) {
	switch e.Name {
	case "serving":
		in.App.Confirm()
		in.announce()
	case "draining":
		in.App.Drain()
		if in.admin != nil {
			in.admin.Drain()
		}
	case "alone":
		in.shareData(false)
	case "step":
		metrics.UpgradeStep(e.Step, e.Took)
		if e.Step == "check" { // the new process opens the data next
			in.shareData(true)
		}
	case "failed":
		metrics.UpgradeFailed(outcome(e))
		in.App.ProgramFailed(e.Err)
		in.shareData(false) // the new process is dead
	}
	in.logEvent(e)
	events.Publish(app.Event{Type: "upgrade", Level: level(e), Message: sentence(e), Generation: in.App.LiveNumber(), Data: data(e)})
}

// shareData says whether another process has the data of scripts too.
func (in *Instance) shareData(on bool) {
	if err := in.App.ShareData(on); err != nil {
		in.log.Error("the data of scripts", "shared", on, "error", err)
	}
}

// logEvent writes an event to the log.
func (in *Instance) logEvent(e upgrade.Event) {
	at := slog.LevelInfo
	switch {
	case e.Name == "failed":
		at = slog.LevelError
	case e.Name == "step", e.Name == "serving" && !in.process.Inherited():
		at = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.Int("generation", in.App.LiveNumber()), slog.Int("pid", os.Getpid()), slog.Int("process", in.process.up.Generation())}
	if e.Peer != 0 {
		attrs = append(attrs, slog.Int("peer", e.Peer))
	}
	if e.Took != 0 {
		attrs = append(attrs, slog.Duration("took", e.Took))
	}
	if e.Cut != 0 {
		attrs = append(attrs, slog.Int("cut", e.Cut))
	}
	if e.Release.Digest != "" {
		attrs = append(attrs, slog.String("digest", e.Release.Digest))
	}
	in.log.LogAttrs(context.Background(), at, sentence(e), attrs...)
}

// announce leaves word for the CLI of where this process is.
func (in *Instance) announce() {
	in.word.Lock()
	defer in.word.Unlock()
	if in.served = true; in.discovery == nil || in.gone {
		return
	}
	if err := admin.WriteDiscovery(in.dir, *in.discovery); err != nil {
		in.log.Warn("the CLI will not find this instance by itself", "error", err)
	}
}

// takeBack removes that word, and the socket, when the service ends with this
// process.
func (in *Instance) takeBack() {
	in.word.Lock()
	defer in.word.Unlock()
	in.gone = true
	if in.discovery == nil || !in.served || in.process.isReplaced() {
		return
	}
	_ = admin.RemoveDiscovery(in.dir, os.Getpid())
	if in.discovery.Socket != "" {
		_ = os.Remove(in.discovery.Socket)
	}
}

// outcome says how an upgrade failed, for the metrics.
func outcome(e upgrade.Event) string {
	if _, ok := errors.AsType[*upgrade.RejectedError](e.Err); ok || e.Step == "check" {
		return "refused"
	}
	if e.Step == "serve" || e.Step == "probation" {
		return "rolled_back"
	}
	return "failed"
}

func level(e upgrade.Event) string {
	if e.Name == "failed" {
		return "error"
	}
	return ""
}

func sentence(e upgrade.Event) string {
	switch e.Name {
	case "step":
		return "upgrade: " + e.Step + " done"
	case "failed":
		if outcome(e) == "rolled_back" {
			return "rolled back: " + e.Err.Error()
		}
		return "upgrade failed at " + e.Step + ": " + e.Err.Error()
	case "serving":
		return "this process is the service"
	case "committed":
		return "another process is the service"
	case "draining":
		return "this process drains"
	case "drained":
		return "this process has drained"
	}
	return "upgrade: " + e.Name
}

// data is the plain form of an event, in the style of the others.
func data(e upgrade.Event) map[string]any {
	d := map[string]any{"name": e.Name, "pid": os.Getpid()}
	if e.Step != "" {
		d["step"] = e.Step
	}
	if e.Peer != 0 {
		d["peer"] = e.Peer
	}
	if e.Took != 0 {
		d["took_ns"] = e.Took
	}
	if e.Why != "" {
		d["why"] = e.Why
	}
	if e.Cut != 0 {
		d["cut"] = e.Cut
	}
	if e.Err != nil {
		d["error"] = e.Err.Error()
	}
	if e.Release.Path != "" {
		d["release"] = e.Release
	}
	return d
}
