package upgrade

import "context"

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
