package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A table is printed as Markdown.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table. A cell that is missing is empty.
func (t *table) print(w io.Writer, title string) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## %s\n\n", title)
	t.line(w, t.head)
	t.line(w, slices.Repeat([]string{"---"}, len(t.head)))
	for _, row := range t.rows {
		t.line(w, row)
	}
}

func (t *table) line(w io.Writer, cells []string) {
	line := make([]string, len(t.head))
	for i := range line {
		if i < len(cells) {
			line[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(cells[i])
		}
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(line, " | "))
}

// print writes the tables, what was noted beside them, and the verdict.
func (r *Report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %d CPUs, %s\n", r.Go, r.Platform, r.CPUs, r.Date)
	loadTable(r.Load).print(w, "Upgrades under load")
	for _, row := range r.Load {
		list(w, row.Peer, row.Notes)
		list(w, row.Peer+", the first failures of each kind", row.Examples)
	}
	brokenTable(r.Broken).print(w, fmt.Sprintf("Broken releases, in the %.0f s after the trigger", watched.Seconds()))
	idleTable(r.Idle).print(w, "Idle kept connections")
	soakTable(r.Soak).print(w, "Soak")
	for _, row := range r.Soak {
		list(w, row.Peer, row.Notes)
	}
	r.Trials.print(w)
	list(w, "not measured", r.Errors)
	list(w, "BARS MISSED", r.Missed)
}

func list(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n\n", title)
	for _, line := range lines {
		fmt.Fprintf(w, "- %s\n", strings.ReplaceAll(line, "\n", " "))
	}
}

func loadTable(rows []LoadRow) *table {
	t := &table{head: []string{"peer", "upgrades", "requests", "failed (kinds)",
		"streams broken: finite, endless, WebSocket", "kept connections closed: idle / told",
		"p50 / p99 / p99.9 / max ms, steady", "same, 1 s after triggers", "p99.9 ratio", "longest gap ms",
		"trigger → serving ms, median / max", "bare start ms, median", "ratio", "final ms, median / max", "old gone ms, median / max",
		"RSS MiB start / peak / end", "fds", "threads", "processes", "load average"}}
	for _, r := range rows {
		t.add(r.Peer, upgradesCell(r.Taken, r.Upgrades, r.Again), strconv.Itoa(r.Requests), counts(r.Failed, r.Kinds),
			streamCells(r.Streams), fmt.Sprintf("%d / %d", r.Closes.Idle, r.Closes.Told),
			latency(r.Steady), latency(r.Window), ratio(r.Window.P999, r.Steady.P999), number(r.LongestGap),
			medianMax(r.Serving), number(r.Bare.Median), ratio(r.Serving.Median, r.Bare.Median), medianMax(r.Final), gone(r),
			fmt.Sprintf("%s / %s / %s", number(r.Start.RSS), number(r.Peak.RSS), number(r.End.RSS)),
			three(r.Start.FDs, r.Peak.FDs, r.End.FDs), three(r.Start.Threads, r.Peak.Threads, r.End.Threads),
			three(r.Start.Processes, r.Peak.Processes, r.End.Processes), r.LoadAvg)
	}
	return t
}

func brokenTable(rows []BrokenRow) *table {
	t := &table{head: []string{"peer", "release", "outcome", "requests", "failed (kinds)", "of which answered by the broken code",
		"cut on its connections", "streams broken (kinds)", "of which by the broken code", "longest gap ms", "next good upgrade", "peak RSS MiB"}}
	for _, r := range rows {
		next := "**fails**"
		if r.Next {
			next = fmt.Sprintf("works, %s ms", number(r.NextIn))
		}
		outcome := r.Outcome
		if outcome != oldServes {
			outcome = "**" + outcome + "**"
		}
		t.add(r.Peer, r.Means, outcome, strconv.Itoa(r.Requests), counts(r.Failed, r.Kinds), strconv.Itoa(r.Answered),
			strconv.Itoa(r.Cut), counts(r.Streams, r.Broke), strconv.Itoa(r.StreamsCut), number(r.Gap), next, number(r.PeakRSS))
	}
	return t
}

func idleTable(rows []IdleRow) *table {
	t := &table{head: []string{"peer", "connections", "moved", "stayed", "closed", "failed", "trigger → serving ms",
		"first → last moved ms", "trigger → all moved ms"}}
	for _, r := range rows {
		all, from := "never", "never"
		if r.AllMoved != 0 {
			all, from = number(r.Moving), number(r.AllMoved)
		}
		t.add(r.Peer, strconv.Itoa(r.Conns), strconv.Itoa(r.Moved), strconv.Itoa(r.Stayed), strconv.Itoa(r.Closed),
			strconv.Itoa(r.Failed), number(r.Serving), all, from)
	}
	return t
}

func soakTable(rows []SoakRow) *table {
	t := &table{head: []string{"peer", "upgrades", "requests", "failed (kinds)", "minutes", "trigger → serving ms, median / max",
		"RSS MiB first / last", "fds first / last", "threads first / last", "processes first / last"}}
	for _, r := range rows {
		a, b := r.first(), r.last()
		t.add(r.Peer, upgradesCell(r.Taken, r.Upgrades, r.Again), strconv.Itoa(r.Requests), counts(r.Failed, r.Kinds),
			number(r.Seconds/60), medianMax(r.Serving), fmt.Sprintf("%s / %s", number(a.RSS), number(b.RSS)),
			fmt.Sprintf("%d / %d", a.FDs, b.FDs), fmt.Sprintf("%d / %d", a.Threads, b.Threads),
			fmt.Sprintf("%d / %d", a.Processes, b.Processes))
	}
	return t
}

// counts is a number and what it consists of, the most frequent first.
func counts[K ~string](n int, kinds map[K]int) string {
	if len(kinds) == 0 {
		return strconv.Itoa(n)
	}
	names := slices.SortedFunc(maps.Keys(kinds), func(a, b K) int {
		return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(names))
	for i, k := range names {
		parts[i] = fmt.Sprintf("%s %d", k, kinds[k])
	}
	return fmt.Sprintf("%d (%s)", n, strings.Join(parts, ", "))
}

func streamCells(m map[string]StreamCount) string {
	parts := make([]string, 3)
	for i, kind := range []string{finite, endless, socket} {
		s := m[kind]
		parts[i] = counts(s.Broken, s.Kinds) + " of " + strconv.Itoa(s.Opened)
	}
	return strings.Join(parts, ", ")
}

func upgradesCell(taken, asked, again int) string {
	if again == 0 {
		return fmt.Sprintf("%d of %d", taken, asked)
	}
	return fmt.Sprintf("%d of %d (%d asked again)", taken, asked, again)
}

func latency(l Latency) string {
	return fmt.Sprintf("%s / %s / %s / %s", number(l.P50), number(l.P99), number(l.P999), number(l.Max))
}

func gone(r LoadRow) string {
	if r.Unfinished == 0 {
		return medianMax(r.Gone)
	}
	return fmt.Sprintf("%s (%d not %.0f s later)", medianMax(r.Gone), r.Unfinished, goneLimit.Seconds())
}

func medianMax(d Durations) string {
	if d.N == 0 {
		return "–"
	}
	return number(d.Median) + " / " + number(d.Max)
}

func ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return strconv.FormatFloat(a/b, 'f', 2, 64)
}

func three(a, b, c int) string { return fmt.Sprintf("%d / %d / %d", a, b, c) }

// number writes a value with one decimal where that says something.
func number(v float64) string {
	if v < 100 && v > -100 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
