// Command engines runs the same workloads in native Go, in GoDSL and in the
// engines that people compare it with:
//
//	go run . [-json] [-passes 5] [-time 200ms] [-only route,fib] [-check]
//
// The workloads are a routing rule on 20 items (a map in, a map out), fib(27),
// an integer loop of 100,000 turns, about 1 KB of text, a rule that returns a
// constant, and the time from source text to the first result of the routing
// rule. A figure is the median over the passes of the processor time of one
// operation, garbage collection included, in nanoseconds. Passes of all
// engines alternate, so that a busy machine disturbs all alike.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// An operation runs a workload once. It returns data, for -check.
type operation func() (any, error)

// An engine prepares the workloads that it can run.
type engine struct {
	name    string
	prepare func(inputs map[string]map[string]any) (map[string]operation, error)
}

var engines = []engine{
	{"native", prepareNative}, {"godsl", prepareGoDSL}, {"godsl-map", prepareGoDSLMap},
	{"goja", prepareGoja}, {"goja-copy", prepareGojaCopy}, {"yaegi", prepareYaegi},
	{"expr", prepareExpr}, {"cel", prepareCEL}, {"starlark", prepareStarlark},
}

func main() {
	asJSON := flag.Bool("json", false, "print one JSON object: workload, engine, ns/op")
	passes := flag.Int("passes", 5, "passes over all engines")
	each := flag.Duration("time", 200*time.Millisecond, "time of one engine and workload in a pass")
	only := flag.String("only", "", "workloads, separated by commas")
	check := flag.Bool("check", false, "print one result of each and stop")
	flag.Parse()
	if err := run(*asJSON, *passes, *each, *only, *check); err != nil {
		fmt.Fprintln(os.Stderr, "engines: error:", err)
		os.Exit(1)
	}
}

var order = []string{"route", "fib", "loop", "str", "const", "cold"}

func run(asJSON bool, passes int, each time.Duration, only string, check bool) error {
	in := inputs()
	ops := make(map[string]map[string]operation)
	for _, e := range engines {
		list, err := e.prepare(in)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		ops[e.name] = list
	}
	samples := make(map[string]map[string][]float64)
	allocs := make(map[string]map[string]float64)
	for pass := range passes {
		for _, w := range order {
			if only != "" && !slices.Contains(strings.Split(only, ","), w) {
				continue
			}
			for _, e := range engines {
				op := ops[e.name][w]
				if op == nil {
					continue
				}
				if check {
					v, err := op()
					text, _ := json.Marshal(v)
					fmt.Printf("%-6s %-10s %.200s %v\n", w, e.name, text, err)
					continue
				}
				ns, mallocs, err := measure(op, each)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", e.name, w, err)
				}
				if pass == 0 {
					set(allocs, w, e.name, mallocs)
				}
				if samples[w] == nil {
					samples[w] = make(map[string][]float64)
				}
				samples[w][e.name] = append(samples[w][e.name], ns)
			}
		}
		if check {
			return nil
		}
	}
	medians := make(map[string]map[string]float64)
	for w, byEngine := range samples {
		for name, list := range byEngine {
			slices.Sort(list)
			set(medians, w, name, list[len(list)/2])
		}
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(medians)
	}
	table(medians, allocs)
	return nil
}

func set(m map[string]map[string]float64, w, e string, v float64) {
	if m[w] == nil {
		m[w] = make(map[string]float64)
	}
	m[w][e] = v
}

// measure runs op for about d and returns the processor time and the
// allocations of one operation.
func measure(op operation, d time.Duration) (ns, mallocs float64, err error) {
	if _, err := op(); err != nil {
		return 0, 0, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, cpu := time.Now(), processorTime()
	n := 0
	for batch := 1; time.Since(start) < d; batch = min(2*batch, 1024) {
		for range batch {
			if _, err := op(); err != nil {
				return 0, 0, err
			}
		}
		n += batch
	}
	used := processorTime() - cpu
	runtime.ReadMemStats(&after)
	return float64(used.Nanoseconds()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n), nil
}

func table(medians, allocs map[string]map[string]float64) {
	fmt.Printf("%-10s", "")
	for _, w := range order {
		fmt.Printf(" %26s", w)
	}
	fmt.Println()
	for _, e := range engines {
		fmt.Printf("%-10s", e.name)
		for _, w := range order {
			ns, ok := medians[w][e.name]
			if !ok {
				fmt.Printf(" %26s", "-")
				continue
			}
			cell := fmt.Sprintf("%s %.1fx %.0fa", time.Duration(ns).Round(time.Nanosecond), ns/medians[w]["native"], allocs[w][e.name])
			fmt.Printf(" %26s", cell)
		}
		fmt.Println()
	}
}

var background = context.Background()
