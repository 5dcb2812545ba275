package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"

	"github.com/theseus-run/theseus/upgrade/supervisor"
)

// supervise runs this program again, as the worker of this process.
func supervise(c config, log *slog.Logger) error {
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool { return arg == "-supervise" })
	s, err := supervisor.New(supervisor.Options{Args: args, Heartbeat: c.heartbeat, PIDFile: c.pidfile, Subreaper: true, Log: log})
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, supervisor.Signals()...)
	status, err := s.Run(context.Background(), signals)
	if err == nil {
		os.Exit(status)
	}
	return err
}
