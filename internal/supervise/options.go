package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// Style is how a child learns of its sockets.
type Style string

// The styles.
const (
	StyleSystemd Style = "systemd" // LISTEN_FDS and its kin, sd_listen_fds(3)
	// StyleNginx adds the variable by which nginx hands its sockets to its own
	// successor, and implies Nonblocking, for nginx takes inherited sockets as
	// they are and would block in accept.
	StyleNginx Style = "nginx"
)

// Options configures [New]. Command is required; the rest may be zero.
type Options struct {
	// Command is the program and its arguments. The program is looked up at
	// each replacement, so that a symbolic link may have a new target. Relative
	// paths are relative to the working directory at the time of New.
	Command []string

	// Listen are the sockets to open. Sockets that the process was given by
	// LISTEN_FDS are kept too; one with the name and address of an entry takes
	// its place.
	Listen []Listen

	// FDs is how children learn of the sockets. Empty means StyleSystemd.
	FDs Style

	// Nonblocking puts all sockets into non-blocking mode. Otherwise those that
	// are opened here are in blocking mode, as systemd's are, and those that
	// were inherited stay as they are.
	Nonblocking bool

	Ready        Ready          // how readiness is learned
	ReadyTimeout time.Duration  // the deadline for it; zero means 30 s
	Probation    time.Duration  // how long the old child is kept; zero means 2 s, negative none
	StopSignal   syscall.Signal // tells a child to drain and exit; zero means SIGTERM
	Drain        time.Duration  // how long it may take before its group is killed; zero means 30 s

	// Force lets executables that were rolled back be tried again.
	Force bool

	// StatusFile is where the [Status] is written as JSON on each change, by
	// rename. Empty means nowhere. The file is removed in the end.
	StatusFile string

	// Environ is the environment of the children; nil means that of the
	// process. Variables of the protocols named in the package comment are
	// replaced or removed.
	Environ []string

	// Stdio is standard input, output and error of the children; nil entries
	// mean those of the process.
	Stdio [3]*os.File

	// Self starts a program whose main function hands its further arguments to
	// [ChildMain]. Nil means this executable with the argument "exec-child".
	Self []string

	// Subreaper says that this process does nothing else: it becomes the
	// parent of orphaned descendants (Linux) and reaps every child of the
	// process, those of os/exec included. Always on for PID 1.
	Subreaper bool

	// Log receives a record for each event. Nil discards them.
	Log *slog.Logger

	// OnEvent is called for each event, one at a time and in order. It must
	// return soon and must not call methods of the Supervisor. May be nil.
	OnEvent func(Event)

	pace pace
}

// pace are the times of restarts. Tests shorten them.
type pace struct {
	first, most, steady time.Duration
	probe               time.Duration // the least time between two probes
	last                time.Duration // the deadline for the probe that ends a probation
}

// withDefaults fills in what is zero and checks the rest.
func (o Options) withDefaults() (Options, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return o, errors.New("no command is given: name the program to run")
	}
	def(&o.FDs, StyleSystemd)
	def(&o.Ready.Kind, ReadyNotify)
	def(&o.ReadyTimeout, 30*time.Second)
	def(&o.Probation, 2*time.Second)
	def(&o.Drain, 30*time.Second)
	def(&o.StopSignal, syscall.SIGTERM)
	def(&o.pace.first, 100*time.Millisecond)
	def(&o.pace.most, 30*time.Second)
	def(&o.pace.steady, 10*time.Second)
	def(&o.pace.probe, 20*time.Millisecond)
	def(&o.pace.last, o.ReadyTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	return o, o.check()
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (o Options) check() error {
	for _, l := range o.Listen {
		if err := l.check(); err != nil {
			return err
		}
	}
	switch {
	case o.FDs != StyleSystemd && o.FDs != StyleNginx:
		return fmt.Errorf("the style %q of passing sockets is none of systemd, nginx", o.FDs)
	case o.ReadyTimeout < 0:
		return fmt.Errorf("the deadline for readiness, %s, is negative", o.ReadyTimeout)
	case o.Drain < 0:
		return fmt.Errorf("the time to drain, %s, is negative", o.Drain)
	case o.StopSignal < 0 || o.StopSignal > 64:
		return fmt.Errorf("there is no signal %d", int(o.StopSignal))
	case o.Ready.Kind == ReadyDelay && o.Ready.Delay >= o.ReadyTimeout:
		return fmt.Errorf("the delay %s is not below the deadline for readiness, %s", o.Ready.Delay, o.ReadyTimeout)
	}
	return o.Ready.check()
}
