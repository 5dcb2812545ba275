//go:build unix

package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A real program: its configuration or script serves release on descriptor 3.
type real struct {
	name   string
	file   string
	source func(release, address, dir string) string
	broken string
	setup  setup
}

// realPrograms are the recipes of docs/exec.md.
var realPrograms = []real{
	{
		name: "nginx", file: "nginx.conf", broken: "nonsense;",
		source: func(release, address, dir string) string {
			return fmt.Sprintf(`daemon off; worker_processes 2; pid %[3]s/nginx.pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[3]s/a; proxy_temp_path %[3]s/b; fastcgi_temp_path %[3]s/c;
	uwsgi_temp_path %[3]s/d; scgi_temp_path %[3]s/e;
	server { listen %[2]s; location / { return 200 "%[1]s $pid"; } }
}`, release, address, dir)
		},
		setup: setup{Command: []string{"nginx", "-e", "stderr", "-c"}, FDs: StyleNginx, Stop: syscall.SIGQUIT, Ready: Ready{Kind: ReadyHTTP, Path: "/"}},
	},
	{
		name: "node", file: "server.js", broken: "throw new Error('broken')",
		source: func(release, _, _ string) string {
			return fmt.Sprintf(`const server = require("http").createServer((req, res) => res.end("%s " + process.pid));
server.listen({ fd: 3 });
process.on("SIGTERM", () => server.close());`, release)
		},
		setup: setup{Command: []string{"node"}, Ready: Ready{Kind: ReadyHTTP, Path: "/"}},
	},
	{
		name: "python3", file: "server.py", broken: "raise SystemExit(3)",
		source: func(release, _, _ string) string {
			return fmt.Sprintf(`import os, signal, socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"%s %%d" %% os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them

server = Server(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever(0.1)
server.server_close()`, release)
		},
		setup: setup{Command: []string{"python3"}, Nonblock: true},
	},
}

// need skips a test whose program is missing, but not where all must be there.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: scripts/deps installs it", program)
	}
	t.Skipf("%s is not installed", program)
}

// TestRealPrograms replaces programs that know nothing of this package, under
// a load of fresh connections.
func TestRealPrograms(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starting other people's programs takes seconds")
	}
	for _, p := range realPrograms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			need(t, p.name)
			dir := t.TempDir()
			file := filepath.Join(dir, p.file)
			var address string
			r := remoteWith(t, func(s *setup, _ *exec.Cmd) {
				address = s.Listen[0].Address
				deploy(t, file, p.source("v1", address, dir))
				listen := s.Listen
				*s = p.setup
				s.Command, s.Listen = append(append([]string{}, s.Command...), file), listen
				s.Probation, s.Drain = 100*time.Millisecond, patience
			})
			r.await(Serving, 1)
			stopLoad := load(t, address)
			const replacements = 4
			for n := range replacements {
				deploy(t, file, p.source(fmt.Sprint("v", n+2), address, dir))
				r.signal(syscall.SIGHUP)
				r.await(Serving, n+2)
				r.await(Ended, n+1)
			}
			deploy(t, file, p.broken)
			r.signal(syscall.SIGUSR2)
			r.await(RolledBack, 1)
			requests, failed := stopLoad()
			t.Logf("%d requests, %d failed, during %d replacements and one that failed", requests, failed, replacements)
			if body, err := get1(address, "/"); err != nil || !strings.HasPrefix(body, fmt.Sprint("v", replacements+1, " ")) {
				t.Errorf("after a broken one: %q, %v", body, err)
			}
			r.signal(syscall.SIGTERM)
			if got := r.awaitEnd(); got != 0 {
				t.Errorf("exit status %d", got)
			}
			r.gone()
		})
	}
}

// load asks address over fresh connections until the returned function is called.
func load(t *testing.T, address string) func() (requests, failed int64) {
	var stopped atomic.Bool
	var n, bad atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stopped.Load() {
				n.Add(1)
				if _, err := get1(address, "/"); err != nil {
					bad.Add(1)
					t.Errorf("request: %v", err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return func() (int64, int64) {
		stopped.Store(true)
		clients.Wait()
		return n.Load(), bad.Load()
	}
}
