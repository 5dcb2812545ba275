package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/internal/executable"
)

// A replacement is the supervisor being replaced by another program.
type replacement struct {
	path   string
	file   int // the program; what is tried is what is executed
	cancel context.CancelCauseFunc
	ctx    context.Context
	reply  chan error // has room for one; nil if nobody waits
	began  time.Time
	trying bool // the trial runs
	proved bool // it was passed
}

// Replace replaces this supervisor by the program at path, with the same process ID,
// arguments and environment, while the workers serve on. The program is first tried
// as a child that gets copies of everything; only when it has found all that in order
// this process executes it. Replace does not return then, and neither does
// [Supervisor.Run].
//
// It waits until no worker is being started, as long as ctx allows. The errors are
// [ErrInProgress], [ErrStopping], the cause of ctx, or a [*RefusedError]; nothing has
// changed then. A program that passes its trial and still cannot take over executes
// the old one again, which reports it as an event.
func (s *Supervisor) Replace(ctx context.Context, path string) error {
	path, err := executable.Find(path)
	if err == nil {
		err = executable.Check(path)
	}
	if err != nil {
		return &RefusedError{Path: path, Err: err}
	}
	file, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &RefusedError{Path: path, Err: os.NewSyscallError("open", err)}
	}
	reply := make(chan error, 1)
	if !s.post(func() { s.beginReplacement(ctx, path, file, reply) }) {
		closeFD(file)
		return ErrStopping
	}
	select {
	case err := <-reply:
		return err
	case <-s.over:
		return ErrStopping
	}
}

// beginReplacement notes what is to be done when the time has come. It owns file.
func (s *Supervisor) beginReplacement(ctx context.Context, path string, file int, reply chan error) {
	var err error
	switch {
	case s.stopping:
		err = ErrStopping
	case s.replacement != nil:
		err = ErrInProgress
	}
	if err != nil {
		closeFD(file)
		if reply != nil {
			reply <- err
		} else {
			s.trouble(nil, "the supervisor is not replaced", err)
		}
		return
	}
	r := &replacement{path: path, file: file, reply: reply, began: time.Now()}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(r.ctx, func() {
		s.post(func() {
			if s.replacement == r && !r.trying {
				s.endReplacement(context.Cause(r.ctx))
			}
		})
	})
	s.replacement = r
}

// abandonReplacement gives up one that is under way.
func (s *Supervisor) abandonReplacement(why error) {
	if r := s.replacement; r != nil {
		s.endReplacement(why)
		r.cancel(why)
	}
}

// endReplacement tells that it is over: the old supervisor goes on.
func (s *Supervisor) endReplacement(err error) {
	r := s.replacement
	s.replacement = nil
	closeFD(r.file)
	r.cancel(err)
	s.emit(Event{Kind: Refused, Took: time.Since(r.began), Detail: r.path + ": " + err.Error()})
	if r.reply != nil {
		if !errors.Is(err, ErrStopping) && !errors.Is(err, context.Cause(r.ctx)) {
			err = &RefusedError{Path: r.path, Err: err}
		}
		r.reply <- err
	}
}

// idle reports whether nothing goes on that another program could not take over.
func (s *Supervisor) idle() bool {
	if s.stopping || s.serving == nil || s.restart != nil || s.asked != nil || len(s.requests) > 0 {
		return false
	}
	for _, w := range s.workers {
		if w.state == StateStarting || w.takeover != nil || w.dead {
			return false
		}
	}
	return true
}

// advance brings a replacement forward when its time has come.
func (s *Supervisor) advance(signals <-chan os.Signal) {
	r := s.replacement
	switch {
	case r == nil || r.trying || !s.idle():
	case !r.proved:
		r.trying = true
		if err := s.try(r); err != nil {
			r.trying = false
			s.endReplacement(err)
		}
	default:
		if err := s.become(r, signals); err != nil && s.replacement == r {
			s.endReplacement(err)
		}
	}
}

// errAgain says that something came in between: another attempt is made when its time
// has come.
var errAgain = errors.New("something came in between")

// become executes the program. It returns nil when it is to be called again.
func (s *Supervisor) become(r *replacement, signals <-chan os.Signal) error {
	err := s.freeze()
	if err == nil && s.idle() && s.replacement == r {
		err = s.execute(r, signals)
	}
	s.thaw()
	if errors.Is(err, errAgain) {
		return nil
	}
	return err
}

// freeze stops everything that takes something in: messages stay in the links, and
// processes that end stay zombies, until thaw or until another program goes on.
func (s *Supervisor) freeze() error {
	s.drainInbox(s.procs.pause())
	limit := time.NewTimer(s.opt.pace.settle)
	defer limit.Stop()
	for i := 0; i < len(s.workers); i++ { // what is done meanwhile may change them
		w := s.workers[i]
		if w.conduit == nil {
			continue
		}
		done := w.conduit.pause()
		for waiting := true; waiting; {
			select {
			case f := <-s.inbox:
				f()
			case <-done:
				waiting = false
			case <-limit.C:
				return fmt.Errorf("process %d did not finish the message that it had begun within %s", w.pid, s.opt.pace.settle)
			}
		}
		if i >= len(s.workers) || s.workers[i] != w {
			i = -1 // pausing twice does no harm
		}
	}
	return nil
}

// thaw undoes freeze.
func (s *Supervisor) thaw() {
	for _, w := range s.workers {
		if w.conduit != nil && !w.lost && !w.conduit.unpause() {
			s.receive(w)
		}
	}
	s.procs.resume()
}

// execute is the point of no return but for what fails before it.
func (s *Supervisor) execute(r *replacement, signals <-chan os.Signal) error {
	if err := s.opt.point("frozen"); err != nil {
		return err
	}
	return onThread(func() error {
		letGo := holdSignals()
		defer letGo()
		s.handle(signals)
		if s.replacement != r || !s.idle() {
			return errAgain
		}
		v, err := s.save()
		if err != nil {
			return err
		}
		defer closeFD(v.Image.FD)
		memory, _, err := v.store()
		if err != nil {
			return err
		}
		defer closeFD(memory)
		travel := []int{memory}
		for _, h := range v.handles() {
			travel = append(travel, h.FD)
		}
		return execFile(r.file, memory, v.Image.FD, travel, "")
	})
}

// handle acts on the signals that have come.
func (s *Supervisor) handle(signals <-chan os.Signal) {
	for {
		select {
		case sig := <-signals:
			s.signal(sig)
		default:
			return
		}
	}
}
