package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/internal/demo"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/internal/load"
)

func newDemo(e *env) *cobra.Command {
	var opt demo.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Change a shop under load and count what is lost",
		Long: `Demo copies a shop into a temporary directory, serves it, drives it with 16 shoppers
and 25 open streams that never retry, and performs a script of edits on its files:
good ones, broken ones and a rollback. Then it replaces the program itself, by a good
one, a truncated one and one that dies. It ends with a scoreboard, and with status 1
when anything was lost or went otherwise than it should.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), handledSignals...)
			defer stop()
			opt.Version = e.build.Version
			opt.Out = e.out
			if asJSON {
				opt.Out = e.errOut
			}
			board, err := demo.Run(ctx, opt)
			if err != nil {
				return startError(err)
			}
			if asJSON {
				if err := printJSON(e.out, board); err != nil {
					return err
				}
			}
			if !board.OK() {
				return failure(ExitFailed, "the lines marked ✗ and the \"errors\" of --json say what", "the demo lost something")
			}
			if !asJSON {
				fmt.Fprintln(e.out, "  Now with an app of your own:  theseus new shop && theseus run shop")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&opt.Fast, "fast", false, "leave out the pauses for reading")
	c.Flags().Float64Var(&opt.Rate, "rate", 200, "requests per second; negative: as many as are answered")
	c.Flags().StringVar(&opt.Listen, "listen", "", "address of the app (default: a free port)")
	c.Flags().StringVar(&opt.Admin, "admin", "", "address of the console (default: a free port)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object at the end, the narration on stderr")
	return c
}

// startLoad drives a user's app with the load generator until the returned
// function is called, which prints what became of it.
func (e *env) startLoad(ctx context.Context, in *instance.Instance, f runFlags) (func() error, error) {
	profile, streams, err := e.profileFor(in)
	if err != nil {
		return nil, err
	}
	gen, err := load.New(load.Options{Base: in.URL, Profile: profile, Rate: f.rate, Streams: streams})
	if err != nil {
		return nil, failure(ExitUsage, "--demo needs an app that listens on TCP", "%w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- gen.Run(ctx) }()
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				e.loadLine(in, gen, "\r")
			}
		}
	}()
	return func() error {
		cancel()
		err := <-done
		e.loadLine(in, gen, "")
		if r := gen.Snapshot(); err == nil && !r.Clean() {
			return failure(ExitFailed, "", "the load lost something: %s", strings.Join(r.FirstErrors, "; "))
		}
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}, nil
}

// profileFor chooses what the load does: the shop's own traffic for the shop,
// else GETs of what can be got without knowing more.
func (e *env) profileFor(in *instance.Instance) (load.Profile, int, error) {
	routes, streams := in.App.Routes()
	for _, r := range routes {
		if r == "GET /version" && in.App.Status().App == "shop" {
			return load.ShopProfile(), 25, nil
		}
	}
	p, err := load.AutoProfile(routes, nil)
	if err != nil {
		return p, 0, failure(ExitUsage, "add a route such as \"GET /\" without {name}", "%w", err)
	}
	if len(streams) > 0 {
		p.StreamPath = streams[0]
		return p, 25, nil
	}
	return p, 0, nil
}

func (e *env) loadLine(in *instance.Instance, gen *load.Generator, end string) {
	s, r := in.App.Status(), gen.Snapshot()
	disk := "disk in sync"
	if s.Drift {
		disk = "disk ≠ live"
	}
	line := fmt.Sprintf("  gen %d ● live  %.0f rps  p95 %.1f ms  %d streams  %d failed of %d  %s  ", s.Live.Number, r.Rate(),
		float64(r.Latency.P95)/1e6, r.StreamsOpen, r.Failed, r.Requests, disk)
	if end == "" || !terminal(e.errOut) {
		end = "\n"
	}
	fmt.Fprint(e.errOut, line+end)
}
