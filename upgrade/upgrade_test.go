//go:build linux

package upgrade

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	in := startService(t, config{})
	var stop atomic.Bool
	var served, failed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := in.client()
			for !stop.Load() {
				resp, err := c.Post("http://service/", "", io.NopCloser(strings.NewReader("hello")))
				if err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(text) != "hello" || resp.StatusCode != http.StatusOK {
					failed.Add(1)
					t.Errorf("%v %q %d", err, text, resp.StatusCode)
				}
				served.Add(1)
			}
		})
	}
	pids := map[int]bool{in.pid(): true}
	for range 5 {
		r, err := in.upgrade("")
		if err != nil {
			t.Fatal(err)
		}
		t.Log(r)
		waitFor(t, "the new process to be the service", func() bool { return in.pid() == r.PID })
		pids[r.PID] = true
	}
	stop.Store(true)
	wg.Wait()
	_, h := in.get("/")
	if last, _ := strconv.Atoi(h.Get("X-Pid")); last != in.pid() {
		t.Errorf("process %d answers, %d is the service", last, in.pid())
	}
	t.Logf("%d requests, %d failed", served.Load(), failed.Load())
	for pid := range pids {
		if pid != in.pid() {
			waitFor(t, "the old process to end", func() bool { return !alive(pid) })
		}
	}
}
