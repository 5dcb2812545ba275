// Package observe turns what an app reports into Prometheus metrics and logs.
//
// [New] returns a [Metrics], which is an app.Observer and serves its own
// registry with [Metrics.Handler]; [NewLogger] returns the program's logger.
//
// # Cardinality
//
// Labels come from the app, never from a client: routes are patterns, methods
// and statuses are from fixed lists. The series of routes, units, workflows and
// jobs that the live generation does not have are deleted after each update and
// at each scrape. A generation's number is a label only of what is read from
// the app at the scrape, so that it vanishes with the generation.
//
// Names and labels are a contract: they change with a major version only.
package observe

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/script"
)

// A Source is asked at each scrape. It is usually an *app.App.
type Source interface {
	Status() app.Status
	Generations() []app.GenerationInfo
	Jobs() []app.JobInfo   // of the live generation
	Units() []app.UnitInfo // of the live generation
}

// A PatternSource is a Source that also knows the patterns of the live
// generation's routes, streams and folders among them, as Request is told them.
// The series of routes are deleted only when the source is one.
type PatternSource interface {
	Source
	Patterns() []string
}

// Build says what program it is.
type Build struct {
	Version string // such as "1.4.0"
	Commit  string
}

// Metrics collects. Make one with New. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	source   atomic.Pointer[Source]

	requests      *prometheus.CounterVec
	requestTime   *prometheus.HistogramVec
	scriptTime    *prometheus.HistogramVec
	scriptErrors  *prometheus.CounterVec
	reloads       *prometheus.CounterVec
	phases        *prometheus.HistogramVec
	reloadOK      prometheus.Gauge
	reloadOKTime  prometheus.Gauge
	upgrades      *prometheus.CounterVec
	upgradeSteps  *prometheus.HistogramVec
	workflowRuns  *prometheus.CounterVec
	jobRuns       *prometheus.CounterVec
	scrapeProblem prometheus.Counter

	routes cache[string, *routeSeries]
	units  cache[unitKey, *unitSeries]

	mu        sync.Mutex
	workflows map[string]string   // name → unit
	jobs      map[string]struct{} // names with series
}

// Buckets, in seconds. Handlers take from tens of microseconds to the time
// limit, a switch less than a microsecond.
var (
	requestBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	phaseBuckets   = []float64{.000001, .00001, .0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30}
)

// New returns metrics of the app that src speaks for. A nil src can be
// replaced later with Attach: an app needs its observer before it exists.
func New(src Source, b Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counters("http_requests_total", "Requests answered, by route pattern.", "route", "code", "method"),
		requestTime: histograms("http_request_duration_seconds",
			"Time from a request's first byte to the end of its answer, by route pattern.", requestBuckets, "route"),
		scriptTime:    histograms("script_duration_seconds", "Time of one execution of a unit.", requestBuckets, "engine", "unit"),
		scriptErrors:  counters("script_errors_total", "Executions of a unit that failed, by what stopped them.", "engine", "unit", "kind"),
		reloads:       counters("reloads_total", "Updates that ended, by how.", "outcome", "trigger"),
		phases:        histograms("reload_phase_seconds", "Time of one phase of an update.", phaseBuckets, "phase"),
		reloadOK:      gauge("last_reload_successful", "Whether the last update was not refused."),
		reloadOKTime:  gauge("last_reload_success_timestamp_seconds", "When an update last ended without being refused; 0 for never."),
		upgrades:      counters("upgrades_total", "Replacements of the running process, by how they ended; committed ones since the first process.", "outcome"),
		upgradeSteps:  histograms("upgrade_step_seconds", "Time of one step of a replacement of the process, as the process saw it that was to be replaced.", requestBuckets, "step"),
		workflowRuns:  counters("runs_total", "Workflow runs that ended.", "workflow", "status"),
		jobRuns:       counters("job_runs_total", "Job runs that ended or were skipped.", "job", "status"),
		scrapeProblem: counter("scrape_problems_total", "Series that a scrape left out because the app reported them twice or wrongly."),
		workflows:     make(map[string]string),
		jobs:          make(map[string]struct{}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "theseus_build_info", Help: "Always 1; the labels say what program this is.",
		ConstLabels: prometheus.Labels{"version": clean(b.Version), "commit": clean(b.Commit), "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.requestTime, m.scriptTime, m.scriptErrors, m.reloads, m.phases, m.reloadOK,
		m.reloadOKTime, m.upgrades, m.upgradeSteps, m.workflowRuns, m.jobRuns, m.scrapeProblem, build, &collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.reloadOK.Set(1)
	for outcome := range upgradeOutcomes {
		m.upgrades.WithLabelValues(outcome)
	}
	for outcome := range outcomes { // an alert on an increase needs the zero before it
		for trigger := range triggers {
			m.reloads.WithLabelValues(outcome, trigger)
		}
	}
	m.Attach(src)
	return m
}

// Attach makes src what scrapes read from; nil detaches.
func (m *Metrics) Attach(src Source) {
	if src == nil {
		m.source.Store(nil)
		return
	}
	m.source.Store(&src)
}

// Handler serves the metrics in the formats that Prometheus asks for.
func (m *Metrics) Handler() http.Handler {
	h := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.prune()
		h.ServeHTTP(w, r)
	})
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "theseus_" + name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "theseus_" + name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "theseus_" + name, Help: help})
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "theseus_" + name, Help: help, Buckets: buckets}, labels)
}

// Execution implements app.Observer.
func (m *Metrics) Execution(engine, unit string, kind script.Kind, took time.Duration) {
	s := m.unit(engine, unit)
	s.time.Observe(took.Seconds())
	if kind != "" {
		m.scriptErrors.WithLabelValues(clean(engine), clean(unit), fold(kinds, string(kind))).Inc()
	}
}

// Updated implements app.Observer.
func (m *Metrics) Updated(u app.Update) {
	m.reloads.WithLabelValues(fold(outcomes, string(u.Outcome)), fold(triggers, u.Trigger)).Inc()
	for _, p := range u.Phases {
		name, _, _ := strings.Cut(p.Name, " ") // hooks have theirs behind
		m.phases.WithLabelValues(fold(phases, name)).Observe(p.Duration.Seconds())
	}
	if u.Outcome == app.OutcomeRefused {
		m.reloadOK.Set(0)
	} else {
		m.reloadOK.Set(1)
		ended := u.Ended
		if ended.IsZero() {
			ended = time.Now()
		}
		m.reloadOKTime.Set(seconds(ended))
	}
	m.prune()
}

// Upgraded notes that n upgrades led to this process. It is called once.
func (m *Metrics) Upgraded(n int) { m.upgrades.WithLabelValues("committed").Add(float64(n)) }

// UpgradeFailed counts an upgrade after which this process serves on: "refused",
// "failed" or "rolled_back".
func (m *Metrics) UpgradeFailed(outcome string) {
	m.upgrades.WithLabelValues(fold(upgradeOutcomes, outcome)).Inc()
}

// UpgradeStep reports a step of an upgrade that went well.
func (m *Metrics) UpgradeStep(step string, took time.Duration) {
	m.upgradeSteps.WithLabelValues(fold(upgradeSteps, step)).Observe(took.Seconds())
}

// RunEnded implements app.Observer.
func (m *Metrics) RunEnded(r app.Run) {
	status := fold(statuses, r.Status)
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Kind == "job" {
		m.jobs[r.Name] = struct{}{}
		m.jobRuns.WithLabelValues(clean(r.Name), status).Inc()
		return
	}
	m.workflows[r.Name] = r.Unit
	m.workflowRuns.WithLabelValues(clean(r.Name), status).Inc()
}

// seconds returns a time as Prometheus writes it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
