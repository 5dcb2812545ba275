//go:build unix

package console_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/browser"
)

// patience bounds waits for processes.
const patience = 2 * time.Minute

// small is an app whose answer to a POST waits for all of its body.
var small = map[string]string{
	"theseus.yaml":     "app: small\napi: 1\nroutes:\n  POST /echo: handlers/echo.js\n",
	"handlers/echo.js": "export default (req) => ({ text: req.text() });\n",
}

// running is `theseus run` in a process of its own, or one that has replaced it.
type running struct {
	t       *testing.T
	program string // the file that an upgrade starts
	dir     string
	target  admin.Target
	log     string
}

func run(t *testing.T) *running {
	t.Helper()
	root := t.TempDir()
	r := &running{t: t, program: filepath.Join(root, "theseus"), dir: filepath.Join(root, "app"), log: filepath.Join(root, "log")}
	for name, text := range small {
		file := filepath.Join(r.dir, name)
		r.must(os.MkdirAll(filepath.Dir(file), 0o755))
		r.must(os.WriteFile(file, []byte(text), 0o644))
	}
	r.install("")
	log, err := os.Create(r.log)
	r.must(err)
	defer log.Close()
	over, end, err := os.Pipe() // all that descend from it have the other end
	r.must(err)
	cmd := exec.Command(r.program, "run", r.dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--probation", "3s", "--log-format", "json")
	cmd.Stdout, cmd.Stderr = end, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.must(cmd.Start())
	end.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_, _ = io.Copy(io.Discard, over)
		over.Close()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(r.log)
			t.Logf("%s", text)
		}
	})
	r.until("the service", func() bool {
		d, err := admin.ReadDiscovery(r.dir)
		r.target = admin.Target{URL: d.URL, Token: d.Token}
		return err == nil && d.PID == cmd.Process.Pid
	})
	return r
}

func (r *running) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// until polls a condition.
func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// install replaces the program by another one that does the same.
func (r *running) install(note string) {
	r.t.Helper()
	own, err := os.Executable()
	r.must(err)
	text, err := os.ReadFile(own)
	r.must(err)
	r.must(os.WriteFile(r.program+".next", append(text, note...), 0o755))
	r.must(os.Rename(r.program+".next", r.program))
}

// status is that of the process that accepts now.
func (r *running) status() app.Status {
	r.t.Helper()
	c, err := admin.Dial(r.target)
	r.must(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	res, err := c.GetStatus(ctx, connect.NewRequest(&adminv1.GetStatusRequest{}))
	r.must(err)
	return admin.StatusFrom(res.Msg.GetStatus())
}

// hold sends a request but for its last byte; the returned function sends that and
// reads the answer.
func (r *running) hold() (finish func()) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.status().Listen[0])
	r.must(err)
	r.t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nh")
	r.must(err)
	return func() {
		r.t.Helper()
		r.must(c.SetDeadline(time.Now().Add(patience)))
		_, err := io.WriteString(c, "i")
		r.must(err)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		r.must(err)
		defer res.Body.Close()
		if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), `"hi"`) {
			r.t.Errorf("the request that was held is answered %s %q, %v", res.Status, text, err)
		}
	}
}

// The page shows how the process that serves it is replaced, and goes on with the
// new one.
func TestUpgradeIsSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser and processes for some seconds")
	}
	p := browser.New(t) // skips without one
	r := run(t)
	first := r.status().PID
	p.Goto(r.target.URL + "/#t=" + r.target.Token)
	p.WaitText(".conn[data-kind=live]", "live")
	p.WaitText("theseus-process", fmt.Sprintf("pid %d · process generation 0", first))
	p.WaitText("theseus-process .tag", "serving")
	// What the panel shows in between, and whether the page is loaded anew, is
	// remembered in the page.
	p.Wait(`(() => {
		globalThis.shown = "";
		const el = document.querySelector("theseus-process");
		new MutationObserver(() => { shown += el.textContent + "\n"; }).observe(el, { childList: true, subtree: true });
		return true;
	})()`)

	// One that dies on probation: its predecessor is shown to serve on, and why.
	r.install("dies")
	r.must(syscall.Kill(first, syscall.SIGUSR2))
	r.until("the probation", func() bool {
		s := r.status()
		return s.PID != first && syscall.Kill(s.PID, syscall.SIGKILL) == nil
	})
	p.WaitText("theseus-process .verdict", "rolled back: it ended")
	p.Wait(`document.querySelector("theseus-process .sign").dataset.status === "failed"`)
	p.WaitText("theseus-process .facts", "check")
	p.WaitText("theseus-process", fmt.Sprintf("pid %d · process generation 0", first))
	p.WaitText("theseus-process .tag", "serving")
	p.WaitText(".log [data-level=error]", "rolled back")
	p.Wait(`document.querySelector(".conn").dataset.kind === "live"`)
	p.ConsoleErrors() // a request of the page may have been answered by the one that died

	// One that does not, while its predecessor has a request to answer.
	r.install("lives")
	finish := r.hold()
	r.until("the request", func() bool { return r.status().Live.Inflight == 1 })
	p.Wait(`(shown = "", true)`)
	r.must(syscall.Kill(first, syscall.SIGUSR2))
	r.until("the new process", func() bool { s := r.status(); return s.PID != first && s.Process.State == "serving" })
	second := r.status().PID
	p.WaitText("theseus-process .verdict", fmt.Sprintf("pid %d → pid %d", first, second))
	p.WaitText("theseus-process", fmt.Sprintf("pid %d · process generation 1", second))
	p.WaitText("theseus-process .tag", "serving")
	p.WaitText("theseus-process .processes", fmt.Sprintf("pid %d", first))
	p.WaitText("theseus-process .processes", "draining for")
	p.WaitText("theseus-process .processes", "1 request")
	p.WaitText(".log", "this process is the service") // as its own events tell
	p.WaitText(".conn[data-kind=live]", "live")
	finish()
	p.Wait(`!document.querySelector("theseus-process").textContent.includes("draining for")`)
	seen := browser.Eval[string](p, "shown")
	for _, want := range []string{"upgrading…", "check ", "start ", "hello ", "ready ", "serve ", "probation "} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page did not show %q in between:\n%s", want, seen)
		}
	}
	clean(t, p)

	// Who comes later is told as well.
	p.Goto(r.target.URL + "/")
	p.WaitText("theseus-process .verdict", fmt.Sprintf("pid %d → pid %d", first, second))
	clean(t, p)
}
