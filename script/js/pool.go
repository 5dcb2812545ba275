package js

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/theseus-run/theseus/script"
)

// idleAfter is how long machines beyond GOMAXPROCS stay after a burst.
const idleAfter = 5 * time.Second

// A pool keeps a unit's machines. At most cap(slots) are in use by calls
// from outside; those that are stuck are not counted.
type pool struct {
	unit  *Unit
	slots chan struct{}
	keep  int // idle machines that are kept for good

	mu     sync.Mutex
	idle   []*machine  // the last one is the warmest
	sweep  *time.Timer // trims to keep; armed while there are more
	closed bool
}

func (p *pool) init(u *Unit) {
	p.unit = u
	p.keep = runtime.GOMAXPROCS(0)
	p.slots = make(chan struct{}, max(2*p.keep, 8))
}

// adopt puts a first machine into the pool.
func (p *pool) adopt(m *machine) { p.idle = append(p.idle, m) }

// acquire returns a machine that the caller gives back with release. It waits
// while all are in use.
func (p *pool) acquire(ctx context.Context) (*machine, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx, p.unit.Name())
	}
	counted := !isNested(ctx)
	if counted {
		select {
		case p.slots <- struct{}{}:
		default:
			select {
			case p.slots <- struct{}{}:
			case <-ctx.Done():
				err := ended(ctx, p.unit.Name())
				err.Message = "no machine became free: " + err.Message
				return nil, err
			}
		}
	}
	m, err := p.take(ctx)
	if err != nil {
		if counted {
			<-p.slots
		}
		return nil, err
	}
	m.counted = counted
	return m, nil
}

// take returns an idle machine or a new one.
func (p *pool) take(ctx context.Context) (*machine, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, &script.Error{Kind: script.Failed, File: p.unit.Name(), Message: "the unit is closed"}
	}
	if n := len(p.idle); n > 0 {
		m := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return m, nil
	}
	p.mu.Unlock()
	return p.unit.start(ctx, nil)
}

// A call that a script makes by run() takes a machine without a slot: were it
// to wait for one, the callers of units that call each other could each hold
// what the others wait for. The host bounds how deep such calls nest.
type nestedKey struct{}

func nested(ctx context.Context) context.Context { return context.WithValue(ctx, nestedKey{}, true) }

func isNested(ctx context.Context) bool { return ctx.Value(nestedKey{}) != nil }

// release takes a machine back and keeps it if it is sound.
func (p *pool) release(m *machine) {
	counted, kept := m.counted, false
	if !m.left.Load() && m.sound {
		p.mu.Lock()
		if !p.closed {
			p.idle = append(p.idle, m)
			kept = true
			if len(p.idle) > p.keep && p.sweep == nil {
				p.sweep = time.AfterFunc(idleAfter, func() { p.trim(p.keep) })
			}
		}
		p.mu.Unlock()
	}
	if !kept {
		m.stop()
	}
	if counted {
		<-p.slots
	}
}

// trim frees idle machines, the coldest first, until keep are left, and waits
// until they are freed.
func (p *pool) trim(keep int) {
	p.mu.Lock()
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
	n := max(len(p.idle)-keep, 0)
	old := append([]*machine(nil), p.idle[:n]...)
	p.idle = append([]*machine(nil), p.idle[n:]...)
	p.mu.Unlock()
	for _, m := range old {
		m.stop()
	}
	for _, m := range old {
		<-m.gone
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.trim(0)
}
