package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/observe"
)

// A past tells the history of an app. A limit of 0 is none.
type past interface {
	Generations(ctx context.Context, limit int) ([]app.GenerationInfo, error)
	Generation(ctx context.Context, n int) (app.GenerationDetail, error)
	Updates(ctx context.Context, limit int) ([]app.Update, error)
	Diff(ctx context.Context, from, to int) ([]app.FileChange, error)
}

// remote is the past as a running instance tells it.
type remote struct{ *admin.Client }

func (r remote) Generations(ctx context.Context, limit int) ([]app.GenerationInfo, error) {
	resp, err := r.ListGenerations(ctx, connect.NewRequest(&adminv1.ListGenerationsRequest{Limit: int32(limit)}))
	if err != nil {
		return nil, err
	}
	var all []app.GenerationInfo
	for _, g := range resp.Msg.GetGenerations() {
		all = append(all, admin.GenerationFrom(g))
	}
	return all, nil
}

func (r remote) Generation(ctx context.Context, n int) (app.GenerationDetail, error) {
	resp, err := r.GetGeneration(ctx, connect.NewRequest(&adminv1.GetGenerationRequest{Number: int32(n)}))
	if err != nil {
		return app.GenerationDetail{}, err
	}
	return admin.DetailFrom(resp.Msg), nil
}

func (r remote) Updates(ctx context.Context, limit int) ([]app.Update, error) {
	resp, err := r.ListUpdates(ctx, connect.NewRequest(&adminv1.ListUpdatesRequest{Limit: int32(cmp.Or(limit, math.MaxInt32))}))
	if err != nil {
		return nil, err
	}
	var all []app.Update
	for _, u := range resp.Msg.GetUpdates() {
		all = append(all, admin.UpdateFrom(u))
	}
	return all, nil
}

func (r remote) Diff(ctx context.Context, from, to int) ([]app.FileChange, error) {
	resp, err := r.DiffGenerations(ctx, connect.NewRequest(&adminv1.DiffGenerationsRequest{From: int32(from), To: int32(to)}))
	if err != nil {
		return nil, err
	}
	var all []app.FileChange
	for _, m := range resp.Msg.GetChanges() {
		all = append(all, admin.ChangeFrom(m))
	}
	return all, nil
}

// onDisk is the past as the state directory tells it.
type onDisk struct{ *app.History }

func (d onDisk) Generations(_ context.Context, limit int) ([]app.GenerationInfo, error) {
	if limit < 0 {
		return nil, failure(ExitUsage, "", "limit is %d: it can't be negative", limit)
	}
	all := d.History.Generations()
	if limit > 0 && limit < len(all) {
		all = all[:limit]
	}
	return all, nil
}

func (d onDisk) Generation(_ context.Context, n int) (app.GenerationDetail, error) {
	return d.History.Generation(n)
}

func (d onDisk) Updates(_ context.Context, limit int) ([]app.Update, error) {
	return d.History.Updates(limit), nil
}

// pastFlags say whose past a command tells.
type pastFlags struct {
	target
	state string
}

func (f *pastFlags) add(c *cobra.Command) {
	f.flags(c)
	c.Flags().StringVar(&f.state, "state", "", "read the history in this directory, not that of an instance (default: ask the instance; if none answers, read .theseus in DIR)")
}

// read runs do with the past that the running instance tells, or the disk if none
// answers or the flags say so, which is said on stderr.
func (f *pastFlags) read(ctx context.Context, e *env, do func(context.Context, past) error) error {
	dir, path := f.state, cmp.Or(f.dir, ".")
	var gone error
	if dir == "" {
		gone = f.call(ctx, func(ctx context.Context, client *admin.Client) error { return do(ctx, remote{client}) })
		se, ok := errors.AsType[*statusError](gone)
		if !ok || se.code != ExitUnreachable || cmp.Or(f.addr, os.Getenv("THESEUS_ADDR")) != "" {
			return gone
		}
		if dir = instance.DiscoveryDir(path); dir == path {
			dir = filepath.Join(path, ".theseus")
		}
	}
	h, err := app.ReadHistory(absolute(path), dir, observe.NewLogger(e.errOut, observe.LogOptions{Level: slog.LevelWarn}))
	if errors.Is(err, fs.ErrNotExist) {
		if gone != nil {
			return gone
		}
		return failure(ExitNotFound, "give the directory that `theseus run --state` was given, or --dir", "%s: there is no history", dir)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if gone != nil {
		fmt.Fprintf(e.errOut, "theseus: no instance answers: this is what is in %s\n", clean(dir))
	} else {
		fmt.Fprintf(e.errOut, "theseus: this is what is in %s\n", clean(dir))
	}
	return do(ctx, onDisk{h})
}
