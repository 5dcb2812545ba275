package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/executable"
	"github.com/theseus-run/theseus/internal/marked"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// protocol is the version of the control protocol, and the oldest still spoken.
const (
	protocol    = 1
	protocolMin = 1
)

// A Release says which program a process runs.
type Release struct {
	Digest  string `json:"digest,omitempty"`  // SHA-256 of the executable in hex; empty while not computed
	Version string `json:"version,omitempty"` // of the main module, as the Go command stamped it
	Path    string `json:"path"`
	Counter int64  `json:"counter,omitempty"` // as it says itself; see Options.Counter
}

// A Request says what to upgrade to.
type Request struct {
	// Path is the program to start; empty means that of the options.
	Path string

	// Force starts a program that was rolled back before.
	Force bool
}

// A Report tells what an upgrade did. The service is the new process's.
type Report struct {
	PID     int           `json:"pid"`
	Release Release       `json:"release"`
	Steps   []Step        `json:"steps"`
	Serving time.Duration `json:"serving_ns"`        // from the request until the new process accepted
	Took    time.Duration `json:"took_ns"`           // with the probation
	Dropped []string      `json:"dropped,omitempty"` // sockets that it did not take over
}

// A Step of an upgrade and how long it took.
type Step struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took_ns"`
}

// A RejectedError refuses a program that was rolled back before.
type RejectedError struct {
	Digest string
	Why    string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("the program (sha256 %.12s) was rolled back before: %s; force the upgrade to try it again", e.Digest, e.Why)
}

// A FailedError says at which step an upgrade failed. The process that was asked
// serves on as before.
type FailedError struct {
	Step       string // "check", "start", "hello", "prepare", "ready", "release", "serve", "probation", "commit"
	RolledBack bool   // the new process had served
	Err        error
}

func (e *FailedError) Error() string {
	if e.RolledBack {
		return "rolled back: " + e.Err.Error()
	}
	return "upgrade failed at " + e.Step + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// Upgrade starts the program, lets it serve, and returns when it has outlived its
// probation; from then on this process drains, and [Upgrader.Run] returns when
// that is done. On any error this process is the service as before.
//
// The errors are [ErrInProgress], [ErrProbation], [ErrDraining], [ErrNotServing],
// [ErrUnsupported], [ErrPID1], [ErrSetID], [*RejectedError] and [*FailedError]. Ctx
// ending before the probation has ended gives the upgrade up.
func (u *Upgrader) Upgrade(ctx context.Context, req Request) (*Report, error) {
	return u.upgrade(ctx, &attempt{u: u, req: req})
}

// upgrade carries a out.
func (u *Upgrader) upgrade(ctx context.Context, a *attempt) (*Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.began, a.cancel, a.over = time.Now(), cancel, make(chan struct{})
	if err := u.claimUpgrade(a); err != nil {
		if a.next != nil {
			a.next.dismiss(err)
		}
		return nil, err
	}
	a.claimed = true
	defer close(a.over)
	defer func() { _ = a.file.Close() }() // a nil file says that it is invalid
	a.reloading()
	err := a.run(ctx)
	if err == nil {
		u.succeeded(a)
		return &a.report, nil
	}
	err = a.undo(err, ctx.Err() != nil)
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		return nil, rejected
	}
	return nil, &FailedError{Step: a.step, RolledBack: a.served, Err: err}
}

// claimUpgrade makes a the upgrade under way, if there may be one.
func (u *Upgrader) claimUpgrade(a *attempt) error {
	switch {
	case !supported:
		return ErrUnsupported
	case os.Getpid() == 1 && !u.Supervised():
		return ErrPID1
	case setID():
		return ErrSetID
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return ErrDraining
	}
	switch u.state {
	case Serving:
		u.state, u.since, u.attempt = Upgrading, time.Now(), a
		return nil
	case Starting, Ready:
		return ErrNotServing
	case Probation:
		return ErrProbation
	case Draining, Ended:
		return ErrDraining
	}
	return ErrInProgress
}

// setID reports whether the process has rights of another user than who started it.
func setID() bool { return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() }

// giveUp ends an upgrade under way and waits until that is done or undone.
func (u *Upgrader) giveUp() {
	u.mu.Lock()
	a := u.attempt
	u.mu.Unlock()
	if a != nil {
		a.cancel(errGivenUp)
		<-a.over
	}
}

// errGivenUp is why an upgrade under way ends when the process is told to stop.
var errGivenUp = errors.New("the process was told to stop")

// An attempt is one upgrade under way.
type attempt struct {
	u      *Upgrader
	req    Request
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when all is done, or undone
	began  time.Time
	last   time.Time // when the present step began
	report Report

	guest   *guest // came by itself; nil if the new process is to be started
	claimed bool   // it is the one upgrade that there may be
	step    string
	next    *successor
	mark    string            // in the environment of what the successor starts; empty before the start
	file    *os.File          // of the program
	hashing *hashing          // of that, under way; nil if none is
	states  map[string][]byte // of the singletons, which are released; nil before
	frozen  bool              // the pools are
	ours    bool              // what went wrong is not the new program's doing
	given   bool              // the new process may have something of this one
	ordered bool              // it may serve as soon as it is ready
	served  bool              // it has been let loose
}

// begin notes the step that follows.
func (a *attempt) begin(step string) {
	a.u.opt.point("before " + step)
	a.step, a.last = step, time.Now()
}

func (a *attempt) done() {
	s := Step{a.step, time.Since(a.last)}
	a.report.Steps = append(a.report.Steps, s)
	a.u.emit(Event{Name: "step", Step: s.Name, Took: s.Took, Peer: a.pid()})
	a.u.opt.point("after " + a.step)
}

func (a *attempt) pid() int {
	if a.next == nil {
		return 0
	}
	return a.next.pid
}

func (a *attempt) run(ctx context.Context) error {
	a.begin("check")
	if err := a.check(ctx); err != nil {
		return err
	}
	if a.u.opt.Permit != nil {
		if err := a.u.opt.Permit(ctx, a.report.Release); err != nil {
			a.ours = true
			return err
		}
	}
	a.done()
	starting, cancel := context.WithTimeoutCause(ctx, a.u.opt.ReadyTimeout, fmt.Errorf("not ready within %s", a.u.opt.ReadyTimeout))
	defer cancel()
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"start", a.start},
		{"hello", a.hello},
		{"prepare", a.prepare},
		{"ready", a.ready},
		{"release", a.release},
		{"serve", a.serve},
	} {
		a.begin(s.name)
		if err := s.do(starting); err != nil {
			return err
		}
		a.done()
	}
	a.report.Serving = time.Since(a.began)
	if a.file != nil && a.report.Release.Digest == "" {
		a.hashing = startHashing(a.file)
	}
	a.begin("probation")
	if err := a.probation(ctx); err != nil {
		return err
	}
	a.done()
	if err := a.identify(); err != nil {
		a.u.opt.Log.Warn("the program that serves now could not be read: it has no digest", "error", err)
	}
	a.next.release = a.report.Release
	a.begin("commit")
	if err := a.commit(ctx); err != nil {
		return err
	}
	a.done()
	return nil
}

// check looks at the file before it is run.
func (a *attempt) check(ctx context.Context) error {
	if a.guest != nil {
		return a.checkGuest()
	}
	path := a.u.path
	if a.req.Path != "" {
		var err error
		if path, err = executable.Find(a.req.Path); err != nil {
			return err
		}
	}
	a.report.Release = Release{Path: path}
	if err := executable.Check(path); err != nil {
		return err
	}
	if len(a.u.opt.CheckArgs) > 0 {
		if err := a.u.dryRun(ctx, path); err != nil {
			return err
		}
	}
	a.u.makeRoom()
	var err error
	if a.file, err = os.Open(path); err != nil {
		return err
	}
	return a.admit()
}

// admit refuses a program that was rolled back.
func (a *attempt) admit() error {
	if a.req.Force || !a.u.anyRejected() {
		return nil // hashing can wait until the new process serves
	}
	if err := a.identify(); err != nil {
		return err
	}
	return a.u.admit(a.report.Release.Digest)
}

// identify computes the digest of the file that is started.
func (a *attempt) identify() (err error) {
	if a.file == nil {
		return errNoProgram
	}
	if a.report.Release.Digest != "" {
		return nil
	}
	if h := a.hashing; h != nil {
		a.hashing = nil
		a.report.Release.Digest, err = h.wait()
		return err
	}
	a.report.Release.Digest, err = digest(a.file, nil)
	return err
}

// same reports an error if the program that runs is not the file that was checked:
// it may have been replaced in between. Of a script the interpreter runs.
func (a *attempt) same() error {
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", a.next.pid))
	if err != nil {
		return nil // the system does not tell
	}
	head := make([]byte, 2)
	if n, _ := a.file.ReadAt(head, 0); string(head[:n]) == "#!" {
		return nil
	}
	checked, err := a.file.Stat()
	if err == nil && !os.SameFile(checked, running) {
		err = fmt.Errorf("%s was replaced while it was started; upgrade again", a.report.Release.Path)
	}
	return err
}

// errNoProgram means that an attempt did not come to the point of opening a file.
var errNoProgram = errors.New("no program")

// admit refuses a program that was rolled back.
func (u *Upgrader) admit(digest string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if why, bad := u.rejected[digest]; bad {
		return &RejectedError{Digest: digest, Why: why}
	}
	return nil
}

func (a *attempt) start(ctx context.Context) error {
	if a.guest != nil {
		return nil
	}
	a.mark = marked.New()
	next, err := a.u.start(ctx, a.report.Release.Path, a.mark)
	if err != nil {
		return err
	}
	a.next, a.report.PID = next, next.pid
	return nil
}

// hello exchanges who is who.
func (a *attempt) hello(ctx context.Context) error {
	theirs, err := a.greet(ctx)
	if errors.Is(err, errSilent) {
		return fmt.Errorf("%w (%s must be built with this package and call upgrade.New)", err, a.report.Release.Path)
	}
	if err != nil {
		return err
	}
	if a.guest == nil {
		if err := a.same(); err != nil {
			return err
		}
	}
	a.report.Release.Version, a.report.Release.Counter = theirs.Release.Version, theirs.Release.Counter
	if a.u.opt.Accept != nil {
		if err := a.u.opt.Accept(ctx, a.report.Release, a.req.Force); err != nil {
			return err
		}
	}
	a.next.release = a.report.Release
	return a.orderAhead(ctx)
}

// orderAhead gives the order to serve before the new process is ready, where nothing
// is left to be done here in between: it saves the time of an answer.
func (a *attempt) orderAhead(ctx context.Context) error {
	if !a.given || a.u.opt.KeepSockets || a.u.ownsAnything() {
		return nil
	}
	a.ordered = true
	if err := a.next.link.Send(wire.Serve{}); err != nil {
		return a.broken(ctx, err)
	}
	return nil
}

// ownsAnything reports whether there is something to give up for a successor.
func (u *Upgrader) ownsAnything() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.singletons) > 0 || len(u.pools) > 0
}

func (a *attempt) greet(ctx context.Context) (theirs wire.Hello, err error) {
	mine := a.u.greeting()
	if err := a.next.link.Send(mine); err != nil {
		return theirs, a.broken(ctx, err)
	}
	if a.guest != nil {
		theirs = a.guest.hello
	} else if theirs, err = a.greeted(ctx); err != nil {
		return theirs, err
	}
	_, err = wire.Negotiate(mine, theirs)
	return theirs, err
}

// greeted returns the hello of a child. Unless states are to be written for it, the
// child gets all that it waits for at once, to begin its work while the hello is
// still on its way.
func (a *attempt) greeted(ctx context.Context) (theirs wire.Hello, err error) {
	if !a.u.hasStates() {
		if err := a.prepare(ctx); err != nil {
			return theirs, err
		}
	}
	return await[wire.Hello](ctx, a.next, "hello")
}

// broken prefers the reason for which the other side has gone to the error of
// the write that noticed.
func (a *attempt) broken(ctx context.Context, err error) error {
	if errors.Is(err, wire.ErrTimeout) {
		return err
	}
	select {
	case m, open := <-a.next.inbox:
		if abort, ok := m.(wire.Abort); ok {
			return reason(abort)
		}
		if !open {
			return a.next.ended(ctx)
		}
	case <-ctx.Done():
	}
	return err
}

// prepare sends sockets and states, once.
func (a *attempt) prepare(ctx context.Context) error {
	if a.given {
		return nil
	}
	a.given = true
	names, sources := a.u.offered()
	if err := sendSockets(a.next.link, names, sources); err != nil {
		return a.broken(ctx, err)
	}
	if err := a.u.sendStates(ctx, a.next.link); err != nil {
		if ctx.Err() == nil && a.next.link.Err() == nil && !errors.Is(err, wire.ErrGone) {
			a.ours = true // its writer failed, or wrote too much
			return err
		}
		return a.broken(ctx, err)
	}
	if err := a.next.link.Send(wire.Prepared{}); err != nil {
		return a.broken(ctx, err)
	}
	return nil
}

func (a *attempt) ready(ctx context.Context) error {
	ready, err := await[wire.Ready](ctx, a.next, "ready")
	if err != nil {
		return err
	}
	a.served = a.ordered
	a.next.sockets, a.next.heartbeat = ready.Sockets, heartbeat(ready.Heartbeat)
	a.report.Dropped = a.u.dropped(a.next)
	if len(a.report.Dropped) == 0 {
		return nil
	}
	if a.u.opt.KeepSockets {
		return fmt.Errorf("it does not take over the listener %s", strings.Join(a.report.Dropped, ", "))
	}
	a.u.opt.Log.Warn("the new process does not take over all sockets: these will be closed", "sockets", a.report.Dropped)
	return nil
}

// dropped returns the names of the sockets in use here that the successor leaves out.
func (u *Upgrader) dropped(next *successor) (names []string) {
	listeners, packets := u.sockets()
	for _, l := range listeners {
		if !l.isClosed() && !next.claimed(l.name) {
			names = append(names, l.name)
		}
	}
	for _, p := range packets {
		if !p.isClosed() && !next.claimed(p.name) {
			names = append(names, p.name)
		}
	}
	return names
}

// release gives up the singletons: from here until they are acquired again, by
// the successor or by undo, nobody owns them.
func (a *attempt) release(ctx context.Context) (err error) {
	a.ours = true
	if a.states, err = a.u.releaseAll(ctx); err != nil {
		return err
	}
	a.ours, a.frozen = false, true
	a.u.freezePools()
	return nil
}

// serve lets the successor loose, and stops accepting only when it accepts.
func (a *attempt) serve(ctx context.Context) error {
	a.served = true
	if !a.ordered {
		if err := a.next.link.Send(wire.Serve{Singletons: a.states}); err != nil {
			return a.broken(ctx, err)
		}
	}
	if _, err := await[wire.Serving](ctx, a.next, "word that it serves"); err != nil {
		return err
	}
	a.u.enter(Standby)
	a.u.standBy(ctx, a.next)
	return nil
}

// undo brings the service back here, and returns why with what there is to add.
// GivenUp means that the program is not to blame.
func (a *attempt) undo(why error, givenUp bool) error {
	u := a.u
	if a.served {
		u.resume()
	}
	switch {
	case a.next == nil:
	case a.guest != nil && !a.given:
		a.next.dismiss(why)
	default:
		a.next.giveUp(why, a.served || a.ordered)
		if n := marked.Kill(markVariable, a.mark); n > 0 {
			why = fmt.Errorf("%w (%d processes that it left behind were killed)", why, n)
		}
	}
	if a.frozen {
		u.thawPools()
	}
	u.takeBack()
	if a.hashing != nil {
		_ = a.identify() // reject looks at it again
	}
	if !givenUp {
		a.reject(why)
	}
	u.mu.Lock()
	u.attempt = nil
	u.mu.Unlock()
	u.enter(Serving, Upgrading, Standby)
	a.reloaded()
	u.socketsChanged() // what was not told meanwhile
	u.emit(Event{Name: "failed", Step: a.step, Peer: a.pid(), Took: time.Since(a.began), Err: why, Release: a.report.Release})
	return why
}

// reject remembers a program that served and failed by its own doing.
func (a *attempt) reject(why error) {
	if !a.served || a.ours || errors.Is(why, errStopped) || errors.Is(why, errStarved) || a.identify() != nil {
		return
	}
	a.u.mu.Lock()
	defer a.u.mu.Unlock()
	a.u.rejected[a.report.Release.Digest] = why.Error()
}

// errStopped is why an upgrade ends when somebody stops the new process.
var errStopped = errors.New("it was told to stop")

// commit makes the successor the service. What cannot be written is undone: the
// successor must not wait for it while this process drains.
func (a *attempt) commit(ctx context.Context) error {
	// Systemd listens to the main process only, so it must know before that speaks.
	a.mainPID(a.next.pid)
	if err := a.next.link.Send(wire.Commit{}); err != nil {
		a.mainPID(os.Getpid())
		return a.broken(ctx, err)
	}
	return nil
}

// succeeded begins the drain of this process.
func (u *Upgrader) succeeded(a *attempt) {
	s := a.next
	s.link.SetTimeout(-1) // the link must outlive a successor that is slow: answers are in its queue
	u.running.Store(s)
	u.heir.Store(s.mover)
	u.enter(Draining)
	a.report.Took = time.Since(a.began)
	if s.foreign {
		u.unstore(true)
	}
	u.emit(Event{Name: "committed", Peer: s.pid, Took: a.report.Took, Release: a.report.Release})
	go u.drain(context.Background())
}
