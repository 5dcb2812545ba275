package app_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app"
)

// killedDir names the app's folder to the process that is killed, and forGood says that
// it is to go where there is no way back from.
const (
	killedDir = "THESEUS_TEST_STATE_DIR"
	forGood   = "THESEUS_TEST_STATE_FOR_GOOD"
)

// shaped is an app that says which version of its data it wants; version 3 is one that
// there is no way back from.
func shaped(version int) map[string]string {
	steps := "export const up1 = (v) => ({ n: v });\nexport const down1 = (v) => v.n;\n"
	if version >= 2 {
		steps += "export const up2 = (v) => ({ items: [v.n] });\nexport const down2 = (v) => ({ n: v.items[0] });\n"
	}
	if version >= 3 {
		steps += "export const up3 = (v) => v.items;\nexport const irreversible3 = () => 'a test';\n"
	}
	value := map[int]string{1: "{ n }", 2: "{ items: [n] }", 3: "[n]"}[version]
	return map[string]string{
		"theseus.yaml":        "app: shaped\napi: 1\nrollout: { trial: 24h }\nroutes:\n  GET /version: handlers/version.js\n  GET /get/{id}: handlers/get.js\n  POST /add/{id}: handlers/add.js\n",
		"state/cart.js":       steps,
		"handlers/version.js": fmt.Sprintf("export default () => %d;\n", version),
		"handlers/get.js":     "export default (req) => ({ v: kv.get('cart:' + req.params.id) });\n",
		"handlers/add.js":     "export default (req) => { const n = Number(req.params.id); kv.set('cart:' + n, " + value + "); };\n",
	}
}

// TestStateKilledChild is the process that is killed: it writes, and migrates up and
// down, and tells what is done.
func TestStateKilledChild(t *testing.T) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		t.Skip("for TestStateKilled")
	}
	a := openAt(t, dir)
	next := a.Status().Live.Number * 1000
	for i := 0; ; i++ {
		for range 30 {
			next++
			post(t, a, fmt.Sprint("/add/", next))
			fmt.Println("wrote", next)
		}
		if os.Getenv(forGood) == "share" {
			write(t, dir, shaped(2))
			reload(t, a)
			if err := a.ShareData(true); err != nil {
				t.Fatal(err)
			}
			fmt.Println("shared")
			select {}
		}
		if os.Getenv(forGood) != "" {
			if i > 0 {
				continue
			}
			write(t, dir, shaped(3))
			if _, err := a.Reload(t.Context(), app.Change{Trigger: "api", Irreversible: true}); err != nil {
				t.Fatal(err)
			}
			fmt.Println("for good")
			continue
		}
		if i%4 == 3 {
			if _, err := a.Rollback(t.Context(), 0, app.Change{}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, dir, shaped(1+i%2))
		write(t, dir, map[string]string{"handlers/other.js": fmt.Sprintf("export default () => %d;\n", next)})
		reload(t, a)
	}
}

// A process that is killed at any time leaves code and data that fit each other, and
// all that was written.
func TestStateKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() || raceEnabled {
		t.Skip("kills processes")
	}
	dir := t.TempDir()
	write(t, dir, shaped(1))
	var wrote []string
	met := map[string]int{}
	for range 8 {
		more, _ := killed(t, dir, "", 1+rand.IntN(150))
		wrote = append(wrote, more...)
		met[checkShaped(t, dir, wrote)]++
		if t.Failed() {
			return
		}
	}
	t.Logf("%d writes; versions met: %v", len(wrote), met)
}

// The same where there is no way back: either nothing has happened, or all.
func TestStateKilledForGood(t *testing.T) {
	t.Parallel()
	if testing.Short() || raceEnabled {
		t.Skip("kills processes")
	}
	met := map[string]int{}
	for range 8 {
		dir := t.TempDir()
		write(t, dir, shaped(2))
		wrote, done := killed(t, dir, "yes", 30)
		version := checkShaped(t, dir, wrote)
		if met[version]++; version == "1" || done && version != "3" {
			t.Errorf("done: %v, version %s", done, version)
		}
	}
	t.Logf("versions met: %v", met)
}

// A process that stands by when the owner dies with a generation on trial brings the data
// back to what was proven, and serves that.
func TestStateOfADeadOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, shaped(1))
	cmd := exec.Command(os.Args[0], "-test.run=^TestStateKilledChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), killedDir+"="+dir, forGood+"=share")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wrote []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "shared" {
		if n, ok := strings.CutPrefix(lines.Text(), "wrote "); ok {
			wrote = append(wrote, n)
		}
	}
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest(), Standby: true})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.Background())
	if a.LiveNumber() != 2 {
		t.Fatalf("it stands by with gen %d", a.LiveNumber())
	}
	if err := a.Activate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	a.Confirm()
	if got := body(t, a, "/version"); got != "1" || len(wrote) == 0 {
		t.Fatalf("version %s, %d writes", got, len(wrote))
	}
	for _, n := range wrote {
		if got := body(t, a, "/get/"+n); got != fmt.Sprintf(`{"v":{"n":%s}}`, n) {
			t.Fatal(got)
		}
	}
	if err := a.ShareData(false); err != nil {
		t.Fatal(err)
	}
	if u := reload(t, a); len(u.Migrations) != 1 || body(t, a, "/version") != "2" {
		t.Errorf("%+v", u)
	}
}

// killed runs a process and kills it, at some moment after so many lines. It returns
// what was written, and whether it had gone where there is no way back from.
func killed(t *testing.T, dir, final string, after int) (wrote []string, done bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStateKilledChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), killedDir+"="+dir, forGood+"="+final)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, ok := strings.CutPrefix(lines.Text(), "wrote ")
		switch {
		case ok:
			wrote = append(wrote, n)
		case lines.Text() == "for good":
			done = true
		default:
			t.Log(lines.Text())
		}
		if len(wrote) == after && ok {
			time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
	return wrote, done
}

// checkShaped starts the app as it was left, and returns the version that it serves.
func checkShaped(t *testing.T, dir string, wrote []string) string {
	t.Helper()
	a, err := app.Open(t.Context(), dir, app.Options{Engines: enginesForTest()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.Background())
	version := body(t, a, "/version")
	for _, n := range wrote {
		want := map[string]string{"1": `{"v":{"n":%s}}`, "2": `{"v":{"items":[%s]}}`, "3": `{"v":[%s]}`}[version]
		if got := body(t, a, "/get/"+n); got != fmt.Sprintf(want, n) {
			t.Errorf("version %s serves %s for %s", version, got, n)
			return version
		}
	}
	return version
}
