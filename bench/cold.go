package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/engines"
)

// runCold starts the shop again and again: in process, and as the built program.
func runCold(ctx context.Context, c config) ([]Figure, error) {
	var opens []float64
	for range c.pick(20, 5) {
		took, err := openShop(ctx)
		if err != nil {
			return nil, err
		}
		opens = append(opens, took)
	}
	first := opens[0]
	figures := []Figure{
		atMost("app.Open to the first answer, shop, first in its process", first, "ms", 300),
		atMost("app.Open to the first answer, p50", quantile(opens, .5), "ms", 300),
		fig("app.Open to the first answer, longest", quantile(opens, 1), "ms"),
	}
	program, err := coldProgram(ctx, c)
	return append(figures, program...), err
}

// openShop returns the milliseconds from Open to the first answer.
func openShop(ctx context.Context) (_ float64, err error) {
	dir, remove, err := tempApp(examples.Shop())
	if err != nil {
		return 0, err
	}
	defer remove()
	start := time.Now()
	a, err := app.Open(ctx, dir, app.Options{Engines: engines.All()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.Close(ctx)) }()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/products", nil))
	took := ms(time.Since(start))
	if w.Code != http.StatusOK {
		return 0, fmt.Errorf("GET /products: status %d: %s", w.Code, w.Body)
	}
	return took, nil
}

// coldProgram builds the program and measures its start, size and idle memory.
func coldProgram(ctx context.Context, c config) ([]Figure, error) {
	tmp, err := os.MkdirTemp("", "theseus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	sizes := map[string]float64{}
	for name, flags := range map[string]string{"theseus": "", "stripped": "-s -w"} {
		exe := filepath.Join(tmp, name+exeSuffix())
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", exe, "github.com/theseus-run/theseus/cmd/theseus")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the program: %w\n%s", err, out)
		}
		info, err := os.Stat(exe)
		if err != nil {
			return nil, err
		}
		sizes[name] = float64(info.Size()) / 1e6
	}
	exe := filepath.Join(tmp, "theseus"+exeSuffix())
	var starts, again, idle []float64
	for i := range c.pick(15, 5) {
		fresh, restart, rss, err := startProgram(ctx, exe, i == 0)
		if err != nil {
			return nil, err
		}
		starts, again = append(starts, fresh), append(again, restart)
		if i == 0 {
			idle = append(idle, rss)
		}
	}
	return []Figure{
		atMost("process start to ready, shop, p50", quantile(starts, .5), "ms", 300),
		fig("process start to ready, longest", quantile(starts, 1), "ms"),
		fig("process start to ready with a history, p50", quantile(again, .5), "ms"),
		fig("idle memory of the shop, 3 s after ready (RSS)", quantile(idle, .5), "MB"),
		fig("size of the program", sizes["theseus"], "MB"),
		fig("size of the program without symbols", sizes["stripped"], "MB"),
	}, nil
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// startProgram runs the shop twice in the same folder and returns the times to
// ready, and after a rest the resident memory.
func startProgram(ctx context.Context, exe string, rest bool) (fresh, again, rss float64, err error) {
	dir, remove, err := tempApp(examples.Shop())
	if err != nil {
		return 0, 0, 0, err
	}
	defer remove()
	if fresh, rss, err = startOnce(ctx, exe, dir, rest); err != nil {
		return 0, 0, 0, err
	}
	again, _, err = startOnce(ctx, exe, dir, false)
	return fresh, again, rss, err
}

// startOnce starts the program and returns the milliseconds until /readyz is ok.
func startOnce(ctx context.Context, exe, dir string, rest bool) (took, rss float64, err error) {
	cmd := exec.CommandContext(ctx, exe, "run", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		if runtime.GOOS == "windows" {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = admin.RemoveDiscovery(dir, cmd.Process.Pid)
			return
		}
		_ = cmd.Process.Signal(os.Interrupt)
		if e := cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("theseus run: %w", e))
		}
	}()
	for !ready(dir, cmd.Process.Pid) {
		if time.Since(start) > 20*time.Second {
			return 0, 0, errors.New("the program did not become ready within 20 seconds")
		}
		time.Sleep(time.Millisecond)
	}
	took = ms(time.Since(start))
	if rest {
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
		rss = residentMB(strconv.Itoa(cmd.Process.Pid))
	}
	return took, rss, nil
}

// ready reports whether the process says that it is.
func ready(dir string, pid int) bool {
	d, err := admin.ReadDiscovery(dir)
	if err != nil || d.PID != pid {
		return false
	}
	resp, err := http.Get(d.URL + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
