//go:build linux

package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUpgrades: many upgrades under load lose no request and leave nothing behind.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	times := 20
	if testing.Short() {
		times = 3
	}
	w := start(t, nil)
	w.snapshot()
	w.config.Name = "v0"
	supervisor := w.cmd.Process.Pid
	open := len(descriptors(t, supervisor))
	stop := w.load(8)
	began := time.Now()
	for i := range times {
		w.config.Name = "v" + strconv.Itoa(i+1)
		w.deploy()
		if got := w.ordered("upgrade", ""); got != "ok" {
			t.Fatalf("upgrade %d: %s", i, got)
		}
		if a := w.ask(); a.name != w.config.Name || a.generation != i+1 {
			t.Errorf("after upgrade %d: %+v", i, a)
		}
	}
	took := time.Since(began)
	n, failed := stop()
	if len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %s", len(failed), n, failed[0])
	}
	t.Logf("%d upgrades in %s, %d requests, %d failed", times, took, n, len(failed))
	until(t, "the old workers to end", func() bool { return len(w.status().Workers) == 1 && len(childrenOf(supervisor)) == 1 })
	until(t, "the descriptors that there were", func() bool { return len(descriptors(t, supervisor)) <= open })
	if s := w.status(); s.Upgrades != times || s.Restarts != 0 {
		t.Errorf("status %+v", s)
	}
}

// TestDescriptorsAreFlat: crashes and replacements leave nothing open, and a worker
// gets nothing but what is for it.
func TestDescriptorsAreFlat(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.snapshot()
	supervisor := w.cmd.Process.Pid
	open := descriptors(t, supervisor)
	var workers []string
	for i := range 4 {
		a := w.ask()
		if i == 1 { // the first has no predecessor
			workers = descriptors(t, a.pid)
		}
		_ = syscall.Kill(a.pid, syscall.SIGKILL)
		w.await(Serving, i+2)
		w.await(Kept, i+2)
		next := filepath.Join(w.dir, "next"+strconv.Itoa(i))
		w.install(next, "")
		w.order("replace", next)
		w.await(Replaced, i+1)
	}
	until(t, "the descriptors that there were", func() bool {
		now := descriptors(t, supervisor)
		return len(now) <= len(open)
	})
	var now []string
	defer func() {
		if t.Failed() {
			t.Logf("worker: %q, first %q", now, workers)
		}
	}()
	until(t, "the worker's descriptors", func() bool { now = descriptors(t, w.ask().pid); return len(now) <= len(workers)+1 })
}

// TestBrokenUpgrade: an upgrade that fails is told to who asked, and the worker serves
// on.
func TestBrokenUpgrade(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a := w.ask()
	w.config.Broken = "exit"
	w.deploy()
	if got := w.ordered("upgrade", ""); !strings.Contains(got, "exit status 3") {
		t.Errorf("upgrade: %s", got)
	}
	if got := w.ordered("upgrade", "/nowhere"); !strings.Contains(got, "no such file") {
		t.Errorf("upgrade: %s", got)
	}
	if b := w.ask(); b.pid != a.pid {
		t.Errorf("%+v, before %+v", b, a)
	}
	w.config.Broken, w.config.Name = "", "v3"
	w.deploy()
	if got := w.ordered("upgrade", ""); got != "ok" {
		t.Errorf("upgrade: %s", got)
	}
}

// TestCrashDuringUpgrade: the worker dies while its successor starts; the successor,
// or another one, becomes the service.
func TestCrashDuringUpgrade(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"", "exit", "never"} {
		t.Run("successor "+broken, func(t *testing.T) {
			t.Parallel()
			w := start(t, func(_ *world, c *setup) {
				if broken == "never" {
					c.Ready = time.Second
				}
			})
			w.snapshot()
			a := w.ask()
			w.config.Name, w.config.Broken = "v2", broken
			w.deploy()
			w.order("upgrade", "")
			w.await(Upgrading, 1)
			_ = syscall.Kill(a.pid, syscall.SIGKILL)
			until(t, "its end", func() bool { return gone(a.pid) })
			w.config.Broken = ""
			w.deploy()
			if b := w.ask(); b.name != "v2" || b.pid == a.pid {
				t.Errorf("%+v, before %+v", b, a)
			}
			w.await(Serving, 2)
			w.await(result, 1) // of the order: the next one is that of the status
			if len(w.alive()) != 1 {
				t.Errorf("%d workers live", len(w.alive()))
			}
			if s := w.status(); s.State != StateServing {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestFollow: after an upgrade to another program the supervisor becomes that, too;
// one that cannot be a supervisor is refused while its worker serves.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := start(t, func(_ *world, c *setup) { c.Path, c.Follow = "", true })
	another := func(path, mode string) {
		t.Helper()
		if err := os.WriteFile(path+".mode", []byte(mode), 0o600); err != nil {
			t.Fatal(err)
		}
		// Not by this process: a test that forks meanwhile would hold the file open for writing.
		script := `cp "$0" "$1.new" && printf "$2" >> "$1.new" && mv "$1.new" "$1"` // behind the end it does no harm
		if out, err := exec.Command("/bin/sh", "-c", script, own(t), path, path+mode).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if got := w.ordered("upgrade", ""); got != "ok" { // the same program
		t.Fatalf("upgrade: %s", got)
	}
	another(filepath.Join(w.dir, "broken"), "exit")
	if got := w.ordered("upgrade", filepath.Join(w.dir, "broken")); got != "ok" {
		t.Fatalf("upgrade: %s", got)
	}
	w.await(Refused, 1)
	good := filepath.Join(w.dir, "good")
	another(good, "")
	if got := w.ordered("upgrade", good); got != "ok" {
		t.Fatalf("upgrade: %s", got)
	}
	w.await(Replaced, 1)
	if exe, err := os.Readlink("/proc/" + itoa(w.cmd.Process.Pid) + "/exe"); err != nil || exe != good {
		t.Errorf("the supervisor runs %s, %v", exe, err)
	}
	if a := w.ask(); a.generation != 3 {
		t.Errorf("%+v", a)
	}
	if n := len(w.of(Replaced)); n != 1 {
		t.Errorf("replaced %d times", n)
	}
}
