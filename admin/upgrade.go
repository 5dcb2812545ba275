package admin

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// An UpgradeRequest says how the running process is to be replaced.
type UpgradeRequest struct {
	Path   string // absolute; empty means the file that the process was started from
	Force  bool   // start a program that was rolled back before
	Who    string // asks for it, for the history
	NoWait bool   // return once the program has passed its checks
}

// An Upgrade is what became of one that went well.
type Upgrade struct {
	PID        int           `json:"pid"`        // of the new process; 0 when it was not waited for
	Generation int           `json:"generation"` // of the new process
	Path       string        `json:"path"`
	Version    string        `json:"version,omitempty"`
	Digest     string        `json:"digest,omitempty"` // SHA-256 in hex
	Steps      []app.Phase   `json:"steps"`
	Serving    time.Duration `json:"serving_ns"` // from the request until the new process accepted
	Took       time.Duration `json:"took_ns"`    // with the probation
}

// An UpgradeError says why the process was not replaced; it serves on.
type UpgradeError struct {
	Step       string // as in Upgrade.Steps
	RolledBack bool   // the new process had served already
	Remembered bool   // it was rolled back before, and not tried again
	Reason     string
}

func (e *UpgradeError) Error() string { return e.Reason }

// ErrBusy is wrapped by errors of Options.Upgrade about an upgrade, or a drain,
// that is under way.
var ErrBusy = errors.New("the process is being replaced")

// Upgrade implements the RPC.
func (v *service) Upgrade(ctx context.Context, r *connect.Request[adminv1.UpgradeRequest]) (*connect.Response[adminv1.UpgradeResponse], error) {
	if v.s.opt.Upgrade == nil {
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("this process cannot be replaced: start it with `theseus run`, on a system other than Windows"))
	}
	path := r.Msg.GetPath()
	switch {
	case path != "" && !ownerConn(ctx):
		return nil, connect.NewError(connect.CodePermissionDenied,
			errors.New("a program can be named over the Unix socket of the admin API only: run `theseus upgrade` on that machine, or replace the file and name none"))
	case path != "" && !filepath.IsAbs(path):
		return nil, invalid("path %q is not absolute", path)
	}
	who := caller(ctx, r.Peer())
	v.s.log.Info("upgrade asked for", "who", who, "path", path, "force", r.Msg.GetForce())
	// Like an update, it goes on when its caller goes away.
	u, err := v.s.opt.Upgrade(context.WithoutCancel(ctx), UpgradeRequest{Path: path, Force: r.Msg.GetForce(), NoWait: r.Msg.GetNoWait(), Who: who})
	if err != nil {
		return nil, v.s.rpcError(err)
	}
	return connect.NewResponse(&adminv1.UpgradeResponse{Upgrade: upgradeProto(u)}), nil
}

func upgradeProto(u Upgrade) *adminv1.Upgrade {
	return &adminv1.Upgrade{
		Pid: int64(u.PID), Generation: i32(u.Generation), Path: valid(u.Path), Version: valid(u.Version), Digest: valid(u.Digest),
		Steps: each(u.Steps, phaseProto), Serving: span(u.Serving), Took: span(u.Took),
	}
}

// UpgradeFrom returns the upgrade in a message.
func UpgradeFrom(m *adminv1.Upgrade) Upgrade {
	return Upgrade{
		PID: int(m.GetPid()), Generation: int(m.GetGeneration()), Path: m.GetPath(), Version: m.GetVersion(), Digest: m.GetDigest(),
		Steps: each(m.GetSteps(), func(p *adminv1.Phase) app.Phase {
			return app.Phase{Name: p.GetName(), Duration: p.GetDuration().AsDuration()}
		}),
		Serving: m.GetServing().AsDuration(), Took: m.GetTook().AsDuration(),
	}
}

// UpgradeErrorOf returns why the process was not replaced, if that is what err, as
// a client got it, says.
func UpgradeErrorOf(err error) (*UpgradeError, bool) {
	m, ok := detail[*adminv1.UpgradeFailure](err)
	if !ok {
		return nil, false
	}
	return &UpgradeError{Step: m.GetStep(), RolledBack: m.GetRolledBack(), Remembered: m.GetRemembered(), Reason: m.GetReason()}, true
}

// processProto leaves what is not known unset.
func processProto(p *app.ProcessInfo) *adminv1.Process {
	if p == nil {
		return nil
	}
	return &adminv1.Process{Generation: i32(p.Generation), State: valid(p.State), Draining: each(p.Draining, func(o app.OldProcess) *adminv1.OldProcess {
		return &adminv1.OldProcess{Pid: int64(o.PID), Generation: i32(o.Generation), Since: stamp(o.Since), Inflight: o.Inflight, Connections: i32(o.Connections)}
	})}
}

func processFrom(m *adminv1.Process) *app.ProcessInfo {
	if m == nil {
		return nil
	}
	return &app.ProcessInfo{Generation: int(m.GetGeneration()), State: m.GetState(), Draining: each(m.GetDraining(), func(o *adminv1.OldProcess) app.OldProcess {
		return app.OldProcess{PID: int(o.GetPid()), Generation: int(o.GetGeneration()), Since: timeFrom(o.GetSince()), Inflight: o.GetInflight(), Connections: int(o.GetConnections())}
	})}
}
