package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
)

// The app of fifty files: 28 handlers on ten libraries, five of configuration,
// two of middleware, four of tests with a test of each handler, and the manifest.
const (
	liveHandlers = 28
	liveLibs     = 10
	liveConfigs  = 5
	liveTests    = 4
	liveFiles    = 1 + liveHandlers + liveLibs + liveConfigs + 2 + liveTests
)

// A place is a file of the app and the version that it shows.
type place struct {
	kind string // the member of the answer that shows it
	i    int
}

func (p place) path() string {
	switch p.kind {
	case "lib":
		return fmt.Sprintf("handlers/lib/l%d.js", p.i)
	case "config":
		return fmt.Sprintf("config/c%d.yaml", p.i)
	}
	return fmt.Sprintf("handlers/h%d.js", p.i)
}

// text is the file at version n.
func (p place) text(n int) string {
	switch p.kind {
	case "lib":
		return fmt.Sprintf("export const version = %d;\nexport const total = (list) => list.reduce((a, x) => a + x, 0);\n", n)
	case "config":
		return fmt.Sprintf("n: %d\nnames: [apple, pear, plum]\n", n)
	}
	return fmt.Sprintf(`import { version, total } from "./lib/l%d.js";
export default (req) => ({
  handler: %d, lib: version, config: config.c%d.n,
  sum: total([1, 2, Number(req.query.more ?? 3)]), seen: req.locals.seen,
});
`, p.i%liveLibs, n, p.i%liveConfigs)
}

// handler is the number of a handler that shows the place.
func (p place) handler() int { return p.i }

// liveApp returns the files at version 1.
func liveApp() map[string]string {
	files := map[string]string{
		"middleware/seen.js":    "export default (req) => next({ locals: { seen: req.path } });\n",
		"middleware/headers.js": "export default () => {};\nexport const after = () => ({ headers: { 'x-content-type-options': 'nosniff' } });\n",
	}
	var manifest strings.Builder
	manifest.WriteString("app: fifty\napi: 1\nlisten: 127.0.0.1:0\nuse: [middleware/seen.js, middleware/headers.js]\nroutes:\n")
	for i := range liveHandlers {
		fmt.Fprintf(&manifest, "  GET /h%d: handlers/h%d.js\n", i, i)
		files[fmt.Sprintf("tests/t%d.yaml", i%liveTests)] += fmt.Sprintf(
			"- name: handler %d\n  request: GET /h%d?more=4\n  expect: { status: 200, json: { sum: 7, seen: /h%d }, headers: { x-content-type-options: nosniff } }\n", i, i, i)
	}
	files["theseus.yaml"] = manifest.String()
	for kind, n := range map[string]int{"handler": liveHandlers, "lib": liveLibs, "config": liveConfigs} {
		for i := range n {
			p := place{kind, i}
			files[p.path()] = p.text(1)
		}
	}
	return files
}

// runLive saves files of a running app and waits, each time, for an answer of the
// new version.
func runLive(ctx context.Context, c config) (figures []Figure, err error) {
	files := liveApp()
	if len(files) != liveFiles {
		return nil, fmt.Errorf("the app has %d files, want %d", len(files), liveFiles)
	}
	dir, remove, err := tempApp(memFS(files))
	if err != nil {
		return nil, err
	}
	defer remove()
	in, err := startInstance(ctx, dir, app.Options{Watch: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeInstance(in)) }()
	deadline := time.Now().Add(5 * time.Second)
	for in.App.Status().Watch == "off" && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	w := &saver{in: in, dir: dir, byKind: map[string][]float64{}, phases: map[string][]float64{}}
	if err := w.saves(ctx, c.pick(200, 40)); err != nil {
		return nil, err
	}
	figures = []Figure{
		fig("files of the app", float64(len(files)), ""),
		fig("tests of the app", float64(in.App.Status().Tests), ""),
		fig("saves", float64(len(w.all)), ""),
		fig("save to live p50", quantile(w.all, .5), "ms"),
		atMost("save to live p95", quantile(w.all, .95), "ms", 150),
		fig("save to live, longest", quantile(w.all, 1), "ms"),
	}
	for _, kind := range []string{"handler", "lib", "config"} {
		figures = append(figures, fig("of a "+kind+", p95", quantile(w.byKind[kind], .95), "ms"))
	}
	for _, name := range []string{"compile", "test", "store", "switch"} {
		figures = append(figures, fig("phase "+name+" p50", quantile(w.phases[name], .5), "ms"))
	}
	return figures, nil
}

// A saver saves files and times what follows.
type saver struct {
	in     *instance.Instance
	dir    string
	all    []float64
	byKind map[string][]float64
	phases map[string][]float64
}

func (w *saver) saves(ctx context.Context, n int) error {
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []place{{"handler", liveHandlers}, {"lib", liveLibs}, {"config", liveConfigs}}
	for i := range n {
		p := kinds[i%len(kinds)]
		p.i = random.IntN(p.i)
		// A person does not save in step with the watcher.
		select {
		case <-time.After(time.Duration(20+random.IntN(80)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		took, err := w.save(ctx, p, i+2, i%2 == 0)
		if err != nil {
			return err
		}
		w.all = append(w.all, took)
		w.byKind[p.kind] = append(w.byKind[p.kind], took)
	}
	return nil
}

// save writes one file, in place or as editors do by renaming another over it, and
// returns the milliseconds until a request was answered by the new version.
func (w *saver) save(ctx context.Context, p place, version int, rename bool) (float64, error) {
	sub := w.in.App.Events().Subscribe(-1)
	defer sub.Close()
	file := filepath.Join(w.dir, filepath.FromSlash(p.path()))
	target := file
	if rename {
		target += ".tmp~"
	}
	start := time.Now()
	if err := os.WriteFile(target, []byte(p.text(version)), 0o644); err != nil {
		return 0, err
	}
	if rename {
		if err := os.Rename(target, file); err != nil {
			return 0, err
		}
	}
	if err := waitLive(ctx, sub); err != nil {
		return 0, err
	}
	answer, err := fetch(fmt.Sprintf("%s/h%d", w.in.URL, p.handler()))
	took := ms(time.Since(start))
	if err != nil {
		return 0, err
	}
	var got map[string]any
	if err := json.Unmarshal(answer, &got); err != nil {
		return 0, err
	}
	if got[p.kind] != float64(version) {
		return 0, fmt.Errorf("%s: after saving version %d the answer is %s", p.path(), version, answer)
	}
	for _, phase := range w.in.App.Status().LastUpdate.Phases {
		w.phases[phase.Name] = append(w.phases[phase.Name], ms(phase.Duration))
	}
	return took, nil
}

// waitLive waits for the event that a generation is live.
func waitLive(ctx context.Context, sub *app.Subscription) error {
	timeout := time.After(10 * time.Second)
	for {
		select {
		case e, ok := <-sub.C:
			switch {
			case !ok:
				return errors.New("the events ended")
			case e.Type == "generation" && e.Message == "live":
				return nil
			case e.Type == "update" && e.Level == "error":
				return errors.New(e.Message)
			}
		case <-timeout:
			return errors.New("no new generation within ten seconds of saving")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fetch gets a page.
func fetch(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d: %s", url, resp.StatusCode, body)
	}
	return body, err
}
