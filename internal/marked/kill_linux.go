package marked

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Kill kills all processes but this one that had the variable with that value in their
// environment when they began, and returns how many there were; see
// proc_pid_environ(5). An empty value is nobody's. It gives up when new ones come as fast
// as they are killed.
func Kill(variable, value string) int {
	if value == "" {
		return 0
	}
	const rounds = 20
	entry := []byte("\x00" + variable + "=" + value + "\x00")
	seen := map[int]bool{}
	for range rounds {
		found := false
		names, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(append([]byte{0}, text...), entry) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil || pid == os.Getpid() || syscall.Kill(pid, syscall.SIGKILL) != nil {
				continue
			}
			found, seen[pid] = true, true
		}
		if !found {
			break
		}
	}
	return len(seen)
}
