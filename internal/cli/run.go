package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/observe"
	"github.com/theseus-run/theseus/upgrade"
)

// runFlags are the flags of `theseus run`.
type runFlags struct {
	listen, admin, state, logFormat, logLevel string
	pidFile, rendezvous, hooks                string
	noWatch, demo, check, supervise           bool
	poll, quiet, probation, stall             time.Duration
	rate                                      float64
}

func newRun(e *env) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [DIR|FILE]",
		Short: "Run an app directory and apply changes to it while it serves",
		Long: `Run serves the app in DIR (default "."), or a single script, and applies every
stable change of its files: checked, tested, then swapped in whole. A change
that is wrong is refused and what served before serves on.

Signals: SIGHUP applies the disk now. SIGUSR2 replaces the process by the program
that is now in its file, as the command upgrade does. SIGTERM and SIGINT drain and exit; a second one exits
at once with status 130. SIGQUIT prints the stacks of all goroutines and goes on.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.check {
				return e.checkUpgrade(c.Context(), dirArg(args), f)
			}
			if f.supervise {
				return e.supervise(c.Context(), f)
			}
			return e.run(c.Context(), dirArg(args), f)
		},
	}
	c.Flags().StringVar(&f.listen, "listen", "", "address of the app, host:port or unix:path (default: the manifest's)")
	c.Flags().StringVar(&f.admin, "admin", "", `address of the admin API, or "off" (default: the manifest's)`)
	c.Flags().StringVar(&f.state, "state", "", "directory of the history (default: .theseus in the app)")
	c.Flags().BoolVar(&f.noWatch, "no-watch", false, "apply changes only on SIGHUP or by the command reload")
	c.Flags().DurationVar(&f.poll, "poll", 0, "poll for changes at this interval in place of file events")
	c.Flags().DurationVar(&f.quiet, "quiet", 0, "how long the files must be unchanged before they are applied (default 60ms)")
	c.Flags().BoolVar(&f.demo, "demo", false, "drive the app with the built-in load generator and count what fails")
	c.Flags().Float64Var(&f.rate, "rate", 200, "with --demo: requests per second; negative: as many as are answered")
	c.Flags().StringVar(&f.pidFile, "pid-file", "", "file that holds the process id of the process that serves, also after an upgrade")
	c.Flags().DurationVar(&f.probation, "probation", 0, "how long the old process stands by after an upgrade (default 2s; negative: not at all)")
	c.Flags().StringVar(&f.rendezvous, "rendezvous", "", "Unix socket at which the next process that is started with it finds this one, and takes over from it")
	c.Flags().BoolVar(&f.supervise, superviseFlag, false, "run below a supervisor with a process id that stays: it starts a process that crashed or hangs anew from its last state")
	c.Flags().DurationVar(&f.stall, "stall-timeout", 0, "with --supervise: how long a process may hang before it is killed and started anew (default 30s; negative: for ever)")
	c.Flags().BoolVar(&f.check, checkFlag, false, "say whether this program can serve what is live, and end")
	_ = c.Flags().MarkHidden(checkFlag)
	c.Flags().StringVar(&f.hooks, "hooks", "", hooksUsage)
	c.Flags().StringVar(&f.logFormat, "log-format", "auto", "auto, text or json")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

// logger makes the program's log: on stderr, and into events for the console.
func (e *env) logger(f runFlags, events *app.Events) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, failure(ExitUsage, "levels are debug, info, warn and error", "--log-level %q is not a level", f.logLevel)
	}
	format, err := observe.ParseFormat(f.logFormat)
	if err != nil {
		return nil, failure(ExitUsage, "formats are auto, text and json", "--log-format %q is not a format", f.logFormat)
	}
	log := observe.NewLogger(e.errOut, observe.LogOptions{Format: format, Level: level, Events: events})
	if f.demo { // hundreds of lines a second would hide what there is to see
		log = slog.New(quiet{log.Handler()})
	}
	return log, nil
}

// quiet leaves out the lines of the access log.
type quiet struct{ slog.Handler }

// Handle implements slog.Handler.
func (h quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == app.AccessLog && r.Level == slog.LevelInfo {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (e *env) run(ctx context.Context, path string, f runFlags) error {
	events := &app.Events{}
	log, err := e.logger(f, events)
	if err != nil {
		return err
	}
	around, err := e.loadHooks(f.hooks, path)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, handledSignals...) // to the very end: a late one must not change the exit status

	start := time.Now()
	process, err := instance.NewProcess(upgrade.Options{CheckArgs: checkArgs(), Counter: e.program.Counter, PIDFile: f.pidFile, Rendezvous: f.rendezvous, Probation: f.probation, Log: log})
	if err != nil {
		return err
	}
	starting, settled := signal.NotifyContext(ctx, stopSignals...) // a start that takes long can be given up
	defer settled()
	in, err := instance.Start(starting, path, instance.Options{
		Listen: f.listen, Admin: f.admin, Version: e.build.Version, Events: events, Process: process,
		App: app.Options{Log: log, Program: e.program, Watch: !f.noWatch, Notice: true, Poll: f.poll, Quiet: f.quiet, StateDir: f.state, Hooks: around},
	})
	if err != nil && starting.Err() != nil && ctx.Err() == nil {
		return failure(ExitInterrupted, "", "interrupted while starting")
	}
	settled()
	if err != nil {
		return startError(err)
	}
	e.banner(in, time.Since(start), f)
	if terminal(e.errOut) && f.logFormat != "json" {
		defer e.showFrames(events)()
	}
	var stopLoad func() error
	if f.demo {
		stopLoad, err = e.startLoad(ctx, in, f)
		if err != nil {
			return errors.Join(err, e.shutdown(ctx, in, signals))
		}
	}
	err = e.serve(ctx, in, signals, log)
	if stopLoad != nil {
		err = errors.Join(stopLoad(), err)
	}
	return errors.Join(err, e.shutdown(ctx, in, signals))
}

// showFrames prints the places that refused updates are about, below their log
// line, until the returned function is called.
func (e *env) showFrames(events *app.Events) func() {
	sub := events.Subscribe(-1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ev := range sub.C {
			if u, ok := ev.Data.(app.Update); ok && u.Outcome == app.OutcomeRefused {
				printProblems(e.errOut, "refused", u.Problems)
			}
		}
	}()
	return func() {
		sub.Close()
		<-done
	}
}

// startError gives listen errors their hint.
func startError(err error) error {
	if le, ok := errors.AsType[*instance.ListenError](err); ok {
		return failure(ExitFailed, le.Hint, "%w", le)
	}
	return err
}

// serve handles signals until one of them, or a failed listener, ends the app.
func (e *env) serve(ctx context.Context, in *instance.Instance, signals <-chan os.Signal, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-in.Failed():
			return err
		case <-in.Replaced():
			log.Info("replaced, draining", "generation", in.App.LiveNumber())
			return nil
		case s := <-signals:
			switch {
			case isReload(s):
				go func() { // the outcome is logged by the update itself
					_, _ = in.App.Reload(ctx, app.Change{Trigger: "signal", Who: "SIGHUP"})
				}()
			case isUpgrade(s):
				go func() { _ = in.Upgrade(ctx) }() // the outcome is logged by the upgrade itself
			case isDump(s):
				e.dump()
			default:
				log.Info("draining", "signal", s.String(), "generation", in.App.Status().Live.Number)
				return nil
			}
		}
	}
}

// dump prints the stacks of all goroutines.
func (e *env) dump() { _ = pprof.Lookup("goroutine").WriteTo(e.errOut, 2) }

// echo is how long after the first signal the next one counts as the same:
// timeout(1), npm and others deliver one wish to end twice.
const echo = 100 * time.Millisecond

// shutdown drains and closes; a second signal ends the program at once. One that
// was replaced has had no first.
func (e *env) shutdown(ctx context.Context, in *instance.Instance, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.App.DrainTimeout())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- in.Close(ctx) }()
	began := time.Now()
	told := true
	select {
	case <-in.Replaced():
		told = false
	default:
	}
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			switch {
			case isDump(s):
				e.dump()
			case isReload(s), isUpgrade(s):
			case !told:
				told, began = true, time.Now()
			case time.Since(began) > echo:
				return failure(ExitInterrupted, "", "stopped by a second signal (%s) before what was in flight had ended", s)
			}
		}
	}
}

// banner tells what runs and where. It goes to stderr: stdout is for data.
func (e *env) banner(in *instance.Instance, took time.Duration, f runFlags) {
	s := in.App.Status()
	w := e.errOut
	fmt.Fprintf(w, "\n  theseus %s · %s · gen %d live in %d ms\n", e.build.Version, clean(s.App), s.Live.Number, took.Milliseconds())
	address := in.URL
	if address == "" {
		address = strings.Join(s.Listen, " ")
	}
	fmt.Fprintf(w, "  app      %s\n", address)
	if in.AdminURL != "" {
		fmt.Fprintf(w, "  console  %s\n", in.ConsoleURL())
	}
	fmt.Fprintf(w, "  %s · %s · %s · %d middleware · %s passed\n", plural(s.Routes, "route"), plural(s.Workflows, "workflow"), plural(s.Jobs, "job"), s.Middleware, plural(s.LastUpdate.Tests, "test"))
	if s.Drift {
		fmt.Fprintf(w, "  disk ≠ live: %s\n", clean(s.DriftWhy))
		printProblems(w, "error", s.Staged.Problems)
	}
	printProblems(w, "warning", s.LastUpdate.Warnings)
	if f.noWatch {
		fmt.Fprint(w, "  edit the files, then `theseus reload`\n\n")
	} else {
		fmt.Fprint(w, "  edit any file — it goes live\n\n")
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// terminal reports whether the output of e is a terminal.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// absolute returns path made absolute, or as it is when that fails.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
