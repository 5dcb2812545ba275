package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/internal/supervise"
)

// execFlags are the flags of `theseus exec`.
type execFlags struct {
	listen                         []string
	fds, ready, stop, status       string
	readyTimeout, probation, drain time.Duration
	nonblocking, force             bool
	logFormat, logLevel            string
}

// execChild is the hidden command that starts what exec supervises.
const execChild = "exec-child"

func newExec(e *env) *cobra.Command {
	var f execFlags
	c := &cobra.Command{
		Use:   "exec [flags] -- PROGRAM [ARG...]",
		Short: "Run any program and replace it without refusing a connection",
		Long: `Exec opens sockets, runs a program that serves on them (socket activation:
LISTEN_FDS, descriptors from 3 on), keeps it running, and replaces it by what is
at its path when it is told to. The sockets stay open all the time.

A replacement is started beside the old process and must become ready; then both
accept for the time of --probation, and only then the old one is told to stop.
If the new one dies, hangs or fails its probe, it is killed and the old one goes
on; that executable is refused from then on, until it changes or with --force.

Signals: SIGHUP and SIGUSR2 replace the program. SIGTERM and SIGINT send it
--stop-signal, wait for --drain and exit with its status, 128+n if signal n ended
it; a second one kills it and exits with 130. SIGQUIT, SIGUSR1, SIGWINCH and SIGALRM
are passed on.

Sockets:  [NAME=]tcp:HOST:PORT, [NAME=]udp:HOST:PORT, [NAME=]unix:PATH, and those
          that exec itself was given by LISTEN_FDS
Ready:    notify       the program says READY=1 on NOTIFY_SOCKET (the default)
          http:/PATH   GET is answered with a status from 200 to 399
          tcp          a connection is accepted
          delay:TIME   it has run that long

Exit statuses: that of the program; 4 if there is no such program, 2 for wrong flags.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return failure(ExitUsage, "write the program after the flags: theseus exec --listen tcp::8080 -- ./server", "no program is given")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return e.exec(c.Context(), args, f) },
	}
	c.Flags().SetInterspersed(false) // flags after the program are the program's
	c.Flags().StringArrayVar(&f.listen, "listen", nil, "socket to open and keep; may be repeated")
	c.Flags().StringVar(&f.fds, "fds", string(supervise.StyleSystemd), "how the program learns of its sockets: systemd or nginx")
	c.Flags().BoolVar(&f.nonblocking, "nonblocking", false, "put the sockets into non-blocking mode")
	c.Flags().StringVar(&f.ready, "ready", "notify", "how readiness is learned: notify, tcp, http:/PATH or delay:TIME")
	c.Flags().DurationVar(&f.readyTimeout, "ready-timeout", 30*time.Second, "deadline for readiness")
	c.Flags().DurationVar(&f.probation, "probation", 2*time.Second, "how long the old process is kept beside the new one")
	c.Flags().DurationVar(&f.drain, "drain", 30*time.Second, "time between --stop-signal and the kill of the process group")
	c.Flags().StringVar(&f.stop, "stop-signal", "TERM", "signal that tells the program to finish and exit (nginx: QUIT)")
	c.Flags().BoolVar(&f.force, "force", false, "try executables again that were rolled back")
	c.Flags().StringVar(&f.status, "status", "", "file for the status, JSON, written on each change")
	c.Flags().StringVar(&f.logFormat, "log-format", "auto", "auto, text or json")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

// newExecChild is what exec starts: it becomes the program.
func newExecChild() *cobra.Command {
	return &cobra.Command{
		Use: execChild, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return told(supervise.ChildMain(args)) },
	}
}

func (e *env) exec(ctx context.Context, args []string, f execFlags) error {
	opt, err := e.execOptions(args, f)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, supervise.Signals()...)
	s, err := supervise.New(opt)
	if err != nil {
		return execError(err)
	}
	status, err := s.Run(ctx, signals)
	if err != nil {
		return execError(err)
	}
	if status != 0 {
		return told(status) // the program has said why
	}
	return nil
}

// execOptions reads the flags.
func (e *env) execOptions(args []string, f execFlags) (supervise.Options, error) {
	log, err := e.logger(runFlags{logFormat: f.logFormat, logLevel: f.logLevel}, nil)
	if err != nil {
		return supervise.Options{}, err
	}
	opt := supervise.Options{
		Command: args, FDs: supervise.Style(f.fds), Nonblocking: f.nonblocking, Force: f.force, StatusFile: f.status,
		ReadyTimeout: f.readyTimeout, Probation: f.probation, Drain: f.drain, Subreaper: true, Log: log,
	}
	for _, spec := range f.listen {
		l, err := supervise.ParseListen(spec)
		if err != nil {
			return opt, failure(ExitUsage, "", "--listen: %w", err)
		}
		opt.Listen = append(opt.Listen, l)
	}
	if opt.Ready, err = supervise.ParseReady(f.ready); err != nil {
		return opt, failure(ExitUsage, "", "--ready: %w", err)
	}
	if opt.StopSignal, err = supervise.ParseSignal(f.stop); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return opt, failure(ExitUsage, "", "--stop-signal: %w", err)
	}
	return opt, execTimes(&opt)
}

// execTimes checks the times and maps 0, which the options take for unset.
func execTimes(opt *supervise.Options) error {
	switch {
	case opt.FDs != supervise.StyleSystemd && opt.FDs != supervise.StyleNginx:
		return failure(ExitUsage, "styles are systemd and nginx", "--fds %q is not a style", opt.FDs)
	case opt.ReadyTimeout <= 0:
		return failure(ExitUsage, "", "--ready-timeout %s is not positive", opt.ReadyTimeout)
	case opt.Drain < 0 || opt.Probation < 0:
		return failure(ExitUsage, "", "--drain and --probation must not be negative")
	}
	if opt.Probation == 0 {
		opt.Probation = -1
	}
	opt.Drain = max(opt.Drain, time.Nanosecond)
	return nil
}

// execError gives errors of the supervisor their status and hint.
func execError(err error) error {
	if errors.Is(err, supervise.ErrInterrupted) {
		return failure(ExitInterrupted, "", "%w", err)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return failure(ExitFailed, "", "%w", err)
	}
	if start, ok := errors.AsType[*supervise.StartError](err); ok {
		switch {
		case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
			return failure(ExitNotFound, "give a path, or a name that is in PATH", "%w", start)
		case errors.Is(err, exec.ErrDot):
			return failure(ExitFailed, "write ./"+start.Path, "%w", start)
		}
		return failure(ExitFailed, "", "%w", start)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return failure(ExitFailed, "another process listens there: stop it, or choose another address", "%w", err)
	}
	return err
}
