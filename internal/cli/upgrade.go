package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/engines"
)

// upgradeTimeout is how long `theseus upgrade` waits: the check and the start may
// take 30 s each, and then comes the probation.
const upgradeTimeout = 3 * time.Minute

func newUpgrade(e *env) *cobra.Command {
	var t target
	var force, wait, asJSON bool
	c := &cobra.Command{
		Use:   "upgrade [BINARY]",
		Short: "Replace the running process by another program, losing no request",
		Long: `Upgrade has the running instance start BINARY, by default the file that it was
started from, as its successor: checked first, with the arguments of the running
one; handed the sockets, the data that scripts share and the phase of jobs; and
watched while it serves. The old process stands by until the new one has proved
itself, and takes the service back when that ends, hangs or fails.

Until then both answer: connections that were open the old process, new ones the
new one. Each has the data (kv) as of the hand-over; what the old one writes after
that is lost, which its log says. See --probation of run.

The status is 0 only when the new process is the service, 3 when it was refused or
rolled back, and 5 while another upgrade is under way. A program that was rolled
back is refused from then on, unless with --force.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req := &adminv1.UpgradeRequest{Force: force, NoWait: !wait}
			if len(args) > 0 {
				req.Path = absolute(args[0])
			}
			return e.upgrade(c.Context(), &t, req, asJSON)
		},
	}
	t.flags(c)
	c.Flags().Lookup("timeout").DefValue = upgradeTimeout.String()
	t.timeout = upgradeTimeout
	c.Flags().BoolVar(&force, "force", false, "start the program though it was rolled back before")
	c.Flags().BoolVar(&wait, "wait", true, "wait until the new process is the service; without, until it is being started")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func (e *env) upgrade(ctx context.Context, t *target, req *adminv1.UpgradeRequest, asJSON bool) error {
	err := t.call(ctx, func(ctx context.Context, client *admin.Client) error {
		r, err := client.Upgrade(ctx, connect.NewRequest(req))
		if err != nil {
			return upgradeFailure(err)
		}
		u := admin.UpgradeFrom(r.Msg.GetUpgrade())
		if asJSON {
			return printJSON(e.out, u)
		}
		printUpgrade(e.out, u)
		return nil
	})
	ue, ok := errors.AsType[*admin.UpgradeError](err)
	if !ok {
		return err
	}
	if asJSON {
		v := map[string]any{"error": ue.Reason, "step": ue.Step, "rolled_back": ue.RolledBack, "remembered": ue.Remembered}
		if err := printJSON(e.out, v); err != nil {
			return err
		}
		return told(ExitRefused)
	}
	return failure(ExitRefused, upgradeHint(ue), "%s", ue.Reason)
}

// upgradeFailure returns the error of the admin API that has details of its own.
func upgradeFailure(err error) error {
	if ue, ok := admin.UpgradeErrorOf(err); ok {
		return ue
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		switch ce.Code() {
		case connect.CodePermissionDenied:
			return failure(ExitFailed, "", "%s", ce.Message())
		case connect.CodeAborted:
			return failure(ExitConflict, "`theseus status` shows the process; ask again when it serves", "%s", ce.Message())
		}
	}
	return err
}

func upgradeHint(ue *admin.UpgradeError) string {
	switch {
	case ue.Remembered:
		return "the old process serves on; install another build, or try this one again with --force"
	case ue.RolledBack:
		return "the old process serves again; the log of the new one says why it failed"
	case ue.Step == "check":
		return "the old process serves on; nothing was started"
	}
	return "the old process serves on; the log of the new one says why it failed"
}

// printUpgrade prints the verdict and what each step took.
func printUpgrade(w io.Writer, u admin.Upgrade) {
	if u.PID == 0 {
		fmt.Fprintf(w, "process generation %d is being started; `theseus status` shows how it goes\n", u.Generation)
		return
	}
	what := clean(u.Path)
	if u.Version != "" {
		what += " " + clean(u.Version)
	}
	fmt.Fprintf(w, "process %d (generation %d, %s, %s) serves since %s after the request, and is the service after %s\n",
		u.PID, u.Generation, what, short(u.Digest), round(u.Serving), round(u.Took))
	for _, s := range u.Steps {
		fmt.Fprintf(w, "  %-10s %s\n", clean(s.Name), round(s.Duration))
	}
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// checkFlag is the hidden flag of run with which a new program is tried out before
// it becomes the successor of a running one.
const checkFlag = "upgrade-check"

// checkArgs are the arguments of such a trial: those of this process, and the flag.
func checkArgs() []string {
	args := os.Args[1:]
	at := slices.Index(args, "run") + 1
	return slices.Insert(slices.Clone(args), at, "--"+checkFlag)
}

// checkUpgrade says by its status whether this program can serve what is live.
func (e *env) checkUpgrade(ctx context.Context, path string, f runFlags) error {
	if _, err := e.loadHooks(f.hooks, path); err != nil {
		return err
	}
	tests, problems := app.CheckCurrent(ctx, path, app.Options{Engines: engines.All(), StateDir: f.state})
	if len(problems) > 0 {
		printProblems(e.errOut, "error", problems)
		return told(ExitRefused)
	}
	fmt.Fprintf(e.out, "ok: %s passed\n", plural(tests, "test"))
	return nil
}
