//go:build unix

package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/theseus-run/theseus/app"
)

// doomed makes a program that lies in a directory "doomed" end itself once a
// file "die" is beside it.
func doomed() {
	file, err := os.Executable()
	if err != nil || filepath.Base(filepath.Dir(file)) != "doomed" {
		return
	}
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "die")); err == nil {
				os.Exit(7)
			}
			time.Sleep(pause)
		}
	}()
}

// cmdProgram makes DIR/theseus, a program that works like this one and is another.
func cmdProgram(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "program DIR")
	file, err := os.Executable()
	ts.Check(err)
	from, err := os.Open(file)
	ts.Check(err)
	defer from.Close()
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	to, err := os.OpenFile(filepath.Join(dir, "theseus"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	ts.Check(err)
	_, err = io.Copy(to, from)
	ts.Check(err)
	_, err = to.WriteString(args[0]) // behind the end, where it does no harm
	ts.Check(err)
	ts.Check(to.Close())
}

func cmdWaitProcess(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 2, "wait-process GENERATION STATE [DIR]")
	untilStatus(ts, dirOf(args, 2), "process generation "+args[0], func(s app.Status) (bool, string) {
		if s.Process == nil {
			return false, "it cannot be replaced"
		}
		ts.Setenv("PID", strconv.Itoa(s.PID))
		return strconv.Itoa(s.Process.Generation) == args[0] && s.Process.State == args[1], fmt.Sprint(*s.Process)
	})
}

func cmdWaitDraining(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 1, "wait-draining GENERATION [DIR]")
	untilStatus(ts, dirOf(args, 1), "generation "+args[0]+" to be the oldest that drains", func(s app.Status) (bool, string) {
		return s.Process != nil && len(s.Process.Draining) > 0 && strconv.Itoa(s.Process.Draining[0].Generation) == args[0], fmt.Sprint(s.Process)
	})
}

func cmdWaitReplaced(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "wait-replaced NAME")
	p := find(ts, args[0])
	until(ts, "the end of the first process of "+args[0], func() (bool, string) {
		select {
		case <-p.ended:
			return true, ""
		default:
			return false, "it runs"
		}
	})
}

func cmdHoldStart(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 2, "hold-start NAME PATH")
	host := strings.TrimPrefix(ts.Getenv("APP"), "http://")
	c, err := net.Dial("tcp", host)
	ts.Check(err)
	worldOf(ts).held[args[0]] = c
	_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\nx", args[1], host)
	ts.Check(err)
}

func cmdHoldEnd(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "hold-end NAME")
	c := worldOf(ts).held[args[0]]
	ts.Check(c.SetDeadline(time.Now().Add(deadline)))
	_, err := io.WriteString(c, "x")
	ts.Check(err)
	in := bufio.NewReader(c)
	printAnswer(ts, in)
	fmt.Fprintf(c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
	printAnswer(ts, in)
}

// printAnswer reads one response.
func printAnswer(ts *testscript.TestScript, in *bufio.Reader) {
	r, err := http.ReadResponse(in, nil)
	ts.Check(err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s %s\n", r.Status, text)
}

// A traffic is load on the app that never retries.
type traffic struct {
	stop     chan struct{}
	wg       sync.WaitGroup
	answered atomic.Int64
	mu       sync.Mutex
	failures []string
}

// drive sends requests one after the other.
func (l *traffic) drive(url string, keep bool) {
	client := &http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: !keep, MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		// A POST with a body that cannot be sent again is not retried by net/http.
		req, _ := http.NewRequest("POST", url, io.NopCloser(strings.NewReader("x")))
		req.ContentLength = 1
		r, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if err == nil && r.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %s", r.Status)
			}
		}
		if err != nil {
			l.mu.Lock()
			l.failures = append(l.failures, fmt.Sprintf("%s keep=%t: %v", time.Now().Format(time.StampMicro), keep, err))
			l.mu.Unlock()
		} else {
			l.answered.Add(1)
		}
		time.Sleep(time.Millisecond) // the machine has other things to do
	}
}

func cmdTrafficStart(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "traffic-start PATH")
	l := &traffic{stop: make(chan struct{})}
	worldOf(ts).traffic = l
	url := ts.Getenv("APP") + args[0]
	for i := range 10 {
		l.wg.Go(func() { l.drive(url, i < 7) })
	}
	until(ts, "answers", func() (bool, string) { return l.answered.Load() > 50, fmt.Sprint(l.answered.Load()) })
}

func cmdTrafficStop(ts *testscript.TestScript, neg bool, args []string) {
	l := worldOf(ts).traffic
	need(ts, neg, len(args) == 0 && l != nil, "traffic-stop")
	worldOf(ts).traffic = nil
	l.end()
	if len(l.failures) > 0 {
		ts.Fatalf("%d of %d requests failed:\n%s", len(l.failures), l.answered.Load(), strings.Join(l.failures[:min(len(l.failures), 20)], "\n"))
	}
	ts.Logf("%d requests, none failed", l.answered.Load())
}

func (l *traffic) end() {
	close(l.stop)
	l.wg.Wait()
}

// cmdTicks checks what a job has logged as {"n": number, "at": scheduled}: no tick
// twice, and each at its place in the rhythm of the first.
func cmdTicks(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 3, "ticks NAME EVERY AT-LEAST")
	every, err := time.ParseDuration(args[1])
	ts.Check(err)
	least, err := strconv.Atoi(args[2])
	ts.Check(err)
	p := find(ts, args[0])
	var ticks []tick
	until(ts, args[2]+" ticks", func() (bool, string) {
		ticks = ticksOf(p.stderr.String())
		return len(ticks) >= least, fmt.Sprint(ticks)
	})
	for i, t := range ticks[1:] {
		if t.N <= ticks[i].N {
			ts.Fatalf("tick %d came after tick %d: %v", t.N, ticks[i].N, ticks)
		}
		want := ticks[0].At + float64(t.N-ticks[0].N)*float64(every.Milliseconds())
		if off := t.At - want; off < -50 || off > 50 {
			ts.Fatalf("tick %d is %v ms out of the rhythm: %v", t.N, off, ticks)
		}
	}
}

// A tick is a line of the test job.
type tick struct {
	N  int64
	At float64 // milliseconds since 1970
}

func ticksOf(log string) []tick {
	var out []tick
	for line := range strings.Lines(log) {
		var l struct {
			Msg    string
			Fields tick
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "tick" {
			out = append(out, l.Fields)
		}
	}
	return out
}
