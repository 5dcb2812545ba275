//go:build unix

package cli_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
)

// status asks the instance that runs dir.
func status(ts *testscript.TestScript, dir string) (app.Status, admin.Discovery, error) {
	d, err := admin.ReadDiscovery(instance.DiscoveryDir(ts.MkAbs(dir)))
	if err != nil {
		return app.Status{}, d, err
	}
	client, err := admin.Dial(d.Target())
	if err != nil {
		return app.Status{}, d, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := client.GetStatus(ctx, connect.NewRequest(&adminv1.GetStatusRequest{}))
	if err != nil {
		return app.Status{}, d, err
	}
	return admin.StatusFrom(r.Msg.GetStatus()), d, nil
}

// untilStatus polls the status of the instance that runs dir.
func untilStatus(ts *testscript.TestScript, dir, what string, ok func(app.Status) (bool, string)) {
	until(ts, what, func() (bool, string) {
		s, _, err := status(ts, dir)
		if err != nil {
			return false, err.Error()
		}
		return ok(s)
	})
}

// dirOf returns the argument at i, or "app".
func dirOf(args []string, i int) string {
	if len(args) > i {
		return args[i]
	}
	return "app"
}

func cmdWaitReady(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) <= 1, "wait-ready [DIR]")
	until(ts, "an instance in "+dirOf(args, 0), func() (bool, string) {
		s, d, err := status(ts, dirOf(args, 0))
		if err != nil {
			return false, err.Error()
		}
		if len(s.Listen) == 0 || !s.Ready {
			return false, "not ready"
		}
		ts.Setenv("APP", "http://"+s.Listen[0])
		ts.Setenv("ADMIN", d.URL)
		ts.Setenv("TOKEN", d.Token)
		ts.Setenv("PID", strconv.Itoa(d.PID))
		return true, ""
	})
}

func cmdWaitGeneration(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 1, "wait-generation N [DIR]")
	untilStatus(ts, dirOf(args, 1), "generation "+args[0], func(s app.Status) (bool, string) {
		return strconv.Itoa(s.Live.Number) == args[0], fmt.Sprintf("generation %d, disk: %s", s.Live.Number, s.Staged.Error)
	})
}

func cmdWaitDrift(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 1, "wait-drift true|false [DIR]")
	untilStatus(ts, dirOf(args, 1), "drift "+args[0], func(s app.Status) (bool, string) {
		settled := s.State == app.StateIdle // while a change is applied it is drift too
		return settled && strconv.FormatBool(s.Drift) == args[0], fmt.Sprintf("drift %t %s, %s", s.Drift, s.DriftWhy, s.State)
	})
}

func cmdWaitInflight(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 1, "wait-inflight N [DIR]")
	untilStatus(ts, dirOf(args, 1), args[0]+" requests in flight", func(s app.Status) (bool, string) {
		return strconv.FormatInt(s.Live.Inflight, 10) == args[0], fmt.Sprint(s.Live.Inflight)
	})
}

func cmdHasPID(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "has-pid FILE")
	if pid := ts.Getenv("PID"); pid == "" || !strings.Contains(ts.ReadFile(args[0]), "process "+pid) {
		ts.Fatalf("%s does not name process %s", args[0], pid)
	}
}

func cmdPrivate(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "private FILE")
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if info.Mode().Perm()&0o077 != 0 {
		ts.Fatalf("%s has mode %s", args[0], info.Mode())
	}
}
