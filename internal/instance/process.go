package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/upgrade"
)

// A Process is what an instance needs to be replaced by that of another program
// while it serves. There is one per operating system process; make it with
// [NewProcess], before anything else, and give it to [Start].
type Process struct {
	up       *upgrade.Upgrader
	replaced chan struct{}           // closed when another process is the service
	app      atomic.Pointer[app.App] // nil before it is provided

	mu     sync.Mutex
	early  []upgrade.Event     // what happened before somebody listened
	listen func(upgrade.Event) // nil before
	checks []chan struct{}     // closed when the program of the upgrade under way has passed its checks
}

// NewProcess takes over what a process before this one hands on, if there is one.
// The drain is limited by the instance, so that opt.DrainTimeout, if not set, is
// a day. See [upgrade.New] for the errors.
func NewProcess(opt upgrade.Options) (*Process, error) {
	p := &Process{replaced: make(chan struct{})}
	if opt.DrainTimeout == 0 {
		opt.DrainTimeout = 24 * time.Hour
	}
	if opt.Log != nil {
		opt.Log = slog.New(withoutEvents{opt.Log.Handler()})
	}
	opt.Accept = p.accept
	opt.Excused = p.excused
	opt.Permit = func(ctx context.Context, _ upgrade.Release) error {
		if a := p.app.Load(); a != nil {
			return a.PermitProgram(ctx)
		}
		return nil
	}
	next := opt.OnEvent
	opt.OnEvent = func(e upgrade.Event) {
		p.onEvent(e)
		if next != nil {
			next(e)
		}
	}
	var err error
	p.up, err = upgrade.New(opt)
	return p, err
}

// excused reports whether errors are those of a generation of the app that is on trial
// itself: the app looks after that, once this process has proved itself.
func (p *Process) excused(*http.Request) bool {
	a := p.app.Load()
	return a != nil && a.OnTrial()
}

// withoutEvents leaves out the lines about events, in which "generation" is that
// of the process: the instance writes its own, where it is that of the app.
type withoutEvents struct{ slog.Handler }

// Handle implements slog.Handler.
func (h withoutEvents) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "upgrade: ") {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// Inherited reports whether the process was started by an upgrade.
func (p *Process) Inherited() bool { return p.up.Inherited() }

// Replaced is closed when another process has become the service: this one is to
// be closed.
func (p *Process) Replaced() <-chan struct{} { return p.replaced }

// isReplaced reports whether Replaced is closed.
func (p *Process) isReplaced() bool {
	select {
	case <-p.replaced:
		return true
	default:
		return false
	}
}

// onEvent passes an event on. The upgrader calls it once at a time.
func (p *Process) onEvent(e upgrade.Event) {
	p.mu.Lock()
	if e.Name == "step" {
		for _, c := range p.checks {
			close(c)
		}
		p.checks = nil
	}
	listen := p.listen
	if listen == nil {
		p.early = append(p.early, e)
	}
	p.mu.Unlock()
	if e.Name == "committed" {
		close(p.replaced)
	}
	if listen != nil {
		listen(e)
	}
}

// attach sends events to f, beginning with those that happened before.
func (p *Process) attach(f func(upgrade.Event)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.early {
		f(e)
	}
	p.early, p.listen = nil, f
}

// The state that is handed over, and the version of its format.
const tokenState, tokenVersion = "admin-token", 1

// received returns a state that the process before handed over, nil for none.
func (p *Process) received(name string, version int) ([]byte, error) {
	b, ok := p.up.ReceivedState(name)
	if !ok {
		return nil, nil
	}
	if b.Version != version {
		return nil, fmt.Errorf("the state %s handed over has version %d; this program reads %d", name, b.Version, version)
	}
	return b.Data, nil
}

// provide hands the token to whoever follows. The data of scripts is on disk.
func (p *Process) provide(a *app.App, token string) {
	p.app.Store(a)
	p.up.ProvideState(tokenState, tokenVersion, func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, token)
		return err
	})
	p.up.Singleton("app", single{a})
}

// whoKey is for the name of who asked for an upgrade, in its context.
type whoKey struct{}

// accept asks the app whether a program may take over.
func (p *Process) accept(ctx context.Context, r upgrade.Release, force bool) error {
	a := p.app.Load()
	if a == nil {
		return errors.New("this process has no app yet")
	}
	who, ok := ctx.Value(whoKey{}).(string)
	if !ok {
		who = "rendezvous"
	}
	return a.AcceptProgram(app.Program{Version: r.Version, Digest: r.Digest, Counter: r.Counter}, who, force)
}

// single makes an app a [upgrade.Singleton]: its history and its schedule.
type single struct{ app *app.App }

// Acquire implements upgrade.Singleton.
func (s single) Acquire(ctx context.Context, state []byte) error { return s.app.Activate(ctx, state) }

// Release implements upgrade.Singleton.
func (s single) Release(ctx context.Context) ([]byte, error) { return s.app.Suspend(ctx) }

// open returns the listener of that name, the one handed over where it is of the
// same address.
func (p *Process) open(ctx context.Context, name, address string) (net.Listener, error) {
	network, addr := split(address)
	l, err := p.up.ListenNamed(ctx, name, network, addr, net.ListenConfig{})
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) {
		return nil, answered(address)
	}
	if err != nil {
		return nil, listenError(address, err)
	}
	return l, nil
}

// openOwned returns the Unix socket at path that only its owner may open, and the
// address that it was bound to: in a directory of mode 0700, from where a new one
// is moved to path once its mode is right.
func (p *Process) openOwned(ctx context.Context, path string) (l *upgrade.Listener, bound string, err error) {
	dir := filepath.Join(filepath.Dir(path), ".s")
	bound = filepath.Join(dir, "s")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)); err != nil {
		return nil, "", err
	}
	_ = os.Remove(bound) // of a start that was cut short
	if l, err = p.up.ListenNamed(ctx, "admin.sock", "unix", bound, net.ListenConfig{}); err != nil {
		return nil, "", err
	}
	if _, err := os.Lstat(bound); err == nil { // a new one
		err = admin.OwnUnix(bound, path)
		if err != nil {
			l.Close()
			return nil, "", err
		}
	}
	if err := admin.OwnerOnly(path); err != nil {
		l.Close()
		return nil, "", err
	}
	return l, bound, nil
}

// upgrade replaces the process; see [admin.Options].
func (p *Process) upgrade(ctx context.Context, r admin.UpgradeRequest) (admin.Upgrade, error) {
	ctx = context.WithValue(ctx, whoKey{}, r.Who)
	type outcome struct {
		report *upgrade.Report
		err    error
	}
	var passed chan struct{}
	if r.NoWait {
		passed = make(chan struct{})
		p.mu.Lock()
		p.checks = append(p.checks, passed)
		p.mu.Unlock()
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := p.up.Upgrade(ctx, upgrade.Request{Path: r.Path, Force: r.Force})
		done <- outcome{report, err}
	}()
	select {
	case o := <-done:
		return p.verdict(o.report, o.err)
	case <-passed:
		return admin.Upgrade{Generation: p.up.Generation() + 1, Path: r.Path}, nil
	}
}

// verdict turns an outcome into that of the admin API.
func (p *Process) verdict(report *upgrade.Report, err error) (admin.Upgrade, error) {
	if err != nil {
		return admin.Upgrade{}, upgradeError(err)
	}
	u := admin.Upgrade{PID: report.PID, Generation: p.up.Generation() + 1, Path: report.Release.Path, Version: report.Release.Version,
		Digest: report.Release.Digest, Serving: report.Serving, Took: report.Took}
	for _, s := range report.Steps {
		u.Steps = append(u.Steps, app.Phase{Name: s.Name, Duration: s.Took})
	}
	return u, nil
}

func upgradeError(err error) error {
	if e, ok := errors.AsType[*upgrade.RejectedError](err); ok {
		return &admin.UpgradeError{Step: "check", Remembered: true, Reason: e.Error()}
	}
	if e, ok := errors.AsType[*upgrade.FailedError](err); ok {
		return &admin.UpgradeError{Step: e.Step, RolledBack: e.RolledBack, Reason: e.Error()}
	}
	if errors.Is(err, upgrade.ErrUnsupported) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", admin.ErrBusy, err)
}

// info is what the status tells of the process.
func (p *Process) info() app.ProcessInfo {
	s := p.up.Status()
	info := app.ProcessInfo{Generation: s.Generation, State: string(s.State)}
	for _, d := range s.Draining {
		o := app.OldProcess{PID: d.PID, Generation: d.Generation, Since: d.Since, Inflight: d.Inflight}
		for _, n := range d.Connections {
			o.Connections += n
		}
		info.Draining = append(info.Draining, o)
	}
	return info
}
