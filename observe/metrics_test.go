package observe

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/script"
)

var (
	_ app.Observer  = (*Metrics)(nil)
	_ Source        = (*app.App)(nil)
	_ PatternSource = (*fake)(nil)
)

// fake is a PatternSource whose answers a test sets.
type fake struct {
	mu          sync.Mutex
	status      app.Status
	generations []app.GenerationInfo
	jobs        []app.JobInfo
	units       []app.UnitInfo
	routes      []string
}

func (f *fake) Status() app.Status { f.mu.Lock(); defer f.mu.Unlock(); return f.status }
func (f *fake) Generations() []app.GenerationInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.generations
}
func (f *fake) Jobs() []app.JobInfo   { f.mu.Lock(); defer f.mu.Unlock(); return f.jobs }
func (f *fake) Units() []app.UnitInfo { f.mu.Lock(); defer f.mu.Unlock(); return f.units }
func (f *fake) Patterns() []string    { f.mu.Lock(); defer f.mu.Unlock(); return f.routes }

// shop is an app with a generation in each state.
func shop() *fake {
	return &fake{
		status: app.Status{Live: app.GenerationInfo{Number: 12}, Drift: true, Ready: true, Runs: 2},
		generations: []app.GenerationInfo{
			{Number: 12, Digest: "d12", State: app.GenLive, Inflight: 3, Streams: 25},
			{Number: 11, Digest: "d11", State: app.GenDraining, Inflight: 1},
			{Number: 10, Digest: "d10", State: app.GenRetired},
			{Number: 9, Digest: "d9", State: app.GenFreed},
		},
		jobs:   []app.JobInfo{{Name: "restock", Next: time.UnixMilli(1_700_000_000_500), Running: 1}},
		units:  []app.UnitInfo{{Name: "handlers/a.js", Engine: "js"}, {Name: "workflows/order.yaml", Engine: "workflow"}},
		routes: []string{"GET /a", "GET /b"},
	}
}

// drive reports one of everything.
func drive(m *Metrics) {
	m.Request("GET /a", "GET", 200, 12, 3*time.Millisecond)
	m.Request("GET /a", "GET", 200, 12, 3*time.Millisecond)
	m.Request("GET /b", "HEAD", 404, 12, time.Millisecond)
	m.Request("", "BREW", 99, 12, time.Microsecond)
	m.Execution("js", "handlers/a.js", "", time.Millisecond)
	m.Execution("js", "handlers/a.js", script.Timeout, 5*time.Second)
	m.RunEnded(app.Run{Kind: "workflow", Name: "order", Unit: "workflows/order.yaml", Status: "ok"})
	m.RunEnded(app.Run{Kind: "job", Name: "restock", Unit: "jobs/restock.js", Status: "failed"})
	m.Updated(app.Update{Outcome: app.OutcomeLive, Trigger: "watch", Ended: time.UnixMilli(1_700_000_000_250),
		Phases: []app.Phase{{Name: "compile", Duration: 40 * time.Millisecond}, {Name: "dance", Duration: time.Second}}})
}

// scrape returns what the handler answers.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	srv := httptest.NewServer(m.Handler())
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %d, %v\n%s", res.StatusCode, err, body)
	}
	srv.Client().CloseIdleConnections()
	return string(body)
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var near []string
			for l := range strings.Lines(text) {
				if strings.HasPrefix(l, name) {
					near = append(near, l)
				}
			}
			t.Errorf("no line %s\nin:\n%s", line, strings.Join(near, ""))
		}
	}
}

func wantNone(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		for l := range strings.Lines(text) {
			if strings.Contains(l, part) {
				t.Errorf("%s is still in %s", part, l)
			}
		}
	}
}

func TestScrape(t *testing.T) {
	m := New(shop(), Build{Version: "1.2.3", Commit: "abc"})
	drive(m)
	text := scrape(t, m)
	want(t, text,
		`theseus_http_requests_total{code="200",method="GET",route="GET /a"} 2`,
		`theseus_http_requests_total{code="404",method="HEAD",route="GET /b"} 1`,
		`theseus_http_requests_total{code="other",method="other",route="unmatched"} 1`,
		`theseus_http_request_duration_seconds_count{route="GET /a"} 2`,
		`theseus_http_request_duration_seconds_bucket{route="GET /a",le="0.0025"} 0`,
		`theseus_http_request_duration_seconds_bucket{route="GET /a",le="0.005"} 2`,
		`theseus_script_duration_seconds_count{engine="js",unit="handlers/a.js"} 2`,
		`theseus_script_errors_total{engine="js",kind="timeout",unit="handlers/a.js"} 1`,
		`theseus_runs_total{status="ok",workflow="order"} 1`,
		`theseus_job_runs_total{job="restock",status="failed"} 1`,
		`theseus_job_next_run_timestamp_seconds{job="restock"} 1.7000000005e+09`,
		`theseus_job_running{job="restock"} 1`,
		`theseus_reloads_total{outcome="live",trigger="watch"} 1`,
		`theseus_reloads_total{outcome="refused",trigger="api"} 0`,
		`theseus_reload_phase_seconds_count{phase="compile"} 1`,
		`theseus_reload_phase_seconds_count{phase="other"} 1`,
		`theseus_last_reload_successful 1`,
		`theseus_last_reload_success_timestamp_seconds 1.70000000025e+09`,
		`theseus_live_generation 12`,
		`theseus_drift 1`,
		`theseus_ready 1`,
		`theseus_runs_in_progress 2`,
		`theseus_generation_info{digest="d12",generation="12",state="live"} 1`,
		`theseus_generation_info{digest="d10",generation="10",state="retired"} 1`,
		`theseus_generations{state="freed"} 1`,
		`theseus_inflight_requests{generation="11"} 1`,
		`theseus_streams{generation="12"} 25`,
		`theseus_scrape_problems_total 0`,
	)
	for _, part := range []string{`theseus_build_info{commit="abc",goversion="go`, `version="1.2.3"} 1`, "\ngo_goroutines ", "\nprocess_start_time_seconds "} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in the scrape", part)
		}
	}
	wantNone(t, text, `generation="9"`)
}

func TestLint(t *testing.T) {
	m := New(shop(), Build{Version: "1", Commit: "c"})
	drive(m)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestRefused(t *testing.T) {
	m := New(nil, Build{})
	m.Updated(app.Update{Outcome: app.OutcomeLive, Trigger: "start", Ended: time.Unix(1000, 0)})
	m.Updated(app.Update{Outcome: app.OutcomeRefused, Trigger: "cosmic ray", Ended: time.Unix(2000, 0)})
	text := scrape(t, m)
	want(t, text, "theseus_last_reload_successful 0", "theseus_last_reload_success_timestamp_seconds 1000",
		`theseus_reloads_total{outcome="refused",trigger="other"} 1`)
	wantNone(t, text, "theseus_live_generation")
	m.Updated(app.Update{Outcome: app.OutcomeNoop, Trigger: "api", Ended: time.Unix(3000, 0)})
	want(t, scrape(t, m), "theseus_last_reload_successful 1", "theseus_last_reload_success_timestamp_seconds 3000")
}

// What the live generation does not have goes; what it has keeps its counts.
func TestPrune(t *testing.T) {
	src := shop()
	m := New(src, Build{})
	drive(m)
	src.mu.Lock()
	src.routes = []string{"GET /a", "GET /new"}
	src.units, src.jobs = nil, nil
	src.generations = []app.GenerationInfo{{Number: 13, Digest: "d13", State: app.GenLive}}
	src.mu.Unlock()
	m.Updated(app.Update{Outcome: app.OutcomeLive, Trigger: "watch"})
	if _, ok := m.routes.get("GET /b"); ok {
		t.Error("the route is cached after the update")
	}
	text := scrape(t, m)
	want(t, text, `theseus_http_requests_total{code="200",method="GET",route="GET /a"} 2`, `theseus_generation_info{digest="d13",generation="13",state="live"} 1`)
	wantNone(t, text, "GET /b", "handlers/a.js", `"order"`, `"restock"`, `generation="12"`)

	// A last request of the old generation brings the route back until the scrape.
	m.Request("GET /b", "GET", 200, 12, time.Millisecond)
	wantNone(t, scrape(t, m), "GET /b")

	src.mu.Lock()
	src.routes = []string{"GET /b"}
	src.mu.Unlock()
	m.Request("GET /b", "GET", 200, 13, time.Millisecond)
	want(t, scrape(t, m), `theseus_http_requests_total{code="200",method="GET",route="GET /b"} 1`)
}

// 2,000 updates that each rename everything leave the series of the last one.
func TestCardinalityIsBounded(t *testing.T) {
	src := shop()
	m := New(src, Build{})
	for n := range 2000 {
		route, unit, job := fmt.Sprint("GET /r", n), fmt.Sprint("handlers/u", n, ".js"), fmt.Sprint("job", n)
		src.mu.Lock()
		src.routes, src.units, src.jobs = []string{route}, []app.UnitInfo{{Name: unit, Engine: "js"}}, []app.JobInfo{{Name: job}}
		src.generations = []app.GenerationInfo{{Number: n, State: app.GenLive}}
		src.mu.Unlock()
		m.Updated(app.Update{Outcome: app.OutcomeLive, Trigger: "watch"})
		m.Request(route, "GET", 200, n, time.Millisecond)
		m.Execution("js", unit, script.Failed, time.Millisecond)
		m.RunEnded(app.Run{Kind: "job", Name: job, Status: "ok"})
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	perApp := setOf("theseus_http_requests_total", "theseus_http_request_duration_seconds", "theseus_script_duration_seconds",
		"theseus_script_errors_total", "theseus_job_runs_total", "theseus_generation_info")
	for _, f := range families {
		if _, ok := perApp[f.GetName()]; !ok {
			continue
		}
		delete(perApp, f.GetName())
		if n := len(f.GetMetric()); n != 1 {
			t.Errorf("%d series of %s, want 1", n, f.GetName())
		}
	}
	if len(perApp) > 0 {
		t.Errorf("no series of %v", perApp)
	}
}

// An app that reports rubbish does not make the scrape fail.
func TestBadSource(t *testing.T) {
	src := shop()
	src.generations = append(src.generations, src.generations[0], app.GenerationInfo{Number: 1, Digest: "\xff", State: "odd"})
	src.jobs = append(src.jobs, src.jobs[0], app.JobInfo{Name: "\xff"})
	m := New(src, Build{Version: "\xff"})
	m.Request("GET /\xff", "\xff", -5, 1, -time.Second)
	m.Execution("\xff", "\xff", "\xff", 0)
	m.RunEnded(app.Run{Kind: "job", Name: "\xff", Status: "\xff"})
	want(t, scrape(t, m), `theseus_generations{state="other"} 1`)
	m.Attach(nil) // what the scrape found wrong counts when it has ended
	want(t, scrape(t, m), "theseus_scrape_problems_total 2")
}

func TestConcurrentUse(t *testing.T) {
	src := shop()
	m := New(src, Build{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 300 {
				m.Request(fmt.Sprint("GET /", n%30), methods[n%len(methods)], 200+i, 1, time.Millisecond)
				m.Execution("js", fmt.Sprint("u", n%30), "", time.Millisecond)
				m.RunEnded(app.Run{Kind: "workflow", Name: fmt.Sprint("w", n%30), Status: "ok"})
				if n%50 == 0 {
					m.Updated(app.Update{Outcome: app.OutcomeLive})
					if _, err := m.registry.Gather(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	wantNone(t, scrape(t, m), `"GET /1"`, `"u1"`, `"w1"`)
}

func TestRequestAllocatesNothing(t *testing.T) {
	m := New(shop(), Build{})
	drive(m)
	if n := testing.AllocsPerRun(1000, func() {
		m.Request("GET /a", "GET", 200, 12, 3*time.Millisecond)
		m.Execution("js", "handlers/a.js", "", time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations per request, want 0", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	src := shop()
	m := New(src, Build{})
	for i := range 50 {
		m.Request(fmt.Sprint("GET /products/", i), "GET", 200, 1, time.Millisecond)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Request("GET /products/7", "GET", 200, 12, 3*time.Millisecond)
		}
	})
}
