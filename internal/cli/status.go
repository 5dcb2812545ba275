package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// statusView is what `theseus status --json` prints: the status, with the live
// generation's number under the name that people look for.
type statusView struct {
	app.Status
	Live liveView `json:"live"`
}

type liveView struct {
	Generation int `json:"generation"`
	app.GenerationInfo
}

func newStatus(e *env) *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [DIR]",
		Short: "Show what is live, what the disk holds and what was refused",
		Long: `Status shows the generation that serves, whether the disk differs from it and why,
and the traffic since the process started. The exit status is 0 whenever an
instance answers, also when the disk was refused: scripts look at --json, at
drift and staged.error.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t.arg(args)
			return t.call(c.Context(), func(ctx context.Context, client *admin.Client) error {
				resp, err := client.GetStatus(ctx, connect.NewRequest(&adminv1.GetStatusRequest{}))
				if err != nil {
					return err
				}
				s := admin.StatusFrom(resp.Msg.GetStatus())
				if asJSON {
					return printJSON(e.out, statusView{Status: s, Live: liveView{s.Live.Number, s.Live}})
				}
				printStatus(e.out, s)
				return nil
			})
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// arg lets the first argument name the directory.
func (t *target) arg(args []string) {
	if len(args) > 0 && t.dir == "" {
		t.dir = args[0]
	}
}

func printStatus(w io.Writer, s app.Status) {
	disk := "disk in sync"
	if s.Drift {
		disk = "disk ≠ live: " + clean(s.DriftWhy)
	}
	fmt.Fprintf(w, "%s  gen %d live · %s\n", clean(s.App), s.Live.Number, disk)
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "  %s\t"+format+"\n", append([]any{name}, args...)...)
	}
	row("digest", "%s", short(s.Live.Digest))
	state := string(s.State)
	if s.OnTrial {
		state += fmt.Sprintf(" on trial; a start would load gen %d", s.Permanent)
	}
	if s.Waiting != "" {
		state += "; " + clean(s.Waiting)
	}
	row("state", "%s", state)
	row("serving", "%d requests, %d failed, %d streams, %d runs", s.Requests, s.Failed, s.Streams, s.Runs)
	row("made of", "%s, %s, %s, %d middleware, %s", plural(s.Routes, "route"), plural(s.Workflows, "workflow"), plural(s.Jobs, "job"), s.Middleware, plural(s.Tests, "test"))
	for _, l := range s.Listen {
		row("listen", "%s", l)
	}
	if s.Admin != "" {
		row("admin", "%s", s.Admin)
	}
	row("watching", "%s", s.Watch)
	row("process", "pid %d, theseus %s, up %s", s.PID, s.Version, time.Since(s.Started).Round(time.Second))
	if p := s.Program; p != nil {
		row("program", "%s", clean(p.String()))
	}
	if p := s.Process; p != nil {
		row("upgrades", "process generation %d, %s", p.Generation, clean(p.State))
		for _, o := range p.Draining {
			row("draining", "process %d, generation %d: %d requests, %s, since %s", o.PID, o.Generation, o.Inflight, plural(o.Connections, "connection"), o.Since.Format(time.TimeOnly))
		}
	}
	for _, g := range s.Draining {
		row("draining", "gen %d: %d requests, %d streams", g.Number, g.Inflight, g.Streams)
	}
	_ = tw.Flush()
	if s.Staged.Error != "" {
		fmt.Fprintln(w)
		printProblems(w, "refused", s.Staged.Problems)
	}
}

func short(digest string) string {
	if len(digest) > 12 {
		return digest[:12]
	}
	return digest
}

func newHistory(e *env) *cobra.Command {
	var f pastFlags
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use:   "history [DIR]",
		Short: "List generations that can be returned to, and the updates that were refused",
		Long: `History lists the kept generations, newest first, with the traffic that each
served since the process started, and the latest updates with their outcomes.
The manifest's rollout.keep says how many generations are kept.

Without a running instance it reads what is on disk, and says so.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.arg(args)
			return f.read(c.Context(), e, func(ctx context.Context, p past) error {
				var h struct {
					Generations []app.GenerationInfo `json:"generations"`
					Updates     []app.Update         `json:"updates"`
				}
				var err error
				if h.Generations, err = p.Generations(ctx, limit); err != nil {
					return err
				}
				if h.Updates, err = p.Updates(ctx, limit); err != nil {
					return err
				}
				if asJSON {
					return printJSON(e.out, h)
				}
				printHistory(e.out, h.Generations, h.Updates)
				return nil
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().IntVarP(&limit, "limit", "n", 20, "at most this many of each; 0 for all that the instance knows")
	return c
}

func printHistory(w io.Writer, gens []app.GenerationInfo, ups []app.Update) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "GEN\tSTATE\tMADE\tBY\tUNITS\tTESTS\tREQUESTS\tFAILED\tDIGEST\tMESSAGE")
	for _, g := range gens {
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%d (%d carried)\t%d\t%d\t%d\t%s\t%s\n", g.Number, g.State, g.Created.Format("Jan 02 15:04:05"), clean(by(g.Trigger, g.Who)),
			g.Units, g.Carried, g.Tests, g.Requests, g.Failed, short(g.Digest), clean(g.Message))
	}
	_ = tw.Flush()
	if len(ups) == 0 {
		return
	}
	fmt.Fprintln(w)
	tw = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "UPDATE\tENDED\tBY\tOUTCOME\tTRIAL\tFROM\tTO\tTOOK\tWHY")
	for _, u := range ups {
		why := clean(u.Message)
		if len(u.Problems) > 0 {
			why = clean(u.Problems[0].String())
		}
		to := "-"
		if u.Generation > 0 {
			to = strconv.Itoa(u.Generation)
		}
		trial := "-"
		if u.Trial != nil {
			trial = string(u.Trial.Outcome)
			if u.Trial.Outcome != app.OutcomePermanent && why == "" {
				why = clean(u.Trial.Why)
			}
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", u.ID, u.Ended.Format("15:04:05"), clean(by(u.Trigger, u.Who)), u.Outcome, trial, u.From, to, u.Ended.Sub(u.Started).Round(time.Millisecond), why)
	}
	_ = tw.Flush()
}
