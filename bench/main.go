// Command bench measures what the project promises about speed and memory and
// prints each figure beside its bar. docs/benchmarks.md says what they mean.
//
//	go run ./bench                 all sections, some five minutes
//	go run ./bench -quick          the same with fewer repetitions
//	go run ./bench -only http,live some sections
//	go run ./bench -json           one JSON object in place of the tables
//
// The exit status is 1 when a bar is missed and 2 when a section failed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
)

// A section is one part of the benchmarks. Each runs in a process of its own, so
// that one does not disturb the memory of the next.
type section struct {
	name, title string
	run         func(context.Context, config) ([]Figure, error)
}

var sections = []section{
	{"swaps", "Generation swaps under load", runSwaps},
	{"live", "From saving a file to the new version being served", runLive},
	{"rollback", "Rollback", runRollback},
	{"cold", "Cold start, size and memory of the program", runCold},
	{"http", "Requests per second, against plain net/http in the same process", runHTTP},
}

// config is what the flags say.
type config struct {
	quick   bool
	json    bool
	only    string
	profile string
	section string // run this one here; for the process that measures
	load    string // send load to this address; for the process that drives
	rate    float64
	swaps   int
}

// pick returns the number of repetitions: n, or fewer with -quick.
func (c config) pick(n, quick int) int {
	if c.quick {
		return quick
	}
	return n
}

func main() {
	var c config
	flag.BoolVar(&c.quick, "quick", false, "fewer repetitions")
	flag.BoolVar(&c.json, "json", false, "print one JSON object")
	flag.StringVar(&c.only, "only", "", "comma-separated names of sections: swaps, live, rollback, cold, http")
	flag.StringVar(&c.profile, "profile", "", "write pprof profiles of each section into this `folder`")
	flag.StringVar(&c.section, "section", "", "internal: measure one section in this process")
	flag.StringVar(&c.load, "load", "", "internal: send load to this address until standard input ends")
	flag.Float64Var(&c.rate, "rate", 1000, "requests per second while generations are swapped")
	flag.IntVar(&c.swaps, "swaps", 0, "generation swaps under load; 0 means 10000, or 1000 with -quick")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	status, err := run(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		status = 2
	}
	os.Exit(status)
}

func run(ctx context.Context, c config) (int, error) {
	switch {
	case c.load != "":
		return 0, sendLoad(ctx, c)
	case c.section != "":
		return 0, measure(ctx, c)
	}
	names := []string{}
	if c.only != "" {
		names = strings.Split(c.only, ",")
	}
	for _, name := range names {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			return 2, fmt.Errorf("there is no section %q", name)
		}
	}
	report := newReport(c.quick)
	for _, s := range sections {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", s.title)
		figures, err := child(ctx, c, s.name)
		if err != nil {
			return 2, fmt.Errorf("%s: %w", s.name, err)
		}
		report.Sections = append(report.Sections, Section{Name: s.name, Title: s.title, Figures: figures})
		if !c.json {
			report.Sections[len(report.Sections)-1].print(os.Stdout)
		}
	}
	if report.OK = report.met(); c.json {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return 2, err
		}
	} else {
		report.print(os.Stdout)
	}
	if !report.OK {
		return 1, nil
	}
	return 0, nil
}

// child measures one section in a new process.
func child(ctx context.Context, c config, name string) ([]Figure, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, "-section", name, fmt.Sprintf("-quick=%v", c.quick), "-profile", c.profile,
		fmt.Sprintf("-rate=%v", c.rate), fmt.Sprintf("-swaps=%d", c.swaps))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	var figures []Figure
	return figures, json.Unmarshal(out.Bytes(), &figures)
}

// measure runs one section here and prints its figures as JSON.
func measure(ctx context.Context, c config) error {
	for _, s := range sections {
		if s.name != c.section {
			continue
		}
		end, err := c.startProfile(s.name)
		if err != nil {
			return err
		}
		figures, err := s.run(ctx, c)
		if err := end(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(figures)
	}
	return fmt.Errorf("there is no section %q", c.section)
}
