package admin

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxMessage   = 1000 // bytes
	maxKey       = 200  // bytes
	maxTypes     = 32
)

// service implements the RPCs. A new method of the schema does not compile until
// it is here, since nothing is embedded.
type service struct{ s *Server }

func (v *service) GetStatus(context.Context, *connect.Request[adminv1.GetStatusRequest]) (*connect.Response[adminv1.GetStatusResponse], error) {
	return connect.NewResponse(&adminv1.GetStatusResponse{Status: statusProto(v.s.app.Status())}), nil
}

func (v *service) ListGenerations(_ context.Context, r *connect.Request[adminv1.ListGenerationsRequest]) (*connect.Response[adminv1.ListGenerationsResponse], error) {
	if r.Msg.Limit < 0 {
		return nil, invalid("limit is %d: it can't be negative", r.Msg.Limit)
	}
	all := v.s.app.Generations()
	if n := int(r.Msg.Limit); n > 0 && n < len(all) {
		all = all[:n]
	}
	return connect.NewResponse(&adminv1.ListGenerationsResponse{Generations: each(all, generationProto)}), nil
}

func (v *service) GetGeneration(_ context.Context, r *connect.Request[adminv1.GetGenerationRequest]) (*connect.Response[adminv1.GetGenerationResponse], error) {
	n := int(r.Msg.Number)
	if n < 0 {
		return nil, invalid("number is %d: generations count from 1", n)
	}
	if n == 0 {
		n = v.s.app.Status().Live.Number
	}
	d, err := v.s.app.Generation(n)
	if err != nil {
		return nil, v.s.rpcError(err)
	}
	return connect.NewResponse(detailProto(d)), nil
}

func (v *service) DiffGenerations(ctx context.Context, r *connect.Request[adminv1.DiffGenerationsRequest]) (*connect.Response[adminv1.DiffGenerationsResponse], error) {
	if r.Msg.From < 0 || r.Msg.To < 0 {
		return nil, invalid("from is %d and to is %d: generations count from 1, 0 is the disk", r.Msg.From, r.Msg.To)
	}
	changes, err := v.s.app.Diff(ctx, int(r.Msg.From), int(r.Msg.To))
	if err != nil {
		return nil, v.s.rpcError(err)
	}
	return connect.NewResponse(&adminv1.DiffGenerationsResponse{Changes: each(changes, changeProto)}), nil
}

func (v *service) ListUnits(context.Context, *connect.Request[adminv1.ListUnitsRequest]) (*connect.Response[adminv1.ListUnitsResponse], error) {
	return connect.NewResponse(&adminv1.ListUnitsResponse{Units: each(v.s.app.Units(), unitProto)}), nil
}

func (v *service) ListJobs(context.Context, *connect.Request[adminv1.ListJobsRequest]) (*connect.Response[adminv1.ListJobsResponse], error) {
	return connect.NewResponse(&adminv1.ListJobsResponse{Jobs: each(v.s.app.Jobs(), jobProto)}), nil
}

func (v *service) ListRuns(_ context.Context, r *connect.Request[adminv1.ListRunsRequest]) (*connect.Response[adminv1.ListRunsResponse], error) {
	n, err := limit(r.Msg.Limit)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.ListRunsResponse{Runs: each(v.s.app.Runs(n), runProto)}), nil
}

func (v *service) GetRun(_ context.Context, r *connect.Request[adminv1.GetRunRequest]) (*connect.Response[adminv1.GetRunResponse], error) {
	if r.Msg.Id == "" {
		return nil, invalid("id is empty: ListRuns has the ids")
	}
	run, err := v.s.app.Run(r.Msg.Id)
	if err != nil {
		return nil, v.s.rpcError(err)
	}
	return connect.NewResponse(&adminv1.GetRunResponse{Run: runProto(run)}), nil
}

func (v *service) ListUpdates(_ context.Context, r *connect.Request[adminv1.ListUpdatesRequest]) (*connect.Response[adminv1.ListUpdatesResponse], error) {
	n, err := limit(r.Msg.Limit)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.ListUpdatesResponse{Updates: each(v.s.app.Updates(n), updateProto)}), nil
}

func (v *service) Plan(ctx context.Context, _ *connect.Request[adminv1.PlanRequest]) (*connect.Response[adminv1.PlanResponse], error) {
	p, err := v.s.app.Plan(ctx)
	if err != nil {
		return nil, v.s.rpcError(err)
	}
	return connect.NewResponse(&adminv1.PlanResponse{Plan: planProto(p)}), nil
}

func (v *service) Reload(ctx context.Context, r *connect.Request[adminv1.ReloadRequest]) (*connect.Response[adminv1.ReloadResponse], error) {
	m := r.Msg
	ask := request{method: "Reload", message: m.Message, expect: m.ExpectedGeneration, key: m.IdempotencyKey, final: m.Irreversible, who: caller(ctx, r.Peer()), force: m.Force}
	u, replayed, err := v.s.change(ctx, ask, func(ctx context.Context, c app.Change) (app.Update, error) {
		return v.s.app.Reload(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.ReloadResponse{Update: updateProto(u), Replayed: replayed}), nil
}

func (v *service) Rollback(ctx context.Context, r *connect.Request[adminv1.RollbackRequest]) (*connect.Response[adminv1.RollbackResponse], error) {
	m := r.Msg
	if m.Generation < 0 {
		return nil, invalid("generation is %d: generations count from 1, 0 is the one before", m.Generation)
	}
	ask := request{method: "Rollback", generation: m.Generation, message: m.Message, expect: m.ExpectedGeneration, key: m.IdempotencyKey, final: m.Irreversible, who: caller(ctx, r.Peer()), force: m.Force}
	u, replayed, err := v.s.change(ctx, ask, func(ctx context.Context, c app.Change) (app.Update, error) {
		return v.s.app.Rollback(ctx, int(m.Generation), c)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.RollbackResponse{Update: updateProto(u), Replayed: replayed}), nil
}

func (v *service) WatchEvents(ctx context.Context, r *connect.Request[adminv1.WatchEventsRequest], stream *connect.ServerStream[adminv1.WatchEventsResponse]) error {
	f := follow{after: r.Msg.After, instance: r.Msg.Instance, types: r.Msg.Types}
	if err := f.validate(); err != nil {
		return err
	}
	return v.s.rpcError(v.s.follow(ctx, f, func(m moment) error {
		out := &adminv1.WatchEventsResponse{Instance: v.s.instance, Missed: m.missed, Cursor: m.cursor}
		if m.event != nil {
			out.Event = eventProto(*m.event)
		}
		return stream.Send(out)
	}))
}

func (v *service) ListLogs(_ context.Context, r *connect.Request[adminv1.ListLogsRequest]) (*connect.Response[adminv1.ListLogsResponse], error) {
	n, err := limit(r.Msg.Limit)
	if err != nil {
		return nil, err
	}
	low := slog.Level(-1 << 16)
	if r.Msg.Level != "" {
		if low.UnmarshalText([]byte(r.Msg.Level)) != nil {
			return nil, invalid("level is %q: use debug, info, warn or error", r.Msg.Level)
		}
	}
	if r.Msg.Generation < 0 {
		return nil, invalid("generation is %d: generations count from 1, 0 is all", r.Msg.Generation)
	}
	lines := v.s.app.Events().Recent(n, func(e app.Event) bool {
		return e.Type == "log" && levelOf(e.Level) >= low &&
			(r.Msg.Generation == 0 || e.Generation == int(r.Msg.Generation))
	})
	return connect.NewResponse(&adminv1.ListLogsResponse{Lines: each(lines, eventProto)}), nil
}

// levelOf reads the level of an event; one that is missing or unknown is info.
func levelOf(s string) slog.Level {
	var l slog.Level
	if s == "" || l.UnmarshalText([]byte(strings.TrimSpace(s))) != nil {
		return slog.LevelInfo
	}
	return l
}

// limit applies the default and the maximum of a list.
func limit(n int32) (int, error) {
	switch {
	case n < 0:
		return 0, invalid("limit is %d: it can't be negative", n)
	case n == 0:
		return defaultLimit, nil
	}
	return min(int(n), maxLimit), nil
}

// invalid returns an error for a request that is wrong in itself.
func invalid(format string, args ...any) *connect.Error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}
