package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Singleton is something that exactly one process may run at any time: a
// scheduler, a consumer, the holder of a lease. The old process gives it up before
// the new one takes it, and takes it back only when the new one is dead.
type Singleton interface {
	// Acquire begins to run it, from the state that the last owner left; nil in
	// the first process, or when the last owner died. An error in a successor
	// sends the upgrade back.
	Acquire(ctx context.Context, state []byte) error

	// Release stops it, completely, and returns the state for the next owner: at
	// most 512 KiB for all singletons together. After an error it still runs.
	Release(ctx context.Context) (state []byte, err error)
}

// releaseTimeout limits a call of Acquire or Release.
const releaseTimeout = 10 * time.Second

// A singleton is one that is registered. A call of Acquire or Release that does not
// return in time is waited for beside: until it has, no other is made.
type singleton struct {
	Singleton
	name string
	busy chan struct{} // holds one token while a call is under way

	mu    sync.Mutex
	owned bool
	state []byte // as of the last release
}

// errBusy means that an earlier call of Acquire or Release has not returned.
var errBusy = errors.New("an earlier call of Acquire or Release has not returned")

// Singleton registers s under a name that is the same in each version. It is
// acquired when the process may serve, released for a successor, and released when
// the service is told to stop.
func (u *Upgrader) Singleton(name string, s Singleton) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.singletons = append(u.singletons, &singleton{Singleton: s, name: name, busy: make(chan struct{}, 1)})
}

// backwards returns the singletons, the last registered first.
func (u *Upgrader) backwards() []*singleton {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := slices.Clone(u.singletons)
	slices.Reverse(all)
	return all
}

func (s *singleton) isOwned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owned
}

// last returns the state as of the last release.
func (s *singleton) last() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *singleton) set(owned bool, state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owned, s.state = owned, state
}

// call runs f, which should return when its context ends. When it does not within
// the time-out either, call returns without it.
func (s *singleton) call(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s did not return within %s", what, limit))
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return errBusy
	}
	done := make(chan error, 1)
	go func() {
		defer cancel()
		err := f(ctx)
		<-s.busy
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // it may have returned because of that
	case err := <-done:
		return err
	case <-time.After(hangGrace):
		return context.Cause(ctx)
	}
}

// hangGrace is how long after its context has ended a call may take to return.
const hangGrace = 100 * time.Millisecond

// release gives s up, unless it is not owned. Should the call return only after the
// time-out, it counts then.
func (s *singleton) release(ctx context.Context, limit time.Duration) error {
	return s.call(ctx, limit, "Release", func(ctx context.Context) error {
		if !s.isOwned() {
			return nil
		}
		state, err := s.Release(ctx)
		if err == nil {
			s.set(false, state)
		}
		return err
	})
}

// acquire takes s, unless it is owned already.
func (s *singleton) acquire(ctx context.Context, limit time.Duration) error {
	return s.call(ctx, limit, "Acquire", func(ctx context.Context) error {
		if s.isOwned() {
			return nil
		}
		return s.take(ctx)
	})
}

func (s *singleton) take(ctx context.Context) error {
	if err := s.Acquire(ctx, s.last()); err != nil {
		return err
	}
	s.set(true, nil)
	return nil
}

// acquireAll takes all singletons, with the states that the last owner left. On
// an error those already taken are released.
func (u *Upgrader) acquireAll(ctx context.Context, states map[string][]byte) error {
	u.mu.Lock()
	all := slices.Clone(u.singletons)
	u.mu.Unlock()
	for i, s := range all {
		s.set(false, states[s.name])
		if err := s.acquire(ctx, u.opt.singletonLimit); err != nil {
			for _, taken := range slices.Backward(all[:i]) {
				_ = taken.release(context.WithoutCancel(ctx), u.opt.singletonLimit)
			}
			return fmt.Errorf("acquire %s: %w", s.name, err)
		}
	}
	return nil
}

// releaseAll gives up the singletons for a successor, and returns the states as of
// their last release, also of those that this process could not take back before.
func (u *Upgrader) releaseAll(ctx context.Context) (map[string][]byte, error) {
	u.yielding.Store(true)
	states := map[string][]byte{}
	for _, s := range u.backwards() {
		if err := s.release(ctx, u.opt.singletonLimit); err != nil {
			return nil, fmt.Errorf("release %s: %w", s.name, err)
		}
		states[s.name] = s.last()
	}
	return states, nil
}

// ending releases the singletons as the service ends.
type ending struct{ u *Upgrader }

func (e ending) drain(ctx context.Context) {
	if _, err := e.u.releaseAll(context.WithoutCancel(ctx)); err != nil {
		e.u.opt.Log.Error("a singleton was not released", "error", err)
	}
}

// takeBack acquires the singletons again after an upgrade that failed. Nobody else
// owns them, so those that cannot be taken at once are tried again while the
// process serves.
func (u *Upgrader) takeBack() {
	u.mu.Lock()
	all := slices.Clone(u.singletons)
	stopped := u.stopped
	u.mu.Unlock()
	if stopped || !u.yielding.Swap(false) {
		return
	}
	for _, s := range all {
		err := errBusy
		if len(s.busy) == 0 {
			err = s.acquire(context.Background(), u.opt.singletonLimit)
		}
		if err != nil {
			u.opt.Log.Error("a singleton could not be taken back; it is tried again", "name", s.name, "error", err)
			go u.retry(s)
		}
	}
}

// retry acquires s, which nobody owns, unless it is given up to a successor.
func (u *Upgrader) retry(s *singleton) {
	for wait := retryFirst; ; wait = min(2*wait, releaseTimeout) {
		select {
		case <-time.After(wait):
		case <-u.over:
			return
		}
		err := s.call(context.Background(), u.opt.singletonLimit, "Acquire", func(ctx context.Context) error {
			if s.isOwned() || u.yielding.Load() {
				return nil // releaseAll sets this before it waits for the call
			}
			return s.take(ctx)
		})
		if err == nil {
			return
		}
	}
}

// retryFirst is how long the first pause between two attempts is.
const retryFirst = 100 * time.Millisecond
