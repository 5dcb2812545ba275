package hooks

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// killMarked kills what a command has left behind outside of its process group: the
// processes in whose environment its mark was when they began, see
// proc_pid_environ(5). It gives up when new ones come as fast as they are killed.
func killMarked(id string) {
	variable := []byte("\x00" + mark + "=" + id + "\x00")
	for range 20 {
		found := false
		names, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(append([]byte{0}, text...), variable) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err == nil && pid != os.Getpid() && syscall.Kill(pid, syscall.SIGKILL) == nil {
				found = true
			}
		}
		if !found {
			return
		}
	}
}
