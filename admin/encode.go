package admin

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// This file turns what an app says into messages. Text is made valid UTF-8, for
// a file name or an error may not be, and a message with such text can't be sent.

func each[T, M any](in []T, f func(T) M) []M {
	if len(in) == 0 {
		return nil
	}
	out := make([]M, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func i32(n int) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

// stamp leaves a zero time, and one that has no timestamp, unset.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	if ts := timestamppb.New(t); ts.IsValid() {
		return ts
	}
	return nil
}

// span leaves a zero duration unset.
func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func statusProto(s app.Status) *adminv1.Status {
	out := &adminv1.Status{
		App: valid(s.App), Dir: valid(s.Dir), Version: valid(s.Version), Pid: int64(s.PID), Started: stamp(s.Started),
		State: string(s.State), Live: generationProto(s.Live),
		Staged: &adminv1.Staged{
			Digest: valid(s.Staged.Digest), Error: valid(s.Staged.Error),
			Problems: each(s.Staged.Problems, problemProto), Seen: stamp(s.Staged.Seen),
		},
		Drift: s.Drift, DriftReason: valid(s.DriftWhy), Draining: each(s.Draining, generationProto),
		Requests: s.Requests, Failed: s.Failed, Streams: s.Streams, Runs: s.Runs,
		Listen: each(s.Listen, valid), Admin: valid(s.Admin), Watch: valid(s.Watch),
		Routes: i32(s.Routes), Workflows: i32(s.Workflows), Jobs: i32(s.Jobs),
		Middleware: i32(s.Middleware), Tests: i32(s.Tests), Ready: s.Ready, Process: processProto(s.Process),
		Permanent: i32(s.Permanent), Anchor: i32(s.Anchor), OnTrial: s.OnTrial, Waiting: valid(s.Waiting), Floor: s.Floor, Program: programProto(s.Program),
	}
	if s.LastUpdate != nil {
		out.LastUpdate = updateProto(*s.LastUpdate)
	}
	return out
}

func generationProto(g app.GenerationInfo) *adminv1.Generation {
	return &adminv1.Generation{
		Number: i32(g.Number), Digest: valid(g.Digest), State: string(g.State), Created: stamp(g.Created),
		Update: valid(g.Update), Trigger: valid(g.Trigger), Who: valid(g.Who), Message: valid(g.Message),
		Files: i32(g.Files), Units: i32(g.Units), Carried: i32(g.Carried), Tests: i32(g.Tests),
		Requests: g.Requests, Failed: g.Failed, Inflight: g.Inflight, Streams: g.Streams,
		DrainedIn: span(g.DrainedIn), FreedIn: span(g.FreedIn), Counter: g.Counter, Program: programProto(g.Program),
	}
}

// programProto leaves what is not known unset.
func programProto(p *app.Program) *adminv1.Program {
	if p == nil {
		return nil
	}
	return &adminv1.Program{Digest: valid(p.Digest), Version: valid(p.Version), Commit: valid(p.Commit), Modified: p.Modified, Time: stamp(p.Time), Counter: p.Counter}
}

func detailProto(d app.GenerationDetail) *adminv1.GetGenerationResponse {
	return &adminv1.GetGenerationResponse{
		Generation: generationProto(d.GenerationInfo),
		Files:      each(d.Content, fileProto),
		Units:      each(d.Parts, unitProto),
	}
}

func fileProto(f app.FileInfo) *adminv1.File {
	return &adminv1.File{Path: valid(f.Path), Digest: valid(f.Digest), Size: f.Size}
}

func changeProto(c app.FileChange) *adminv1.FileChange {
	return &adminv1.FileChange{Path: valid(c.Path), Op: valid(c.Op), Diff: valid(c.Diff)}
}

func unitProto(u app.UnitInfo) *adminv1.Unit {
	return &adminv1.Unit{
		Name: valid(u.Name), Engine: valid(u.Engine), Digest: valid(u.Digest), Files: each(u.Files, valid),
		UsedBy: each(u.UsedBy, valid), Since: i32(u.Since), Executions: u.Executions, Errors: u.Errors,
	}
}

func jobProto(j app.JobInfo) *adminv1.Job {
	return &adminv1.Job{
		Name: valid(j.Name), Schedule: valid(j.Schedule), Run: valid(j.Run), Overlap: valid(j.Overlap),
		Next: stamp(j.Next), Last: stamp(j.Last), Ticks: j.Ticks, Running: i32(j.Running),
		Skipped: j.Skipped, Failed: j.Failed,
	}
}

func runProto(r app.Run) *adminv1.Run {
	return &adminv1.Run{
		Id: valid(r.ID), Kind: valid(r.Kind), Name: valid(r.Name), Unit: valid(r.Unit), Generation: i32(r.Generation),
		Status: valid(r.Status), Scheduled: stamp(r.Scheduled), Tick: r.Tick, Started: stamp(r.Started),
		Duration: span(r.Duration), Error: valid(r.Error), Steps: each(r.Steps, stepProto),
	}
}

func stepProto(s app.RunStep) *adminv1.RunStep {
	return &adminv1.RunStep{
		Name: valid(s.Name), Needs: each(s.Needs, valid), Status: valid(s.Status), Attempts: i32(s.Attempts),
		Started: stamp(s.Started), Duration: span(s.Duration), Error: valid(s.Error),
	}
}

func updateProto(u app.Update) *adminv1.Update {
	return &adminv1.Update{
		Id: valid(u.ID), Trigger: valid(u.Trigger), Who: valid(u.Who), Message: valid(u.Message), State: string(u.State),
		Outcome: string(u.Outcome), From: i32(u.From), Generation: i32(u.Generation), Digest: valid(u.Digest),
		Problems: each(u.Problems, problemProto), Warnings: each(u.Warnings, problemProto),
		Phases: each(u.Phases, phaseProto), Tests: i32(u.Tests), Started: stamp(u.Started), Ended: stamp(u.Ended), Trial: trialProto(u.Trial),
		Migrations: each(u.Migrations, migrationProto),
	}
}

func trialProto(t *app.Trial) *adminv1.Trial {
	if t == nil {
		return nil
	}
	return &adminv1.Trial{Update: valid(t.Update), Generation: i32(t.Generation), Outcome: string(t.Outcome), Why: valid(t.Why), Ended: stamp(t.Ended)}
}

func migrationProto(m app.Migration) *adminv1.Migration {
	return &adminv1.Migration{Name: valid(m.Name), From: i32(m.From), To: i32(m.To), Keys: i32(m.Keys), Took: span(m.Took), Irreversible: valid(m.Irreversible)}
}

func phaseProto(p app.Phase) *adminv1.Phase {
	return &adminv1.Phase{Name: valid(p.Name), Duration: span(p.Duration)}
}

func problemProto(p app.Problem) *adminv1.Problem {
	return &adminv1.Problem{
		Kind: valid(p.Kind), Message: valid(p.Message), Hint: valid(p.Hint), File: valid(p.File),
		Line: i32(p.Line), Column: i32(p.Column), Frame: valid(p.Frame),
	}
}

func planProto(p app.Plan) *adminv1.Plan {
	return &adminv1.Plan{
		Base: i32(p.Base), Digest: valid(p.Digest), Changes: each(p.Changes, changeProto),
		Effects: each(p.Effects, valid), Problems: each(p.Problems, problemProto),
		Warnings: each(p.Warnings, problemProto), Tests: i32(p.Tests),
	}
}

func eventProto(e app.Event) *adminv1.Event {
	return &adminv1.Event{
		Id: e.ID, Time: stamp(e.Time), Type: valid(e.Type), Level: valid(e.Level), Message: valid(e.Message),
		Generation: i32(e.Generation), Update: valid(e.Update), Data: valueProto(e.Data),
	}
}

// valueProto encodes the data of an event by its JSON form; what has none is
// replaced by the reason.
func valueProto(data any) *structpb.Value {
	if data == nil {
		return nil
	}
	b, err := json.Marshal(data)
	if err == nil {
		v := new(structpb.Value)
		if err = protojson.Unmarshal(b, v); err == nil {
			return v
		}
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"error": structpb.NewStringValue(valid(err.Error())),
	}})
}
