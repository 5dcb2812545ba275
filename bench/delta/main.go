// Command delta measures package release/delta on consecutive releases of real
// Go programs, against bsdiff 4.3, and says whether the bars hold.
//
//	go run . [-json] [-dir D] [-only NAME,...] [-runs N]
//
// It builds the programs from the Go module proxy, once: they stay in D. bsdiff
// must be installed; without it there is nothing to compare sizes with, and the
// report says so.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		exit(child(os.Args[2:], os.Stdout))
	}
	var o options
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "theseus-bench-delta"), "where the built programs are kept")
	flag.StringVar(&o.only, "only", "", "names of pairs, separated by commas; empty means the ones with bars, \"all\" the others too")
	flag.IntVar(&o.runs, "runs", 3, "how often each patch is applied; the best time counts")
	flag.Parse()
	exit(run(o, os.Stdout, os.Stderr))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/delta:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	json      bool
	dir, only string
	runs      int
}

func (o options) wants(p pair) bool {
	switch o.only {
	case "":
		return p.bar > 0
	case "all":
		return true
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if name == p.name {
			return true
		}
	}
	return false
}

func run(o options, out, progress io.Writer) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	var rs []result
	for _, p := range pairs {
		if !o.wants(p) {
			continue
		}
		old, new, err := p.build(o.dir, progress)
		if err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
		fmt.Fprintf(progress, "measuring %s\n", p.name)
		r, err := measure(p, old, new, o)
		if err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
		rs = append(rs, r)
	}
	if o.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(rs); err != nil {
			return err
		}
	} else {
		table(out, rs)
	}
	for _, r := range rs {
		if len(r.Missed) > 0 {
			return fmt.Errorf("%s: %s", r.Name, strings.Join(r.Missed, "; "))
		}
	}
	return nil
}

func table(w io.Writer, rs []result) {
	fmt.Fprintf(w, "%-16s %10s %9s %9s %6s %8s %8s %8s %9s %9s\n", "pair", "bytes", "patch", "bsdiff", "ratio", "make s", "bsdiff s", "apply s", "make MB", "apply MB")
	for _, r := range rs {
		fmt.Fprintf(w, "%-16s %10d %9d %9d %6.1f %8.1f %8.1f %8.2f %9.0f %9.0f\n", r.Name, r.Size, r.Patch, r.Bsdiff, r.Ratio,
			r.MakeCPU, r.BsdiffCPU, r.Apply, float64(r.MakePeak)/1e6, float64(r.ApplyPeak)/1e6)
	}
	fmt.Fprintln(w, "make and bsdiff in CPU seconds, apply in seconds of wall clock; MB are peaks of resident memory")
}
