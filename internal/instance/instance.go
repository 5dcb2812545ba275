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
	stop   context.CancelFunc
	wg     sync.WaitGroup
	failed chan error
	once   sync.Once
}

// Start opens the app at path and serves it. The errors are those of
// [app.Open] and *[ListenError].
func Start(ctx context.Context, path string, opt Options) (*Instance, error) {
	in := &Instance{log: opt.App.Log, failed: make(chan error, 2), dir: DiscoveryDir(path)}
	if in.log == nil {
		in.log = slog.New(slog.DiscardHandler)
	}
	if opt.Events == nil {
		opt.Events = &app.Events{}
	}
	metrics := observe.New(nil, observe.Build{Version: opt.Version})
	opt.App.Engines, opt.App.Observer, opt.App.Events, opt.App.Version = engines.All(), metrics, opt.Events, opt.Version
	a, err := app.Open(ctx, path, opt.App)
	if err != nil {
		return nil, err
	}
	metrics.Attach(a)
	in.App = a
	if err := in.listen(ctx, opt, metrics); err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, in.Close(closing))
	}
	if in.dir == path { // a single script has no YAML to edit
		in.writeSchemas()
	}
	return in, nil
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
	l, err := Listen(address)
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
	in.wg.Go(func() {
		if err := in.public.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			in.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	})
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
	l, err := Listen(address)
	if err != nil {
		return err
	}
	in.Token = admin.NewToken()
	d := admin.Discovery{Token: in.Token, PID: os.Getpid()}
	if l.Addr().Network() == "tcp" {
		in.AdminURL = "http://" + browsable(l.Addr().String())
		d.URL = in.AdminURL
	}
	listeners := []net.Listener{l}
	socket, err := filepath.Abs(filepath.Join(in.dir, ".theseus", "admin.sock"))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(socket), 0o700)
	}
	if err == nil && runtime.GOOS != "windows" && len(socket) < 100 { // sun_path holds 104 bytes on the smallest
		if u, err := admin.ListenUnix(socket); err == nil {
			listeners = append(listeners, u)
			d.Socket = socket
		} else {
			in.log.Warn("no admin socket; the TCP listener serves", "error", err)
		}
	}
	in.admin = admin.New(in.App, admin.Options{Token: in.Token, Version: opt.Version, Metrics: metrics.Handler(), Console: console.Handler(), Log: in.log})
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

// Failed delivers an error when a listener stops by itself.
func (in *Instance) Failed() <-chan error { return in.failed }

// ConsoleURL is the console's address with the token that opens it.
func (in *Instance) ConsoleURL() string {
	if in.AdminURL == "" {
		return ""
	}
	return in.AdminURL + "/#t=" + in.Token
}

// Close drains and ends the instance: the listener closes, streams end, what
// is in flight may go on until ctx ends. It may be called twice.
func (in *Instance) Close(ctx context.Context) error {
	var err error
	in.once.Do(func() {
		in.App.Drain()
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
	network, addr := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, addr = "unix", path
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
			if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
				c.Close()
				return nil, &ListenError{Address: address, Hint: "another process answers there; stop it or use another path", Err: syscall.EADDRINUSE}
			}
			_ = os.Remove(path)
		}
	}
	l, err := net.Listen(network, addr)
	if err == nil {
		return l, nil
	}
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
	return nil, le
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
