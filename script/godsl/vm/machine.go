package vm

import (
	"context"
	"fmt"
	"go/token"
	"math/rand/v2"
	"time"
)

// window is how many slots of a file a function can have.
const window = 256

// pollEvery is how many steps pass between two looks at the clock.
const pollEvery = 4096

// A Machine is the state of one execution: four register files with the
// window of the running function, what is left of the limits, and the path of
// calls. It is used by one goroutine at a time.
type Machine struct {
	n *[window]uint64
	s *[window]string
	l *[window]View
	r *[window]any

	fuel  int64 // steps until the next poll
	depth int
	calls []int32 // position of each call

	tn, ts, tl, tr int // first free slot of each file
	stackN         []uint64
	stackS         []string
	stackL         []View
	stackR         []any

	bytes   int64 // what may still be allocated
	steps   int64 // what may still be run, beyond fuel
	ctx     context.Context
	done    <-chan struct{}
	end     time.Time
	program *Program
	globals Array
	ready   []bool
	caps    *Array // what the running literal captured
	limits  Limits
	host    Host
	random  *rand.Rand
	pending *Trap // what is on its way out
	nesting int   // of values that are being compared
}

// Limits bound one execution. Zero fields mean no limit, except Depth.
type Limits struct {
	Steps int64         // turns of loops, calls, and work inside the library
	Time  time.Duration // wall time, besides the context's deadline
	Bytes int64         // bytes ever allocated
	Depth int           // nested calls; zero means 1000
}

// A Kind says what ended an execution.
type Kind uint8

// The kinds of traps.
const (
	Panic   Kind = iota // a panic: of the language or by panic()
	Steps               // the step limit
	Time                // the time limit, or the context
	Memory              // the memory limit
	Depth               // the limit of nested calls
	Output              // the limit of the result
	Failure             // a fault of the engine or of the host
)

// A Trap is what ended an execution before its time.
type Trap struct {
	Kind    Kind
	Message string
	Pos     token.Pos   // where; NoPos when unknown
	Calls   []token.Pos // the calls that led there, outermost first
	Err     error       // cause, if any
}

// Error implements error.
func (t *Trap) Error() string { return t.Message }

// Unwrap returns the cause.
func (t *Trap) Unwrap() error { return t.Err }

// NewMachine returns an idle machine.
func NewMachine() *Machine {
	return &Machine{
		stackN: make([]uint64, 2*window), stackS: make([]string, window+64), stackL: make([]View, window+64),
		stackR: make([]any, window+64), calls: make([]int32, 64),
	}
}

func (m *Machine) trap(kind Kind, pos int32, format string, args ...any) {
	t := &Trap{Kind: kind, Message: fmt.Sprintf(format, args...), Pos: token.Pos(pos)}
	if m.pending == nil {
		m.pending = t
	}
	panic(t)
}

// Rethrow goes on with a trap that somebody in between caught: package fmt
// prints the panics of its formatters.
func (m *Machine) Rethrow() {
	if m.pending != nil {
		panic(m.pending)
	}
}

// fail is a panic of the language.
func (m *Machine) fail(pos int32, format string, args ...any) { m.trap(Panic, pos, format, args...) }

// tick is called when the fuel is used up.
func (m *Machine) tick() {
	if m.limits.Steps > 0 {
		if m.steps <= 0 {
			m.trap(Steps, 0, "more than %d steps", m.limits.Steps)
		}
		m.fuel = min(pollEvery, m.steps)
		m.steps -= m.fuel
	} else {
		m.fuel = pollEvery
	}
	m.poll()
}

func (m *Machine) poll() {
	m.pollContext()
	if m.limits.Time > 0 && time.Now().After(m.deadline()) {
		m.trap(Time, 0, "took longer than %s", m.limits.Time)
	}
}

// deadline is when the time limit ends. The clock starts when it is first
// looked at, after at most pollEvery steps.
func (m *Machine) deadline() time.Time {
	if m.end.IsZero() {
		m.end = time.Now().Add(m.limits.Time)
	}
	return m.end
}

func (m *Machine) pollContext() {
	if m.done == nil {
		return
	}
	select {
	case <-m.done:
		m.pending = &Trap{Kind: Time, Message: "stopped: " + context.Cause(m.ctx).Error(), Err: context.Cause(m.ctx)}
		panic(m.pending)
	default:
	}
}

// Work charges n steps for work inside the library.
func (m *Machine) Work(n int) {
	for int64(n) > m.fuel {
		n -= int(m.fuel) + 1
		m.fuel = -1
		m.tick()
	}
	m.fuel -= int64(n)
}

// Charge takes n bytes from the memory that is left, before they are allocated.
func (m *Machine) Charge(n int64) {
	if m.bytes -= n; m.bytes < 0 || n < 0 {
		m.trap(Memory, 0, "allocated more than %d bytes", m.limits.Bytes)
	}
}

// deeper makes room in the call path, or traps at the limit.
func (m *Machine) deeper(pos int32) {
	if m.depth >= m.limits.Depth {
		m.trap(Depth, pos, "more than %d nested calls", m.limits.Depth)
	}
	m.calls = append(m.calls, make([]int32, min(len(m.calls), m.limits.Depth-len(m.calls)))...)
}

// The register files grow without moving: windows that are in use stay in the
// old storage, to which their functions hold pointers.

func (m *Machine) growN() {
	m.Charge(int64(len(m.stackN)) * 16)
	m.stackN = make([]uint64, 2*len(m.stackN))
}

func (m *Machine) growS() {
	m.Charge(int64(len(m.stackS)) * 32)
	m.stackS = make([]string, 2*len(m.stackS))
}

func (m *Machine) growL() {
	m.Charge(int64(len(m.stackL)) * 48)
	m.stackL = make([]View, 2*len(m.stackL))
}

func (m *Machine) growR() {
	m.Charge(int64(len(m.stackR)) * 32)
	m.stackR = make([]any, 2*len(m.stackR))
}

// A frame is what a call saves.
type frame struct {
	n              *[window]uint64
	s              *[window]string
	l              *[window]View
	r              *[window]any
	tn, ts, tl, tr int
	depth          int
	caps           *Array
}

func (m *Machine) save() frame {
	return frame{m.n, m.s, m.l, m.r, m.tn, m.ts, m.tl, m.tr, m.depth, m.caps}
}

func (m *Machine) restore(f *frame) {
	m.n, m.s, m.l, m.r = f.n, f.s, f.l, f.r
	m.tn, m.ts, m.tl, m.tr = f.tn, f.ts, f.tl, f.tr
	m.depth, m.caps = f.depth, f.caps
}

// enter charges a call and makes its path known.
func (m *Machine) enter(pos int32) {
	if m.fuel--; m.fuel < 0 {
		m.tick()
	}
	if m.depth >= len(m.calls) {
		m.deeper(pos)
	}
	m.calls[m.depth] = pos
	m.depth++
}

// open gives the function its windows.
func (m *Machine) open(f *function) {
	if m.tn+window > len(m.stackN) {
		m.growN()
	}
	if m.ts+window > len(m.stackS) {
		m.growS()
	}
	if m.tl+window > len(m.stackL) {
		m.growL()
	}
	if m.tr+window > len(m.stackR) {
		m.growR()
	}
	m.n = (*[window]uint64)(m.stackN[m.tn:])
	m.s = (*[window]string)(m.stackS[m.ts:])
	m.l = (*[window]View)(m.stackL[m.tl:])
	m.r = (*[window]any)(m.stackR[m.tr:])
	m.tn += int(f.size[0])
	m.ts += int(f.size[1])
	m.tl += int(f.size[2])
	m.tr += int(f.size[3])
}
