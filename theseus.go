// Package theseus runs an app directory inside a Go program and replaces it
// while it serves.
//
// [Open] returns an http.Handler. Handlers, workflows, jobs, middleware and
// configuration come from the directory; each stable change of its files is
// checked, tested and swapped in whole, or refused while what served before
// serves on.
//
// [ListenAndServe] serves any http.Server and replaces the running program
// without an error for its clients; package upgrade is the whole of that.
//
// The program `theseus` is the same with listeners, an admin API and a console
// around it.
package theseus

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/upgrade"
)

// Options configure [Open]. The zero value watches the directory and logs nothing.
type Options struct {
	// NoWatch leaves changes on disk alone until App.Reload is called.
	NoWatch bool

	// StateDir holds the history. Empty means .theseus in the app directory.
	StateDir string

	// Log gets a record per update, and what scripts log. Nil discards.
	Log *slog.Logger

	// Hooks run around the steps of each change.
	Hooks []app.Hook

	// Observer is told what happens, for metrics. It may be nil.
	Observer app.Observer
}

// Open builds the app in dir with the engines that come with this package and
// makes it ready to serve. A directory that fails its checks is an error of type
// [*app.RefusedError], unless its history holds a generation that served before.
// The caller ends the app with its Close.
func Open(ctx context.Context, dir string, opt Options) (*app.App, error) {
	return app.Open(ctx, dir, app.Options{
		Engines: engines.All(), Watch: !opt.NoWatch, Notice: true, StateDir: opt.StateDir, Log: opt.Log, Hooks: opt.Hooks, Observer: opt.Observer,
	})
}

// ListenAndServe serves srv at the TCP address addr until ctx ends or the process
// gets SIGTERM or SIGINT, and then drains. On SIGUSR2 it starts the file at the
// program's own path as successor and hands the service over; see
// [upgrade.ListenAndServe].
func ListenAndServe(ctx context.Context, addr string, srv *http.Server) error {
	return upgrade.ListenAndServe(ctx, addr, srv)
}
