package observe

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A cache is a map that is read on every request and written when a route is
// first seen: readers take no lock and allocate nothing, writers copy it.
type cache[K comparable, V any] struct {
	mu sync.Mutex
	m  atomic.Pointer[map[K]V]
}

func (c *cache[K, V]) get(key K) (V, bool) {
	m := c.m.Load()
	if m == nil {
		var none V
		return none, false
	}
	v, ok := (*m)[key]
	return v, ok
}

// add returns the value under key, which create makes when there is none.
func (c *cache[K, V]) add(key K, create func() V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.get(key); ok {
		return v
	}
	next := map[K]V{}
	if m := c.m.Load(); m != nil {
		next = maps.Clone(*m)
	}
	v := create()
	next[key] = v
	c.m.Store(&next)
	return v
}

// prune removes the keys that keep is false for and calls drop with each.
func (c *cache[K, V]) prune(keep func(K) bool, drop func(K)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.m.Load()
	if m == nil {
		return
	}
	next := make(map[K]V, len(*m))
	for k, v := range *m {
		if keep(k) {
			next[k] = v
		} else {
			drop(k)
		}
	}
	if len(next) < len(*m) {
		c.m.Store(&next)
	}
}

const (
	minCode = 100
	maxCode = 599
)

// routeSeries are the series of one route.
type routeSeries struct {
	label string
	time  prometheus.Observer
	// counts is indexed by method and status; the place after the last status
	// is for those out of range.
	counts [len(methods)][maxCode - minCode + 2]atomic.Pointer[prometheus.Counter]
}

// Request implements app.Observer.
func (m *Metrics) Request(route, method string, status, _ int, took time.Duration) {
	s, ok := m.routes.get(route)
	if !ok {
		s = m.routes.add(route, func() *routeSeries {
			label := clean(route)
			if route == "" {
				label = unmatched
			}
			return &routeSeries{label: label, time: m.requestTime.WithLabelValues(label)}
		})
	}
	s.time.Observe(took.Seconds())
	i, j := methodIndex(method), status-minCode
	if status < minCode || status > maxCode {
		j = maxCode - minCode + 1
	}
	c := s.counts[i][j].Load()
	if c == nil {
		code := strconv.Itoa(status)
		if j > maxCode-minCode {
			code = other
		}
		n := m.requests.WithLabelValues(s.label, code, methods[i])
		c = &n
		s.counts[i][j].Store(c)
	}
	(*c).Inc()
}

type unitKey struct{ engine, unit string }

// unitSeries are the series of one unit.
type unitSeries struct{ time prometheus.Observer }

func (m *Metrics) unit(engine, unit string) *unitSeries {
	k := unitKey{engine, unit}
	if s, ok := m.units.get(k); ok {
		return s
	}
	return m.units.add(k, func() *unitSeries {
		return &unitSeries{time: m.scriptTime.WithLabelValues(clean(engine), clean(unit))}
	})
}

// prune deletes the series of what the live generation does not have.
func (m *Metrics) prune() {
	p := m.source.Load()
	if p == nil {
		return
	}
	src := *p
	units := make(map[unitKey]struct{})
	files := make(set)
	for _, u := range src.Units() {
		units[unitKey{u.Engine, u.Name}] = struct{}{}
		files[u.Name] = struct{}{}
	}
	jobs := make(set)
	for _, j := range src.Jobs() {
		jobs[j.Name] = struct{}{}
	}

	if ps, ok := src.(PatternSource); ok {
		m.pruneRoutes(ps.Patterns())
	}
	m.units.prune(has(units), func(k unitKey) {
		by := prometheus.Labels{"engine": clean(k.engine), "unit": clean(k.unit)}
		m.scriptTime.DeletePartialMatch(by)
		m.scriptErrors.DeletePartialMatch(by)
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, unit := range m.workflows {
		if _, ok := files[unit]; !ok {
			m.workflowRuns.DeletePartialMatch(prometheus.Labels{"workflow": clean(name)})
			delete(m.workflows, name)
		}
	}
	for name := range m.jobs {
		if _, ok := jobs[name]; !ok {
			m.jobRuns.DeletePartialMatch(prometheus.Labels{"job": clean(name)})
			delete(m.jobs, name)
		}
	}
}

// pruneRoutes deletes the series of all other routes.
func (m *Metrics) pruneRoutes(patterns []string) {
	routes := setOf(patterns...)
	routes[""] = struct{}{}
	m.routes.prune(has(routes), func(route string) {
		by := prometheus.Labels{"route": clean(route)}
		m.requests.DeletePartialMatch(by)
		m.requestTime.DeletePartialMatch(by)
	})
}

// has returns a function that reports whether a set has a key.
func has[K comparable](s map[K]struct{}) func(K) bool {
	return func(k K) bool { _, ok := s[k]; return ok }
}
