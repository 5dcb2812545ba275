package observe

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/theseus-run/theseus/app"
)

// What is read from the app at each scrape.
var (
	descLive       = desc("live_generation", "Number of the generation that serves; 0 before the first.")
	descGeneration = desc("generation_info", "Always 1; a generation that is in memory.", "generation", "digest", "state")
	descStates     = desc("generations", "Generations that are kept, by state.", "state")
	descDrift      = desc("drift", "Whether the disk differs from what is served.")
	descReady      = desc("ready", "Whether the app is ready for requests.")
	descInflight   = desc("inflight_requests", "Requests being answered, by the generation they began in.", "generation")
	descStreams    = desc("streams", "Open streams, by the generation that holds them.", "generation")
	descRuns       = desc("runs_in_progress", "Workflow runs in progress.")
	descNext       = desc("job_next_run_timestamp_seconds", "When a job runs next.", "job")
	descDraining   = desc("draining_processes", "Processes that were replaced and finish what they have.")
	descRunning    = desc("job_running", "Instances of a job that run.", "job")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("theseus_"+name, help, labels, nil)
}

// collector reads the source. It implements prometheus.Collector.
type collector struct{ m *Metrics }

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLive, descGeneration, descStates, descDrift, descReady, descInflight,
		descStreams, descRuns, descNext, descRunning, descDraining} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	p := c.m.source.Load()
	if p == nil {
		return
	}
	src := *p
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		metric, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
		if err != nil {
			c.m.scrapeProblem.Inc()
			return
		}
		to <- metric
	}
	st := src.Status()
	send(descLive, float64(st.Live.Number))
	send(descDrift, bit(st.Drift))
	send(descReady, bit(st.Ready))
	send(descRuns, float64(st.Runs))
	if st.Process != nil {
		send(descDraining, float64(len(st.Process.Draining)))
	}
	c.generations(src.Generations(), send)

	seen := make(set)
	for _, j := range src.Jobs() {
		name := clean(j.Name)
		if !c.first(seen, name) {
			continue
		}
		if !j.Next.IsZero() {
			send(descNext, seconds(j.Next), name)
		}
		send(descRunning, float64(j.Running), name)
	}
}

// generations sends what is known of each generation. One that is freed is
// counted only.
func (c *collector) generations(all []app.GenerationInfo, send func(*prometheus.Desc, float64, ...string)) {
	count := make(map[string]int, len(states))
	seen := make(set)
	for _, g := range all {
		n := strconv.Itoa(g.Number)
		if !c.first(seen, n) {
			continue
		}
		state := fold(states, string(g.State))
		count[state]++
		if g.State == app.GenFreed {
			continue
		}
		send(descGeneration, 1, n, clean(g.Digest), state)
		send(descInflight, float64(g.Inflight), n)
		send(descStreams, float64(g.Streams), n)
	}
	for state := range states {
		send(descStates, float64(count[state]), state)
	}
	if n := count[other]; n > 0 {
		send(descStates, float64(n), other)
	}
}

// first reports whether name is new. A series that comes twice would fail the
// whole scrape.
func (c *collector) first(seen set, name string) bool {
	if _, ok := seen[name]; ok {
		c.m.scrapeProblem.Inc()
		return false
	}
	seen[name] = struct{}{}
	return true
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
