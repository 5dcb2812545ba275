//go:build unix

package supervise

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An app is the program that the tests supervise. Its release file, the first
// argument, says how it behaves, in words:
//
//	exit N          it ends at once
//	mute            it never says READY=1
//	dead            it never says READY=1 and does not accept
//	dies DURATION   it ends that long after it was ready
//	stops           it stops itself (SIGSTOP) after it was ready
//	fails           it answers 500
//	late N          it answers 500 from the N-th probe on
//	stubborn        it ignores the signal to stop
//	nested          a child of its own says READY=1 for it
//	orphan          it leaves processes behind, one in its group, one that ends
//	fork            it runs a process that never ends in its group
type app struct {
	words map[string]string
	wg    sync.WaitGroup
	mu    sync.Mutex
	n     int
}

func appMain(args []string) int {
	if args[0] == "sleep" {
		time.Sleep(duration(args[1]))
		return 0
	}
	if args[0] == "notify" {
		notify("READY=1")
		return 0
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 9
	}
	a := &app{words: map[string]string{}}
	f := strings.Fields(string(data))
	for i, w := range f {
		if a.words[w] = ""; i+1 < len(f) {
			a.words[w] = f[i+1]
		}
	}
	a.words["release"] = f[0]
	return a.run()
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func (a *app) has(word string) bool { _, ok := a.words[word]; return ok }

func (a *app) run() int {
	if a.has("exit") {
		n, _ := strconv.Atoi(a.words["exit"])
		return n
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGQUIT)
	ln, err := inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 8
	}
	a.startOthers()
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		if !a.has("dead") {
			a.accept(ln)
		}
	}()
	a.sayReady()
	for s := range signals {
		if s == syscall.SIGUSR1 || s == syscall.SIGQUIT {
			_ = os.WriteFile(os.Args[2]+"."+strconv.Itoa(int(s.(syscall.Signal))), nil, 0o600)
			continue
		}
		if !a.has("stubborn") {
			break
		}
	}
	_ = ln.Close() // what was accepted is answered
	<-accepting
	a.wg.Wait()
	if a.has("status") {
		n, _ := strconv.Atoi(a.words["status"])
		return n
	}
	return 0
}

// inherited checks what sd_listen_fds(3) promises.
func inherited() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") == "" {
		return nil, fmt.Errorf("pid %d: LISTEN_PID=%q LISTEN_FDS=%q", os.Getpid(), os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
	}
	f := os.NewFile(3, "socket")
	defer f.Close()
	return net.FileListener(f)
}

func notify(text string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		_, err = c.Write([]byte(text))
		_ = c.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notify:", err)
	}
}

func (a *app) sayReady() {
	switch {
	case a.has("mute") || a.has("dead"):
	case a.has("nested"):
		_ = exec.Command(os.Args[0], "app", "notify").Run()
		notify("STATUS=nested has spoken")
	default:
		notify("STATUS=here\nREADY=1")
	}
	if a.has("stops") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	if a.has("dies") {
		time.AfterFunc(duration(a.words["dies"]), func() { os.Exit(7) })
	}
}

func (a *app) startOthers() {
	start := func(session bool, d string) {
		cmd := exec.Command(os.Args[0], "app", "sleep", d)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
		_ = cmd.Start()
		_ = os.WriteFile(fmt.Sprintf("%s.pid%d", os.Args[2], cmd.Process.Pid), nil, 0o600)
	}
	if a.has("fork") {
		start(false, "1h")
	}
	if a.has("orphan") { // a shell that ends at once leaves them to the supervisor
		for range 5 {
			_ = exec.Command("/bin/sh", "-c", `"$0" app sleep 200ms >/dev/null 2>&1 </dev/null &`, os.Args[0]).Run()
		}
	}
}

func (a *app) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		a.wg.Go(func() {
			defer c.Close()
			a.answer(c)
		})
	}
}

// answer answers one request.
func (a *app) answer(c net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	status := "200 OK"
	if strings.HasPrefix(req.URL.Path, "/probe") {
		a.mu.Lock()
		a.n++
		after, err := strconv.Atoi(a.words["late"])
		if a.has("fails") || err == nil && a.n >= after {
			status = "500 Internal Server Error"
		}
		a.mu.Unlock()
	}
	body := fmt.Sprintf("%s %d", a.words["release"], os.Getpid())
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
}
