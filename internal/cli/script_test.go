//go:build unix

package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/theseus-run/theseus/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"theseus": func() {
			doomed()
			b := cli.Build{Version: "1.2.3-test", Commit: "0123456789abcdef", Time: "2030-01-02T03:04:05Z", Counter: stated()}
			os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, b))
		},
	})
}

// stated is the rollback counter that a test has put beside the program.
func stated() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	text, _ := os.ReadFile(filepath.Join(filepath.Dir(exe), "counter"))
	return strings.TrimSpace(string(text))
}

// TestScript runs testdata/script, one behaviour a file. [race] is true under
// the race detector. Besides the commands
// of testscript there are, with DIR "app" when it is left out:
//
//	exits STATUS PROGRAM ARG...    run it; it must end with this status
//	start NAME PROGRAM ARG...      run it in the background
//	signal SIGNAL NAME             send HUP, INT, QUIT, TERM, USR2 or KILL
//	signal-until-exit SIGNAL NAME  send it again and again
//	wait-exit NAME STATUS          wait for its end; its output is stdout and stderr
//	wait-stderr NAME REGEXP        wait until it has written that
//	wait-stdout NAME REGEXP
//	wait-ready [DIR]               wait for an instance; sets $APP, $ADMIN, $TOKEN and $PID
//	wait-generation N [DIR]        wait until that generation is live
//	wait-drift true|false [DIR]
//	wait-file FILE                 wait until it is there
//	wait-inflight N [DIR]          wait until that many requests are being answered
//	http METHOD PATH [BODY]        status, headers of interest and body of an answer of $APP
//	http-start NAME METHOD PATH    the same in the background,
//	http-wait NAME                 and its answer
//	poke NAME REGEXP METHOD PATH   send requests until a process has written that to stdout
//	freeport VAR                   an address where nothing listens
//	occupy VAR                     an address where the test listens
//	json PATH [REGEXP]             stdout is JSON, and at PATH (a.0.b) is a value, or one that matches
//	jsonlines PATH [REGEXP]        each line of stdout is JSON with that
//	has-pid FILE                   stdout or stderr, FILE, names process $PID
//	private FILE                   only its owner may read FILE
//	program DIR                    make DIR/theseus, another program that does the same; in
//	                               a DIR "doomed" it ends once there is a DIR/die
//	wait-process N STATE [DIR]     wait until the process after N upgrades serves in that
//	                               state; sets $PID
//	wait-draining N [DIR]          wait until the oldest that drains is that of N upgrades
//	wait-replaced NAME             wait for the end of a process that others have replaced; wait-exit
//	                               waits for theirs too
//	hold-start NAME PATH           send a part of a POST request,
//	hold-end NAME                  and the rest, and another request on that connection
//	traffic-start PATH             POST to it over kept and new connections
//	traffic-stop                   and see that no request has failed
//	ticks NAME EVERY N             at least N ticks of a job, in their rhythm, none twice
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a race still fails the process; its report needs no second
			w := newWorld()
			e.Values[worldKey{}] = w
			e.Defer(w.close)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "race" {
				return raceEnabled, nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":             cmdExits,
			"start":             cmdStart,
			"signal":            cmdSignal,
			"signal-until-exit": cmdSignalUntilExit,
			"wait-exit":         cmdWaitExit,
			"wait-file":         cmdWaitFile,
			"wait-stderr":       cmdWaitOutput(func(p *process) *output { return &p.stderr }),
			"wait-stdout":       cmdWaitOutput(func(p *process) *output { return &p.stdout }),
			"wait-ready":        cmdWaitReady,
			"wait-generation":   cmdWaitGeneration,
			"wait-drift":        cmdWaitDrift,
			"wait-inflight":     cmdWaitInflight,
			"http":              cmdHTTP,
			"http-times":        cmdHTTPTimes,
			"http-start":        cmdHTTPStart,
			"http-wait":         cmdHTTPWait,
			"poke":              cmdPoke,
			"freeport":          cmdFreeport,
			"occupy":            cmdOccupy,
			"json":              cmdJSON,
			"jsonlines":         cmdJSONLines,
			"has-pid":           cmdHasPID,
			"private":           cmdPrivate,
			"program":           cmdProgram,
			"wait-process":      cmdWaitProcess,
			"wait-replaced":     cmdWaitReplaced,
			"wait-draining":     cmdWaitDraining,
			"hold-start":        cmdHoldStart,
			"hold-end":          cmdHoldEnd,
			"traffic-start":     cmdTrafficStart,
			"traffic-stop":      cmdTrafficStop,
			"ticks":             cmdTicks,
		},
	})
}
