package supervisor

import (
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// echo is how long after the first signal to stop the next one counts as the same: a
// terminal, timeout(1) and others deliver one wish twice.
const echo = 100 * time.Millisecond

// Signals are those that [Supervisor.Run] wants to be delivered. SIGTERM and SIGINT
// stop, and a second one kills; SIGUSR2 asks the worker to upgrade; the others are
// passed on to the worker that serves.
func Signals() []os.Signal {
	return []os.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2,
		syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGALRM,
	}
}

// signal acts on a signal.
func (s *Supervisor) signal(sig os.Signal) {
	number, ok := sig.(syscall.Signal)
	switch {
	case !ok:
	case number == syscall.SIGUSR2:
		s.upgradeBySignal()
	case number == syscall.SIGTERM || number == syscall.SIGINT:
		s.stop(number)
	case s.serving != nil:
		_ = s.procs.signal(s.serving.proc, number) // one that has ended needs none
	}
}

// stop tells all workers to drain; told again, it kills them.
func (s *Supervisor) stop(sig syscall.Signal) {
	if s.stopping {
		if time.Since(s.stopBegan) > echo && !s.hurried {
			s.hurried = true
			for _, w := range slices.Clone(s.workers) {
				s.kill(w, "told to stop twice")
			}
		}
		return
	}
	s.stopping, s.stopBegan, s.stopBy = true, time.Now(), sig
	s.restart.stop()
	s.restart = nil
	s.inherits.stop()
	s.abandonReplacement(ErrStopping)
	s.emit(Event{Kind: Stopping})
	s.warn(s.notify.Stopping())
	s.signalAll(sig)
	s.signalAll(sig)
}

// set is a signal set as the kernel wants it: 64 bits, the first one for signal 1.
func set(signals []os.Signal) (mask uint64) {
	for _, sig := range signals {
		mask |= 1 << (sig.(syscall.Signal) - 1)
	}
	return mask
}

// blocked reports whether this process was started with one of [Signals] blocked,
// which its children would inherit: Go gives them the mask that it found itself.
func blocked() bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mask uint64
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, 0, uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
	return errno == 0 && mask&set(Signals()) != 0
}

// A program that is executed dies from a signal that it has not yet asked for. The
// mask of the thread that executes it keeps most of [Signals] in the kernel until then,
// but the Go runtime lifts it for those that are meant to end a program before it
// handles them: SIGHUP and SIGINT are ignored meanwhile, and SIGTERM and SIGQUIT are left
// a chance between the start of the program and caught, less than a millisecond.

// caught gets the signals that come before main asks for them, in a program that is
// about to go on as a supervisor; nil in any other. It is a variable of the package
// because main comes too late.
var caught = catch()

func catch() chan os.Signal {
	if os.Getenv(stateVariable) == "" {
		return nil
	}
	c := make(chan os.Signal, 64)
	signal.Notify(c, Signals()...)
	return c
}

// released returns what was caught until now, and catches no more.
func released() (signals []os.Signal) {
	if caught == nil {
		return nil
	}
	signal.Stop(caught) // everything is in the channel then
	for {
		select {
		case sig := <-caught:
			signals = append(signals, sig)
		default:
			return signals
		}
	}
}

// holdSignals makes the kernel keep signals for the program that this thread, which
// is locked, is about to execute, and waits until those that this program has
// received are in the channel that they go to: package signal delivers in ascending
// order, and SIGIO is above all of [Signals]. LetGo undoes it.
func holdSignals() (letGo func()) {
	mark := make(chan os.Signal, 1)
	signal.Notify(mark, syscall.SIGIO)
	block(unix.SIG_BLOCK)
	hup, interrupt := ignore(syscall.SIGHUP), ignore(syscall.SIGINT)
	if syscall.Kill(os.Getpid(), syscall.SIGIO) == nil {
		<-mark
	}
	return func() {
		hup()
		interrupt()
		block(unix.SIG_UNBLOCK)
		signal.Stop(mark)
	}
}

// block changes the mask of this thread.
func block(how int) {
	mask := set(Signals())
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
}

// ignore has the kernel drop a signal until restore is called, behind the back of the
// runtime, which would forget who wants it. A program that is executed inherits that.
func ignore(sig syscall.Signal) (restore func()) {
	var was, now [16]uint64 // struct sigaction of the kernel begins with the handler
	act := func(set, old *[16]uint64) bool {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
		return errno == 0
	}
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		return func() {} // there it begins with flags
	}
	now[0] = 1 // SIG_IGN
	if !act(&now, &was) {
		return func() {}
	}
	return func() { act(&was, nil) }
}
