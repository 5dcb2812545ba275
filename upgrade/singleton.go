package upgrade

import (
	"context"
	"fmt"
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

// A singleton is one that is registered.
type singleton struct {
	Singleton
	name  string
	owned bool
	state []byte // as of the last release
}

// Singleton registers s under a name that is the same in each version. It is
// acquired when the process may serve.
func (u *Upgrader) Singleton(name string, s Singleton) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.singletons = append(u.singletons, &singleton{Singleton: s, name: name})
}

// owned returns the singletons that this process runs, the last acquired first.
func (u *Upgrader) owned() []*singleton {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []*singleton
	for i := len(u.singletons) - 1; i >= 0; i-- {
		if u.singletons[i].owned {
			all = append(all, u.singletons[i])
		}
	}
	return all
}

func (s *singleton) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	state, err := s.Release(ctx)
	if err != nil {
		return err
	}
	s.owned, s.state = false, state
	return nil
}

// acquire takes s, unless it is owned already.
func (s *singleton) acquire(ctx context.Context) error {
	if s.owned {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := s.Acquire(ctx, s.state); err != nil {
		return err
	}
	s.owned = true
	return nil
}

// acquireAll takes all singletons, with the states that the last owner left. On
// an error those already taken are released.
func (u *Upgrader) acquireAll(ctx context.Context, states map[string][]byte) error {
	u.mu.Lock()
	all := append([]*singleton(nil), u.singletons...)
	u.mu.Unlock()
	for i, s := range all {
		s.state = states[s.name]
		if err := s.acquire(ctx); err != nil {
			for _, taken := range all[:i] {
				_ = taken.release(ctx)
			}
			return fmt.Errorf("acquire %s: %w", s.name, err)
		}
	}
	return nil
}

// A Pool is told how far an upgrade is, so that two processes together do not hold
// more connections to a third party than one. Each function may be nil.
type Pool struct {
	// Warm opens the first connections, in a new process before it is ready.
	Warm func(ctx context.Context) error

	// Freeze stops growing, in the old process when the new one begins to serve;
	// Thaw undoes that when the new one is taken back.
	Freeze, Thaw func()

	// Grow lifts the limit, in the new process once it is the service.
	Grow func()

	// Retire closes what is idle, and the rest as it is returned, in the old
	// process as it drains. It returns when ctx ends or nothing is left.
	Retire func(ctx context.Context)
}

// Pool registers p.
func (u *Upgrader) Pool(p Pool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pools = append(u.pools, p)
}

func (u *Upgrader) eachPool(call func(Pool)) {
	u.mu.Lock()
	all := append([]Pool(nil), u.pools...)
	u.mu.Unlock()
	for _, p := range all {
		call(p)
	}
}

func (u *Upgrader) warmPools(ctx context.Context) (err error) {
	u.eachPool(func(p Pool) {
		if p.Warm != nil && err == nil {
			err = p.Warm(ctx)
		}
	})
	return err
}

func (u *Upgrader) freezePools() {
	u.eachPool(func(p Pool) {
		if p.Freeze != nil {
			p.Freeze()
		}
	})
}

func (u *Upgrader) thawPools() {
	u.eachPool(func(p Pool) {
		if p.Thaw != nil {
			p.Thaw()
		}
	})
}

func (u *Upgrader) growPools() {
	u.eachPool(func(p Pool) {
		if p.Grow != nil {
			p.Grow()
		}
	})
}
