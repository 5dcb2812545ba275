// Package instance wires one running app together: the app, its public
// listener, the admin listener with console and metrics, and the files that tell
// the CLI where to find it. `theseus run` and `theseus demo` are both a thin
// layer over [Start].
package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/admin/console"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/observe"
	"github.com/theseus-run/theseus/script/workflow"
	"github.com/theseus-run/theseus/upgrade"
)

// Options configure [Start].
type Options struct {
	App app.Options // Engines, Observer and Events are filled in

	// Listen and Admin override the manifest's addresses. "off" turns the admin
	// listener off.
	Listen, Admin string

	// Version of the program.
	Version string

	Events *app.Events

	// Process lets the running program be replaced while it serves. Nil serves
	// as one process from beginning to end.
	Process *Process
}

// An Instance is a running app with its listeners.
type Instance struct {
	App      *app.App
	URL      string // of the app; "" when it listens on a Unix socket
	AdminURL string // "" when there is no admin listener
	Token    string

	dir    string // where .theseus lies
	log    *slog.Logger
	public *http.Server
	admin  *admin.Server

	process   *Process         // nil if the program cannot be replaced
	calls     *http.Server     // of the admin API, where process is set
	discovery *admin.Discovery // to be left for the CLI, where process is set

	word   sync.Mutex // guards what follows, and the discovery file
	served bool       // the process has been the service, where process is set
	gone   bool       // and is not any more

	stop   context.CancelFunc
	wg     sync.WaitGroup
	failed chan error
	once   sync.Once
}

// Start opens the app at path and serves it. The errors are those of
// [app.Open] and *[ListenError]. With a Process that another one has started it
// returns when that lets this one serve; an error, which it is told, then means
// that this one must end.
func Start(ctx context.Context, path string, opt Options) (*Instance, error) {
	in, err := start(ctx, path, opt)
	if err != nil && opt.Process != nil {
		_ = opt.Process.up.Refuse(err)
	}
	return in, err
}

func start(ctx context.Context, path string, opt Options) (*Instance, error) {
	in := &Instance{log: opt.App.Log, failed: make(chan error, 2), dir: DiscoveryDir(path), process: opt.Process}
	if in.log == nil {
		in.log = slog.New(slog.DiscardHandler)
	}
	if opt.Events == nil {
		opt.Events = &app.Events{}
	}
	metrics := observe.New(nil, observe.Build{Version: opt.Version})
	opt.App.Engines, opt.App.Observer, opt.App.Events, opt.App.Version = engines.All(), metrics, opt.Events, opt.Version
	if p := in.process; p != nil {
		opt.App.Standby = p.Inherited()
	}
	a, err := app.Open(ctx, path, opt.App)
	if err != nil {
		return nil, err
	}
	metrics.Attach(a)
	in.App = a
	if err = in.listen(ctx, opt, metrics); err == nil {
		err = in.ready(ctx, opt.Events, metrics)
	}
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, in.giveUp(closing))
	}
	if in.dir == path && !opt.App.Standby { // a single script has no YAML to edit
		in.writeSchemas()
	}
	return in, nil
}

// ready waits until the process may serve.
func (in *Instance) ready(ctx context.Context, events *app.Events, metrics *observe.Metrics) error {
	p := in.process
	if p == nil {
		return nil
	}
	metrics.Upgraded(p.up.Generation())
	in.App.SetProcess(p.info)
	p.provide(in.App, in.Token)
	p.attach(func(e upgrade.Event) { in.onEvent(e, events, metrics) })
	return p.up.Ready(ctx)
}

// giveUp ends an instance that never served. The sockets that another process
// handed over, and their files, stay that one's.
func (in *Instance) giveUp(ctx context.Context) error {
	if in.process == nil || !in.process.Inherited() {
		return in.Close(ctx)
	}
	return in.App.Close(ctx)
}

// DiscoveryDir returns the directory in whose .theseus the instance that runs
// the app at path leaves word of itself: the app's own, and for a single script
// one beside it, as several scripts of a folder may run at once.
func DiscoveryDir(path string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return filepath.Join(filepath.Dir(path), ".theseus", filepath.Base(path))
	}
	return path
}

// listen opens the listeners and starts to serve.
func (in *Instance) listen(ctx context.Context, opt Options, metrics *observe.Metrics) error {
	address := first(opt.Listen, in.App.ListenAddress())
	l, err := in.open(ctx, "app", address)
	if err != nil {
		return err
	}
	if l.Addr().Network() == "tcp" {
		in.URL = "http://" + browsable(l.Addr().String())
	}
	in.public = &http.Server{
		Handler:           in.App,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute, // streams set their own, message by message
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(in.log.Handler(), slog.LevelWarn),
	}
	if ul, ok := l.(*upgrade.Listener); ok {
		in.process.up.Serve(in.public, ul)
	} else {
		in.wg.Go(func() {
			if err := in.public.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				in.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		})
	}
	adminAddress := first(opt.Admin, in.App.AdminAddress())
	if adminAddress != "off" {
		if err := in.listenAdmin(ctx, adminAddress, opt, metrics); err != nil {
			return err
		}
	}
	shown := l.Addr().String()
	if l.Addr().Network() == "unix" {
		shown = "unix:" + shown
	}
	in.App.SetListen([]string{shown}, in.AdminURL)
	return nil
}

// listenAdmin serves the admin API on TCP and on the Unix socket in .theseus,
// and leaves the discovery file for the CLI.
func (in *Instance) listenAdmin(ctx context.Context, address string, opt Options, metrics *observe.Metrics) error {
	l, err := in.open(ctx, "admin", address)
	if err != nil {
		return err
	}
	if err := in.setToken(); err != nil {
		return err
	}
	d := admin.Discovery{Token: in.Token, PID: os.Getpid()}
	if l.Addr().Network() == "tcp" {
		in.AdminURL = "http://" + browsable(l.Addr().String())
		d.URL = in.AdminURL
	}
	listeners, trusted := []net.Listener{l}, []string{}
	socket, err := filepath.Abs(filepath.Join(in.dir, ".theseus", "admin.sock"))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(socket), 0o700)
	}
	if err == nil && runtime.GOOS != "windows" && len(socket) < 100 { // sun_path holds 104 bytes on the smallest
		if u, trust, err := in.openSocket(ctx, socket); err == nil {
			listeners = append(listeners, u)
			trusted = append(trusted, trust)
			d.Socket = socket
		} else {
			in.log.Warn("no admin socket; the TCP listener serves", "error", err)
		}
	}
	ao := admin.Options{Token: in.Token, Version: opt.Version, Metrics: metrics.Handler(), Console: console.Handler(), Log: in.log}
	if in.process != nil {
		ao.Upgrade = in.process.upgrade
		in.admin, in.discovery = admin.New(in.App, ao), &d
		in.serveAdmin(listeners, trusted)
		return nil
	}
	in.admin = admin.New(in.App, ao)
	ctx, in.stop = context.WithCancel(context.WithoutCancel(ctx))
	in.wg.Go(func() {
		if err := in.admin.Serve(ctx, listeners...); err != nil {
			in.failed <- fmt.Errorf("serve admin: %w", err)
		}
	})
	if err := admin.WriteDiscovery(in.dir, d); err != nil {
		in.log.Warn("the CLI will not find this instance by itself", "error", err)
	}
	return nil
}

// open returns a listener, the one handed over where there is one.
func (in *Instance) open(ctx context.Context, name, address string) (net.Listener, error) {
	if in.process == nil {
		return Listen(address)
	}
	return in.process.open(ctx, name, address)
}

// openSocket returns the admin API's Unix socket, and the address to trust.
func (in *Instance) openSocket(ctx context.Context, path string) (net.Listener, string, error) {
	if in.process == nil {
		l, err := admin.ListenUnix(path)
		return l, "", err
	}
	l, bound, err := in.process.openOwned(ctx, path)
	return l, bound, err
}

// setToken takes the token over from the process before, or makes one.
func (in *Instance) setToken() error {
	in.Token = admin.NewToken()
	if in.process == nil {
		return nil
	}
	token, err := in.process.received(tokenState, tokenVersion)
	if len(token) > 0 {
		in.Token = string(token)
	}
	return err
}

// serveAdmin serves the admin API on listeners that can be handed over.
func (in *Instance) serveAdmin(listeners []net.Listener, trusted []string) {
	if l := listeners[0]; l.Addr().Network() == "unix" && admin.OwnerOnly(l.Addr().String()) == nil {
		trusted = append(trusted, l.Addr().String())
	}
	in.calls = in.admin.HTTPServer(trusted...)
	for _, l := range listeners {
		in.process.up.Serve(in.calls, l.(*upgrade.Listener))
	}
}

// Replaced is closed when another process has become the service, and this one is
// to be closed; nil if that cannot be.
func (in *Instance) Replaced() <-chan struct{} {
	if in.process == nil {
		return nil
	}
	return in.process.Replaced()
}

// Upgrade replaces the running process, which was sent SIGUSR2, by what is now in
// the file that it was started from; see [admin.Options].
func (in *Instance) Upgrade(ctx context.Context) error {
	if in.process == nil {
		return errors.ErrUnsupported
	}
	_, err := in.process.upgrade(ctx, admin.UpgradeRequest{Who: "SIGUSR2"})
	return err
}

// Failed delivers an error when a listener stops by itself.
func (in *Instance) Failed() <-chan error {
	if in.process != nil {
		return in.process.up.Failed()
	}
	return in.failed
}

// ConsoleURL is the console's address with the token that opens it.
func (in *Instance) ConsoleURL() string {
	if in.AdminURL == "" {
		return ""
	}
	return in.AdminURL + "/#t=" + in.Token
}

// Close drains and ends the instance: the listener closes, streams end, what
// is in flight may go on until ctx ends. It may be called twice. Where another
// process has taken over, connections go on there.
func (in *Instance) Close(ctx context.Context) error {
	var err error
	in.once.Do(func() {
		in.App.Drain()
		if in.process != nil {
			err = in.closeProcess(ctx)
			return
		}
		if in.public != nil {
			if e := in.public.Shutdown(ctx); e != nil {
				_ = in.public.Close()
				err = fmt.Errorf("requests were still running at the drain deadline: %w", e)
			}
		}
		err = errors.Join(err, in.App.Close(ctx))
		if in.stop != nil {
			in.stop()
			_ = in.admin.Close()
			_ = admin.RemoveDiscovery(in.dir, os.Getpid())
		}
		in.wg.Wait()
	})
	return err
}

// closeProcess is Close where the program can be replaced.
func (in *Instance) closeProcess(ctx context.Context) error {
	if in.admin != nil {
		in.admin.Drain()
	}
	err := in.process.up.Shutdown(ctx)
	if ctx.Err() != nil {
		err = fmt.Errorf("requests were still running at the drain deadline: %w", context.Cause(ctx))
		for _, srv := range []*http.Server{in.public, in.calls} {
			if srv != nil {
				_ = srv.Close()
			}
		}
	}
	err = errors.Join(err, in.App.Close(ctx))
	if in.admin != nil {
		_ = in.admin.Close()
	}
	in.takeBack()
	in.wg.Wait()
	return err
}

// writeSchemas leaves the JSON Schemas where editors look for them. Failing to
// is no reason not to serve.
func (in *Instance) writeSchemas() {
	dir := filepath.Join(in.dir, ".theseus", "schema")
	for name, text := range map[string][]byte{"app.json": manifest.Schema(), "workflow.json": workflow.Schema(), "tests.json": manifest.TestSchema()} {
		file := filepath.Join(dir, name)
		if old, err := os.ReadFile(file); err == nil && string(old) == string(text) {
			continue
		}
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, text, 0o644)); err != nil {
			in.log.Debug("schema for editors not written", "error", err)
		}
	}
}

// A ListenError says why an address cannot be listened on.
type ListenError struct {
	Address string
	Hint    string
	Err     error
}

func (e *ListenError) Error() string { return "listen on " + e.Address + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen opens "host:port" or "unix:path".
func Listen(address string) (net.Listener, error) {
	network, addr := split(address)
	if network == "unix" {
		if err := removeDead(address, addr); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen(network, addr)
	if err == nil {
		return l, nil
	}
	return nil, listenError(address, err)
}

// split returns network and address of "host:port" or "unix:path".
func split(address string) (network, addr string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// removeDead removes a Unix socket that nobody answers on.
func removeDead(address, path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
		return nil
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return answered(address)
	}
	_ = os.Remove(path)
	return nil
}

// answered is the error for a Unix socket that somebody listens on.
func answered(address string) error {
	return &ListenError{Address: address, Hint: "another process answers there; stop it or use another path", Err: syscall.EADDRINUSE}
}

// listenError gives an error of listening its hint.
func listenError(address string, err error) error {
	le := &ListenError{Address: address, Err: err}
	if oe, ok := errors.AsType[*net.OpError](err); ok {
		le.Err = oe.Err
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		le.Hint = "another process listens there; stop it, or choose another address with --listen or --admin"
	case errors.Is(err, syscall.EACCES):
		le.Hint = "ports below 1024 need a privilege; choose a higher one with --listen"
	default:
		le.Hint = "an address is host:port or unix:path"
	}
	return le
}

// browsable turns a listener's address into one that a browser can open.
func browsable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
