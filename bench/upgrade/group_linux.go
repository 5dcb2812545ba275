package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this program the parent of processes below it that lose
// theirs, as each does whose predecessor has ended (PR_SET_CHILD_SUBREAPER(2const)).
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// stat returns the state and the process group of a process (proc_pid_stat(5)).
func stat(pid string) (state byte, group int, ok bool) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0, 0, false
	}
	// The name before the last ")" may contain anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 3 {
		return 0, 0, false
	}
	group, err = strconv.Atoi(string(fields[2]))
	return fields[0][0], group, err == nil
}

// running reports whether a process has not ended. One that only waits to be
// collected has.
func running(pid int) bool {
	state, _, ok := stat(strconv.Itoa(pid))
	return ok && state != 'Z' && state != 'X'
}

// members lists the processes of a group that have not ended.
func members(group int) []int {
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if state, of, ok := stat(e.Name()); ok && of == group && state != 'Z' && state != 'X' {
			pids = append(pids, pid)
		}
	}
	return pids
}

// read takes a reading of the group.
func (g *group) read() Reading {
	var r Reading
	for _, pid := range members(g.id) {
		r.RSS += resident(pid)
		r.FDs += descriptors(pid)
		r.Threads += entries(pid, "task")
		r.Processes++
	}
	return r
}

// resident is the resident memory of a process in MiB, by counting pages: VmRSS in
// status is kept by processor and off by megabytes (proc_pid_status(5)).
func resident(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
			kib, _ := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
			return kib / 1024
		}
	}
	return 0
}

// descriptors counts the open descriptors of a process. Since Linux 6.2 the size
// of the folder says it at once.
func descriptors(pid int) int {
	if info, err := os.Stat(fmt.Sprintf("/proc/%d/fd", pid)); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	return entries(pid, "fd")
}

func entries(pid int, folder string) int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, folder))
	if err != nil {
		return 0
	}
	return len(list)
}

// loadAverage is that of the machine over one minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}
