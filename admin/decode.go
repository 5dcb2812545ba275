package admin

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// This file turns messages back into what the app said, so that a client prints
// the same JSON as the app's own process. A nil message is the zero value.

// timeFrom returns the time in the local zone; unset is the zero time.
func timeFrom(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime().Local()
}

// StatusFrom returns the status in a message.
func StatusFrom(m *adminv1.Status) app.Status {
	out := app.Status{
		App: m.GetApp(), Dir: m.GetDir(), Version: m.GetVersion(), PID: int(m.GetPid()), Started: timeFrom(m.GetStarted()),
		State: app.State(m.GetState()), Live: GenerationFrom(m.GetLive()),
		Staged: app.Staged{
			Digest: m.GetStaged().GetDigest(), Error: m.GetStaged().GetError(),
			Problems: each(m.GetStaged().GetProblems(), problemFrom), Seen: timeFrom(m.GetStaged().GetSeen()),
		},
		Drift: m.GetDrift(), DriftWhy: m.GetDriftReason(), Draining: each(m.GetDraining(), GenerationFrom),
		Requests: m.GetRequests(), Failed: m.GetFailed(), Streams: m.GetStreams(), Runs: m.GetRuns(),
		Listen: m.GetListen(), Admin: m.GetAdmin(), Watch: m.GetWatch(),
		Routes: int(m.GetRoutes()), Workflows: int(m.GetWorkflows()), Jobs: int(m.GetJobs()),
		Middleware: int(m.GetMiddleware()), Tests: int(m.GetTests()), Ready: m.GetReady(), Process: processFrom(m.GetProcess()),
		Permanent: int(m.GetPermanent()), Anchor: int(m.GetAnchor()), OnTrial: m.GetOnTrial(), Waiting: m.GetWaiting(), Floor: m.GetFloor(), Program: programFrom(m.GetProgram()),
	}
	if m.GetLastUpdate() != nil {
		u := UpdateFrom(m.GetLastUpdate())
		out.LastUpdate = &u
	}
	return out
}

// GenerationFrom returns the generation in a message.
func GenerationFrom(m *adminv1.Generation) app.GenerationInfo {
	return app.GenerationInfo{
		Number: int(m.GetNumber()), Digest: m.GetDigest(), State: app.GenerationState(m.GetState()),
		Created: timeFrom(m.GetCreated()), Update: m.GetUpdate(), Trigger: m.GetTrigger(), Who: m.GetWho(), Message: m.GetMessage(),
		Files: int(m.GetFiles()), Units: int(m.GetUnits()), Carried: int(m.GetCarried()), Tests: int(m.GetTests()),
		Requests: m.GetRequests(), Failed: m.GetFailed(), Inflight: m.GetInflight(), Streams: m.GetStreams(),
		DrainedIn: m.GetDrainedIn().AsDuration(), FreedIn: m.GetFreedIn().AsDuration(), Counter: m.GetCounter(), Program: programFrom(m.GetProgram()),
	}
}

func programFrom(m *adminv1.Program) *app.Program {
	if m == nil {
		return nil
	}
	return &app.Program{Digest: m.GetDigest(), Version: m.GetVersion(), Commit: m.GetCommit(), Modified: m.GetModified(),
		Time: timeFrom(m.GetTime()), Counter: m.GetCounter()}
}

// DetailFrom returns the generation in an answer, with its files and units.
func DetailFrom(m *adminv1.GetGenerationResponse) app.GenerationDetail {
	return app.GenerationDetail{
		GenerationInfo: GenerationFrom(m.GetGeneration()),
		Content: each(m.GetFiles(), func(f *adminv1.File) app.FileInfo {
			return app.FileInfo{Path: f.GetPath(), Digest: f.GetDigest(), Size: f.GetSize()}
		}),
		Parts: each(m.GetUnits(), UnitFrom),
	}
}

// ChangeFrom returns the change in a message.
func ChangeFrom(m *adminv1.FileChange) app.FileChange {
	return app.FileChange{Path: m.GetPath(), Op: m.GetOp(), Diff: m.GetDiff()}
}

// UnitFrom returns the unit in a message.
func UnitFrom(m *adminv1.Unit) app.UnitInfo {
	return app.UnitInfo{
		Name: m.GetName(), Engine: m.GetEngine(), Digest: m.GetDigest(), Files: m.GetFiles(), UsedBy: m.GetUsedBy(),
		Since: int(m.GetSince()), Executions: m.GetExecutions(), Errors: m.GetErrors(),
	}
}

// JobFrom returns the job in a message.
func JobFrom(m *adminv1.Job) app.JobInfo {
	return app.JobInfo{
		Name: m.GetName(), Schedule: m.GetSchedule(), Run: m.GetRun(), Overlap: m.GetOverlap(),
		Next: timeFrom(m.GetNext()), Last: timeFrom(m.GetLast()), Ticks: m.GetTicks(), Running: int(m.GetRunning()),
		Skipped: m.GetSkipped(), Failed: m.GetFailed(),
	}
}

// RunFrom returns the run in a message.
func RunFrom(m *adminv1.Run) app.Run {
	return app.Run{
		ID: m.GetId(), Kind: m.GetKind(), Name: m.GetName(), Unit: m.GetUnit(), Generation: int(m.GetGeneration()),
		Status: m.GetStatus(), Scheduled: timeFrom(m.GetScheduled()), Tick: m.GetTick(), Started: timeFrom(m.GetStarted()),
		Duration: m.GetDuration().AsDuration(), Error: m.GetError(),
		Steps: each(m.GetSteps(), func(s *adminv1.RunStep) app.RunStep {
			return app.RunStep{
				Name: s.GetName(), Needs: s.GetNeeds(), Status: s.GetStatus(), Attempts: int(s.GetAttempts()),
				Started: timeFrom(s.GetStarted()), Duration: s.GetDuration().AsDuration(), Error: s.GetError(),
			}
		}),
	}
}

// UpdateFrom returns the update in a message.
func UpdateFrom(m *adminv1.Update) app.Update {
	return app.Update{
		ID: m.GetId(), Trigger: m.GetTrigger(), Who: m.GetWho(), Message: m.GetMessage(), State: app.State(m.GetState()),
		Outcome: app.Outcome(m.GetOutcome()), From: int(m.GetFrom()), Generation: int(m.GetGeneration()),
		Digest: m.GetDigest(), Problems: each(m.GetProblems(), problemFrom), Warnings: each(m.GetWarnings(), problemFrom),
		Phases: each(m.GetPhases(), func(p *adminv1.Phase) app.Phase {
			return app.Phase{Name: p.GetName(), Duration: p.GetDuration().AsDuration()}
		}),
		Tests: int(m.GetTests()), Started: timeFrom(m.GetStarted()), Ended: timeFrom(m.GetEnded()), Trial: trialFrom(m.GetTrial()),
		Migrations: each(m.GetMigrations(), migrationFrom),
	}
}

func migrationFrom(m *adminv1.Migration) app.Migration {
	return app.Migration{Name: m.GetName(), From: int(m.GetFrom()), To: int(m.GetTo()), Keys: int(m.GetKeys()), Took: m.GetTook().AsDuration(), Irreversible: m.GetIrreversible()}
}

func trialFrom(m *adminv1.Trial) *app.Trial {
	if m == nil {
		return nil
	}
	return &app.Trial{Update: m.GetUpdate(), Generation: int(m.GetGeneration()), Outcome: app.Outcome(m.GetOutcome()), Why: m.GetWhy(), Ended: timeFrom(m.GetEnded())}
}

// PlanFrom returns the plan in a message.
func PlanFrom(m *adminv1.Plan) app.Plan {
	return app.Plan{
		Base: int(m.GetBase()), Digest: m.GetDigest(), Changes: each(m.GetChanges(), ChangeFrom), Effects: m.GetEffects(),
		Problems: each(m.GetProblems(), problemFrom), Warnings: each(m.GetWarnings(), problemFrom), Tests: int(m.GetTests()),
	}
}

// EventFrom returns the event in a message. Its data is what JSON makes of it:
// maps, slices, strings, float64, bools.
func EventFrom(m *adminv1.Event) app.Event {
	e := app.Event{
		ID: m.GetId(), Time: timeFrom(m.GetTime()), Type: m.GetType(), Level: m.GetLevel(), Message: m.GetMessage(),
		Generation: int(m.GetGeneration()), Update: m.GetUpdate(),
	}
	if m.GetData() != nil {
		e.Data = m.GetData().AsInterface()
	}
	return e
}

func problemFrom(m *adminv1.Problem) app.Problem {
	return app.Problem{
		Kind: m.GetKind(), Message: m.GetMessage(), Hint: m.GetHint(), File: m.GetFile(),
		Line: int(m.GetLine()), Column: int(m.GetColumn()), Frame: m.GetFrame(),
	}
}
