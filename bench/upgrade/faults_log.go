package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A happening is a line of the log of the subject's processes.
type happening struct {
	Time time.Time `json:"time"`
	Msg  string    `json:"msg"`
	PID  int       `json:"pid"`
	Peer int       `json:"peer"`
	Step string    `json:"step"`
	Err  string    `json:"error"`
}

// happenings reads the log from an offset on.
func (s *subject) happenings(from int64) []happening {
	text, _ := os.ReadFile(s.logFile())
	var list []happening
	for line := range bytes.Lines(text[min(from, int64(len(text))):]) {
		var h happening
		if json.Unmarshal(line, &h) == nil && h.Msg != "" {
			list = append(list, h)
		}
	}
	return list
}

// logged is how long the log is.
func (s *subject) logged() int64 {
	info, err := os.Stat(s.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// count counts the happenings of that name.
func count(list []happening, msg string) (n int) {
	for _, h := range list {
		if h.Msg == msg {
			n++
		}
	}
	return n
}

// A holder is when a process came to have a connection.
type holder struct {
	at   time.Time
	port int
	pid  int
}

// holders reads the ledgers of all processes that there have been.
func (s *subject) holders() []holder {
	files, _ := filepath.Glob(s.ledger + "-*")
	var list []holder
	for _, file := range files {
		pid, err := strconv.Atoi(strings.TrimPrefix(file, s.ledger+"-"))
		if err != nil {
			continue
		}
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			var ns int64
			var port int
			if n, _ := fmt.Sscan(line, &ns, &port); n == 2 {
				list = append(list, holder{time.Unix(0, ns), port, pid})
			}
		}
	}
	return list
}
