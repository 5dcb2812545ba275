package app

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machineLoad returns the load average of the last minute per processor of the
// machine, whatever share of it this process may use. See proc_loadavg(5).
func machineLoad() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := bytes.Cut(text, []byte(" "))
	load, err := strconv.ParseFloat(string(first), 64)
	if err != nil || !(load >= 0) {
		return 0, fmt.Errorf("/proc/loadavg begins with %q", first)
	}
	online, _ := os.ReadFile("/sys/devices/system/cpu/online")
	return load / float64(processors(string(bytes.TrimSpace(online)))), nil
}

// processors counts those of a list such as "0-3,6"; without one it is those that
// this process may use. See Documentation/admin-guide/cputopology.rst of Linux.
func processors(online string) (n int) {
	for part := range strings.SplitSeq(online, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || b < a || b > 1<<16 {
			return runtime.NumCPU()
		}
		n += b - a + 1
	}
	return n
}
