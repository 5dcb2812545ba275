package app

import (
	"context"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/internal/schedule"
	"github.com/theseus-run/theseus/script"
)

// jobList turns the manifest's jobs into the scheduler's. A job's Run is only a
// name: each tick runs what the live generation has under it, and ends there.
func (g *Generation) jobList() []schedule.Job {
	var jobs []schedule.Job
	for _, j := range g.manifest.Jobs {
		jobs = append(jobs, schedule.Job{
			Name:    j.Name,
			Spec:    schedule.Spec{Every: time.Duration(j.Every), Cron: j.Cron, TZ: j.TZ, Jitter: time.Duration(j.Jitter)},
			Overlap: schedule.Overlap(j.Overlap),
			Timeout: time.Duration(j.Timeout),
			Run:     g.app.runJob,
		})
	}
	return jobs
}

// runJob runs one tick of a job in the live generation.
func (a *App) runJob(ctx context.Context, t schedule.Tick) error {
	g, err := a.acquire()
	if err != nil {
		return err
	}
	defer g.release()
	for _, j := range g.manifest.Jobs {
		if j.Name != t.Job {
			continue
		}
		u := g.units[j.Run]
		run := a.env.runs.begin(Run{Kind: "job", Name: j.Name, Unit: j.Run, Generation: g.number, Started: time.Now(), Scheduled: t.Scheduled, Tick: t.Number, Steps: planned(u)})
		in := script.Of(map[string]any{
			"job": j.Name, "scheduled": t.Scheduled.UnixMilli(), "now": time.Now().UnixMilli(), "number": t.Number, "generation": g.number,
		})
		_, err := g.executeRun(ctx, a.env, u, run, in)
		a.finish(run, a.env, err)
		return err
	}
	return fmt.Errorf("job %s is not in generation %d any more", t.Job, g.number)
}

// jobDone logs a tick that failed or did not run.
func (a *App) jobDone(r schedule.Result) {
	g := a.liveNumber()
	switch r.Status {
	case schedule.Failed:
		a.log.Error("job failed", "job", r.Tick.Job, "tick", r.Tick.Number, "generation", g, "error", r.Err)
	case schedule.Skipped:
		if a.opt.Observer != nil {
			a.opt.Observer.RunEnded(Run{Kind: "job", Name: r.Tick.Job, Generation: g, Status: "skipped", Tick: r.Tick.Number, Scheduled: r.Tick.Scheduled, Error: r.Err.Error()})
		}
		a.events.Publish(Event{Type: "job", Level: "warn", Message: "tick " + fmt.Sprint(r.Tick.Number) + " of " + r.Tick.Job + " skipped: " + r.Err.Error(), Generation: g,
			Data: map[string]any{"job": r.Tick.Job, "tick": r.Tick.Number, "reason": r.Err.Error()}})
	}
}

// Jobs returns the scheduled jobs, sorted by name.
func (a *App) Jobs() []JobInfo {
	g, err := a.acquire()
	if err != nil {
		return nil
	}
	defer g.release()
	runs := map[string]string{}
	for _, j := range g.manifest.Jobs {
		runs[j.Name] = j.Run
	}
	var out []JobInfo
	for _, i := range a.sched.Jobs() {
		out = append(out, JobInfo{Name: i.Name, Schedule: i.Spec, Run: runs[i.Name], Overlap: string(i.Overlap), Next: i.Next, Last: i.Last,
			Ticks: i.Ticks, Running: i.Running, Skipped: i.Skipped, Failed: i.Failed})
	}
	return out
}
