package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/script"
)

// This file holds what an App says about itself: plain data, copied out, that
// the admin API, the CLI and the console show.

// State is where an update stands. The values print as they are.
type State string

// The states of an update, in order. From each the way back is Idle, with the
// old generation serving.
const (
	StateIdle      State = "idle"
	StateReceived  State = "received"
	StatePreparing State = "preparing" // parse, compile, check, test
	StateSyncing   State = "syncing"   // store and warm
	StateSwapping  State = "swapping"
	StateActive    State = "active"
)

// Outcome is how an update ended.
type Outcome string

// The outcomes of an update.
const (
	OutcomeLive       Outcome = "live"        // the generation serves
	OutcomeRefused    Outcome = "refused"     // a check or a test failed; the old one serves
	OutcomeNoop       Outcome = "noop"        // the tree equals what is live
	OutcomeRolledBack Outcome = "rolled_back" // an earlier generation serves again

	// Those below are of trials alone.
	OutcomePermanent   Outcome = "permanent"   // it has proved itself: a cold start loads it
	OutcomeSuperseded  Outcome = "superseded"  // another took its place before
	OutcomeInterrupted Outcome = "interrupted" // the process ended before
)

// A Problem is one reason why an update was refused.
type Problem struct {
	Kind    string `json:"kind"` // "manifest", "syntax", "route", "import", "test", "config", "limit", …
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Frame   string `json:"frame,omitempty"`
}

// Phase is the time one part of an update took.
type Phase struct {
	Name     string        `json:"name"` // compile, migrate, test, verify, wait (for a guard), store, commit, switch, "hook NAME before swap"
	Duration time.Duration `json:"duration_ns"`
}

// Update is the record of one update.
type Update struct {
	ID         string    `json:"id"`            // unique, sortable by time
	Trigger    string    `json:"trigger"`       // start, watch, api, signal, rollback
	Who        string    `json:"who,omitempty"` // on whose behalf; never what a client says of itself
	Message    string    `json:"message,omitempty"`
	State      State     `json:"state"`
	Outcome    Outcome   `json:"outcome,omitempty"` // empty while it runs
	From       int       `json:"from"`              // generation that was live before; 0 for none
	Generation int       `json:"generation"`        // the generation it made live; 0 if none
	Digest     string    `json:"digest,omitempty"`  // of the tree it was about
	Problems   []Problem `json:"problems,omitempty"`
	Warnings   []Problem `json:"warnings,omitempty"`
	Phases     []Phase   `json:"phases,omitempty"`
	Tests      int       `json:"tests"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`

	// Migrations are what it did to the data of scripts.
	Migrations []Migration `json:"migrations,omitempty"`

	// Trial is how the trial ended of what became live; nil while it lasts.
	Trial *Trial `json:"trial,omitempty"`
}

// A Trial is how the time ended in which a generation that serves has to prove
// itself.
type Trial struct {
	Update     string    `json:"update"`     // the ID of the update that made it live
	Generation int       `json:"generation"` // the one that was on trial
	Outcome    Outcome   `json:"outcome"`    // permanent, rolled_back, superseded or interrupted
	Why        string    `json:"why,omitempty"`
	Ended      time.Time `json:"ended"`
}

// GenerationState is where a generation stands.
type GenerationState string

// The states of a generation.
const (
	GenLive     GenerationState = "live"
	GenDraining GenerationState = "draining" // retired, still in use
	GenRetired  GenerationState = "retired"  // drained and closed, memory not yet seen freed
	GenFreed    GenerationState = "freed"    // proven collected; kept on disk for rollback
)

// GenerationInfo describes one generation of the history.
type GenerationInfo struct {
	Number    int             `json:"number"`
	Digest    string          `json:"digest"`
	State     GenerationState `json:"state"`
	Created   time.Time       `json:"created"`
	Update    string          `json:"update"` // id of the update that made it
	Trigger   string          `json:"trigger"`
	Who       string          `json:"who,omitempty"` // as in Update
	Message   string          `json:"message,omitempty"`
	Files     int             `json:"files"`
	Units     int             `json:"units"`
	Carried   int             `json:"carried"` // units carried over from the one before
	Tests     int             `json:"tests"`
	Requests  int64           `json:"requests"` // served since the process started
	Failed    int64           `json:"failed"`   // of those, answered 5xx
	Inflight  int64           `json:"inflight"`
	Streams   int64           `json:"streams"`
	DrainedIn time.Duration   `json:"drained_in_ns,omitempty"`
	FreedIn   time.Duration   `json:"freed_in_ns,omitempty"`
	Counter   int64           `json:"counter,omitempty"` // the rollback counter that it states
	Program   *Program        `json:"program,omitempty"` // made it; nil if that is not known
}

// Status is the truth on one screen.
type Status struct {
	App        string           `json:"app"`
	Dir        string           `json:"dir"`
	Version    string           `json:"version"` // of theseus
	PID        int              `json:"pid"`
	Started    time.Time        `json:"started"`
	State      State            `json:"state"` // of the update that runs, or idle
	Live       GenerationInfo   `json:"live"`
	Staged     Staged           `json:"staged"`
	Drift      bool             `json:"drift"` // disk ≠ live
	DriftWhy   string           `json:"drift_reason,omitempty"`
	LastUpdate *Update          `json:"last_update,omitempty"`
	Draining   []GenerationInfo `json:"draining,omitempty"`
	Requests   int64            `json:"requests"`
	Failed     int64            `json:"failed"`
	Streams    int64            `json:"streams"`
	Runs       int64            `json:"runs"` // workflow runs in progress
	Listen     []string         `json:"listen"`
	Admin      string           `json:"admin,omitempty"`
	Watch      string           `json:"watch"` // "events", "polling" or "off"
	Routes     int              `json:"routes"`
	Workflows  int              `json:"workflows"`
	Jobs       int              `json:"jobs"`
	Middleware int              `json:"middleware"`
	Tests      int              `json:"tests"`
	Ready      bool             `json:"ready"`
	Permanent  int              `json:"permanent"`         // the generation that a cold start loads; 0 for none yet
	Anchor     int              `json:"anchor"`            // the one that was permanent before; 0 for none
	OnTrial    bool             `json:"on_trial"`          // the live generation has yet to prove itself
	Waiting    string           `json:"waiting,omitempty"` // the guard or the hook that the update waits for
	Floor      int64            `json:"floor,omitempty"`   // the highest rollback counter of a generation that has proved itself
	Program    *Program         `json:"program,omitempty"` // runs; without its digest until that is computed

	// Process is set where the running process can be replaced.
	Process *ProcessInfo `json:"process,omitempty"`
}

// Doing is what the change under way is at; the zero Doing for none.
type Doing struct {
	Step    string    // "prepare", "sync", "swap" or "revert", with the hook that runs
	Waiting string    // the guard or the hook that the change waits for; empty for none
	Since   time.Time // when that began
}

// ProcessInfo is where the process stands in the row of those that replaced each
// other.
type ProcessInfo struct {
	Generation int          `json:"generation"`         // upgrades that led to it, from 0
	State      string       `json:"state"`              // as package upgrade names it: "serving", "probation", …
	Draining   []OldProcess `json:"draining,omitempty"` // the oldest first
}

// OldProcess is one that was replaced and finishes what it has.
type OldProcess struct {
	PID         int       `json:"pid"`
	Generation  int       `json:"generation"`
	Since       time.Time `json:"since"` // when it began to drain
	Inflight    int64     `json:"inflight"`
	Connections int       `json:"connections"`
}

// Staged is the state of the disk as last seen.
type Staged struct {
	Digest   string    `json:"digest"`
	Error    string    `json:"error,omitempty"` // first problem; empty when the disk is fine
	Problems []Problem `json:"problems,omitempty"`
	Seen     time.Time `json:"seen"`
}

// UnitInfo describes one compiled unit of the live generation.
type UnitInfo struct {
	Name       string   `json:"name"`
	Engine     string   `json:"engine"`
	Digest     string   `json:"digest"`
	Files      []string `json:"files"`
	UsedBy     []string `json:"used_by"` // "GET /x", "job restock", "middleware", other units
	Since      int      `json:"since"`   // generation it was compiled in
	Executions int64    `json:"executions"`
	Errors     int64    `json:"errors"`
}

// JobInfo describes one scheduled job of the live generation.
type JobInfo struct {
	Name     string    `json:"name"`
	Schedule string    `json:"schedule"` // "every 5s" or the cron line with its zone
	Run      string    `json:"run"`
	Overlap  string    `json:"overlap"`
	Next     time.Time `json:"next"`
	Last     time.Time `json:"last,omitzero"`
	Ticks    int64     `json:"ticks"`
	Running  int       `json:"running"`
	Skipped  int64     `json:"skipped"`
	Failed   int64     `json:"failed"`
}

// Run is one execution of a workflow or a job.
type Run struct {
	ID         string        `json:"id"`
	Kind       string        `json:"kind"` // "workflow" or "job"
	Name       string        `json:"name"`
	Unit       string        `json:"unit"`
	Generation int           `json:"generation"`
	Status     string        `json:"status"` // running, ok, failed, skipped, canceled
	Scheduled  time.Time     `json:"scheduled,omitzero"`
	Tick       int64         `json:"tick,omitempty"`
	Started    time.Time     `json:"started"`
	Duration   time.Duration `json:"duration_ns"`
	Error      string        `json:"error,omitempty"`
	Steps      []RunStep     `json:"steps,omitempty"`
}

// RunStep is one step of a workflow run.
type RunStep struct {
	Name     string        `json:"name"`
	Needs    []string      `json:"needs,omitempty"`
	Status   string        `json:"status"` // waiting, running, ok, failed, skipped
	Attempts int           `json:"attempts,omitempty"`
	Started  time.Time     `json:"started,omitzero"`
	Duration time.Duration `json:"duration_ns"`
	Error    string        `json:"error,omitempty"`
}

// FileChange is one line of a diff between two trees.
type FileChange struct {
	Path string `json:"path"`
	Op   string `json:"op"`             // added, changed, removed
	Diff string `json:"diff,omitempty"` // unified, for text
}

// Event is one thing that happened. Events are numbered from 1 per process.
type Event struct {
	ID         int64     `json:"id"`
	Time       time.Time `json:"time"`
	Type       string    `json:"type"` // update, generation, drift, run, job, log, stats, app, upgrade
	Level      string    `json:"level,omitempty"`
	Message    string    `json:"message"`
	Generation int       `json:"generation,omitempty"`
	Update     string    `json:"update,omitempty"`
	Data       any       `json:"data,omitempty"` // *Update, GenerationInfo, Run, Stats …
}

// Stats is the traffic of one second.
type Stats struct {
	Time       time.Time  `json:"time"`
	Generation []GenStats `json:"generations"` // those that served in this second
	Streams    int64      `json:"streams"`
	Inflight   int64      `json:"inflight"`
	Goroutines int        `json:"goroutines"`
	HeapBytes  uint64     `json:"heap_bytes"`
	Drift      bool       `json:"drift"`
}

// GenStats is the traffic of one generation in one second.
type GenStats struct {
	Number   int     `json:"number"`
	Requests int64   `json:"requests"`
	Failed   int64   `json:"failed"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	P99      float64 `json:"p99_ms"`
}

// Plan is what applying a tree would do.
type Plan struct {
	Base     int          `json:"base"` // the live generation it was made against
	Digest   string       `json:"digest"`
	Changes  []FileChange `json:"changes"`
	Effects  []string     `json:"effects"` // sentences: "1 route changed: GET /x", "job restock keeps phase (next …)"
	Problems []Problem    `json:"problems,omitempty"`
	Warnings []Problem    `json:"warnings,omitempty"`
	Tests    int          `json:"tests"`
}

// FileInfo is one file of a generation.
type FileInfo struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// GenerationDetail is a generation with what it is made of. Units is empty for
// a generation that is not in memory.
type GenerationDetail struct {
	GenerationInfo
	Content []FileInfo `json:"content"`
	Parts   []UnitInfo `json:"parts,omitempty"`
}

// Change says who asks for a change, and why.
type Change struct {
	Trigger string // start, watch, api, signal
	Who     string // on whose behalf, as the system knows; for the history
	Message string // shown in the history; may be empty
	Expect  int    // the live generation the caller saw; 0 skips the check
	Force   bool   // let in what states a lower rollback counter than one that has proved itself

	// Irreversible allows a change of the data of scripts that cannot be undone.
	Irreversible bool
}

// Errors that callers branch on. They are wrapped with detail.
var (
	// ErrNotFound is returned for a generation, run or unit that is not kept.
	ErrNotFound = errors.New("not found")
	// ErrConflict is returned when Change.Expect is not the live generation.
	ErrConflict = errors.New("the live generation is not the expected one")
	// ErrClosed is returned once the app is shut down.
	ErrClosed = errors.New("the app is closed")
)

// A RefusedError is returned for an update that a check or a test stopped. What
// served before serves on.
type RefusedError struct{ Update Update }

// Error returns the first problem, and how many there are.
func (e *RefusedError) Error() string {
	p := e.Update.Problems
	switch len(p) {
	case 0:
		return "update refused"
	case 1:
		return "update refused: " + p[0].String()
	}
	return fmt.Sprintf("update refused: %s (and %d more)", p[0], len(p)-1)
}

// String returns "file:line:column: message".
func (p Problem) String() string {
	s := p.Message
	switch {
	case p.File != "" && p.Line > 0 && p.Column > 0:
		s = fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, s)
	case p.File != "" && p.Line > 0:
		s = fmt.Sprintf("%s:%d: %s", p.File, p.Line, s)
	case p.File != "":
		s = p.File + ": " + s
	}
	return s
}

// An Observer is told what happens, for metrics. Its methods are called on the
// request path: they must be quick and safe for concurrent use.
type Observer interface {
	// Request reports an answered request. Route is the pattern it matched, "" for none.
	Request(route, method string, status, generation int, took time.Duration)
	// Execution reports one execution of a unit; kind is "" when it went well.
	Execution(engine, unit string, kind script.Kind, took time.Duration)
	// Updated reports an update that has ended.
	Updated(u Update)
	// RunEnded reports a workflow or job run that has ended.
	RunEnded(r Run)
}
