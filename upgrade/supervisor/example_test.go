package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/theseus-run/theseus/upgrade/supervisor"
)

// The main function of a supervisor.
func Example() {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, supervisor.Signals()...)
	s, err := supervisor.New(supervisor.Options{
		Path: "/usr/local/bin/service", Args: []string{"-addr", ":8080"}, Subreaper: true, Log: slog.Default(),
	})
	if errors.Is(err, supervisor.ErrTrial) {
		return // the verdict has been given
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, err := s.Run(context.Background(), signals)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}
