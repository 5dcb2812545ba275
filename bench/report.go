package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// A Report is all that was measured, as -json prints it.
type Report struct {
	Date     string    `json:"date"` // UTC
	Go       string    `json:"go"`
	Platform string    `json:"platform"`
	CPUs     int       `json:"cpus"`
	Quick    bool      `json:"quick"`
	OK       bool      `json:"ok"` // every bar is met
	Sections []Section `json:"sections"`
}

// A Section is a table of figures.
type Section struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Figures []Figure `json:"figures"`
}

// A Figure is one measured number.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`         // "", "µs", "ms", "MB", "%", "/s" or "s"
	Op    string  `json:"op,omitempty"` // how Value must compare to Bar; empty without a bar
	Bar   float64 `json:"bar"`          // in Unit; means nothing without Op
	OK    bool    `json:"ok"`           // true without a bar
}

// fig is a figure without a bar.
func fig(name string, value float64, unit string) Figure {
	return Figure{Name: name, Value: value, Unit: unit, OK: true}
}

func atMost(name string, value float64, unit string, bar float64) Figure {
	return Figure{Name: name, Value: value, Unit: unit, Op: "<=", Bar: bar, OK: value <= bar}
}

func atLeast(name string, value float64, unit string, bar float64) Figure {
	return Figure{Name: name, Value: value, Unit: unit, Op: ">=", Bar: bar, OK: value >= bar}
}

func exactly(name string, value, bar float64) Figure {
	return Figure{Name: name, Value: value, Op: "=", Bar: bar, OK: value == bar}
}

func newReport(quick bool) *Report {
	return &Report{Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Quick: quick}
}

// met reports whether every bar is.
func (r *Report) met() bool {
	for _, s := range r.Sections {
		if slices.ContainsFunc(s.Figures, func(f Figure) bool { return !f.OK }) {
			return false
		}
	}
	return true
}

// print writes what the tables were measured with, and the verdict.
func (r *Report) print(w io.Writer) {
	verdict := "every bar is met"
	if !r.OK {
		verdict = "A BAR IS MISSED"
	}
	fmt.Fprintf(w, "\n%s, %s, %d CPUs, %s: %s\n", r.Go, r.Platform, r.CPUs, r.Date, verdict)
}

func (s *Section) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", s.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range s.Figures {
		bar, mark := "", ""
		if f.Op != "" {
			bar, mark = f.Op+" "+amount(f.Bar, f.Unit), "ok"
			if !f.OK {
				mark = "MISSED"
			}
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", f.Name, amount(f.Value, f.Unit), bar, mark)
	}
	_ = t.Flush()
}

// amount writes a value with at least three digits that mean something.
func amount(v float64, unit string) string {
	digits := 0
	if v != math.Trunc(v) {
		switch a := math.Abs(v); {
		case a < 1:
			digits = 3
		case a < 10:
			digits = 2
		case a < 100:
			digits = 1
		}
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if unit != "" {
		text += " " + unit
	}
	return text
}

// quantile returns the q-quantile of values, 0 of none. It sorts them.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
