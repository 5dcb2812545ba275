package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/upgrade/supervisor"
)

// superviseFlag makes run start a supervisor.
const superviseFlag = "supervise"

// supervise runs the same command without the flag below a supervisor.
func (e *env) supervise(ctx context.Context, f runFlags) error {
	if f.demo {
		return failure(ExitUsage, "leave one of the two flags out", "--demo drives one process, which --%s starts anew", superviseFlag)
	}
	log, err := e.logger(f, nil)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 64)
	if handled := supervisor.Signals(); len(handled) > 0 { // none would mean all
		signal.Notify(signals, handled...)
	}
	s, err := supervisor.New(supervisor.Options{
		Args: workerArgs(os.Args[1:]), StallTimeout: f.stall, PIDFile: f.pidFile,
		Follow: true, Subreaper: true, Log: log.With("by", "supervisor"),
	})
	if errors.Is(err, supervisor.ErrTrial) {
		return nil // the verdict has been given
	}
	if err != nil {
		return err
	}
	status, err := s.Run(ctx, signals)
	if err != nil {
		return err
	}
	if status != 0 {
		return told(status) // the worker has said why
	}
	return nil
}

// workerArgs are args without the flag of the supervisor.
func workerArgs(args []string) []string {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	own := slices.DeleteFunc(slices.Clone(args[:end]), func(arg string) bool {
		return arg == "--"+superviseFlag || strings.HasPrefix(arg, "--"+superviseFlag+"=")
	})
	return append(own, args[end:]...)
}
