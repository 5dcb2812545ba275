package js

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"modernc.org/quickjs"

	"github.com/theseus-run/theseus/script"
)

// Grace is how long a call may go on after its end before its machine is
// abandoned.
const Grace = 250 * time.Millisecond

const (
	// ownMemory is what the VM and the prelude need, on top of the limit.
	ownMemory = 2 << 20
	// parseMemory is granted per byte of source while it is parsed: the parser
	// must never be the one to run out, QuickJS frees badly there.
	parseMemory = 256
	// codeMemory is what is left of it for the code.
	codeMemory = 16
	// ownDepth is what the prelude adds to the nesting of a script's calls.
	ownDepth = 40
	// startTime bounds the start of a VM and the parsing of a unit.
	startTime = 10 * time.Second
	// maxDepth keeps the goroutine's stack far from Go's limit, which is fatal.
	maxDepth = 5000
)

// A machine is a VM and the goroutine that owns it. All but the atomic fields
// is used by one side at a time: the caller between tasks, the goroutine while
// it performs one.
type machine struct {
	unit  *Unit
	vm    atomic.Pointer[quickjs.VM] // nil before the load; for Interrupt from outside
	work  chan func()                // closed by stop
	reply chan struct{}              // one message per piece of work; never blocks the goroutine
	gone  chan struct{}              // closed when the VM is freed
	timer *time.Timer
	left  atomic.Bool // abandoned by the caller

	sound   bool // may run another execution
	counted bool // holds one of the pool's slots
	exports map[string]bool
	loaded  quickjs.Value
	call    quickjs.Value
	settle  quickjs.Value
	number  int          // of the execution
	value   script.Value // the result of the execution
	err     error
	run     run
}

// start makes a machine and loads the unit into it. With a resolver the unit's
// closure is found on the way.
func (u *Unit) start(ctx context.Context, r *resolver) (*machine, error) {
	m := &machine{unit: u, work: make(chan func()), reply: make(chan struct{}, 1), gone: make(chan struct{}),
		timer: time.NewTimer(time.Hour)}
	m.timer.Stop()
	u.engine.machines.Add(1)
	go m.loop()
	var err error
	step := func(limit time.Duration, work func() error) bool {
		return m.do(ctx, limit, func() { defer m.recoverTo(&err); err = work() })
	}
	// The engine's own start does not count against the script's time.
	ok := step(startTime, func() error { return m.load(ctx, r) })
	if ok && err == nil {
		ok = step(u.limits.Time, func() error { return m.evaluate(ctx, time.Now().Add(u.limits.Time)) })
	}
	if !ok {
		m.stop() // it ends by itself once the built-in has
		return nil, m.stuckError(ctx)
	}
	if err != nil {
		m.stop()
		<-m.gone
		return nil, err
	}
	m.sound = true
	return m, nil
}

// loop owns the VM.
func (m *machine) loop() {
	// A wild pointer in the translated C becomes a panic, which do's work
	// recovers, where the address allows it.
	debug.SetPanicOnFault(true)
	defer close(m.gone)
	defer m.free()
	for work := range m.work {
		work()
		m.reply <- struct{}{}
	}
}

func (m *machine) free() {
	if vm := m.vm.Load(); vm != nil {
		func() {
			defer func() { _ = recover() }() // a VM that the engine broke leaks its memory
			for _, v := range []*quickjs.Value{&m.run.boot, &m.loaded, &m.call, &m.settle} {
				if v.VM() != nil {
					v.Free()
				}
			}
		}()
		func() {
			defer func() { _ = recover() }()
			vm.Close()
		}()
	}
	m.unit.engine.machines.Add(-1)
	if m.left.Load() {
		m.unit.stuck.Add(-1)
	}
}

// stop ends the machine once its current work, if any, is done.
func (m *machine) stop() { close(m.work) }

// do has the machine's goroutine perform work and waits for it, but no longer
// than limit, ctx and Grace allow: then the machine is abandoned, do returns
// false, and the machine's fields are no longer the caller's.
func (m *machine) do(ctx context.Context, limit time.Duration, work func()) bool {
	m.timer.Reset(limit)
	defer m.timer.Stop()
	m.work <- work
	select {
	case <-m.reply:
		return true
	case <-ctx.Done():
	case <-m.timer.C:
	}
	// An interrupt that lands just before a call is cleared by the call, so it
	// is repeated.
	end := time.Now().Add(Grace)
	for time.Now().Before(end) {
		if vm := m.vm.Load(); vm != nil {
			vm.Interrupt()
		}
		m.timer.Reset(time.Millisecond)
		select {
		case <-m.reply:
			return true
		case <-m.timer.C:
		}
	}
	m.unit.stuck.Add(1)
	m.left.Store(true)
	return false
}

// stuckError is what the caller of an abandoned machine gets.
func (m *machine) stuckError(ctx context.Context) error {
	e := m.unit.timeout(ctx)
	e.Message += "; a built-in function could not be interrupted and was left behind"
	e.Hint = "look for a search or copy over a huge or sparse array"
	return e
}

// load makes the VM and, given a resolver, parses the modules.
func (m *machine) load(ctx context.Context, r *resolver) error {
	u := m.unit
	deadline := time.Now().Add(startTime)
	bytecode, err := u.engine.prelude()
	if err != nil {
		return fmt.Errorf("compile the prelude: %w", err)
	}
	vm, err := quickjs.NewVM()
	if err != nil {
		return fmt.Errorf("start a JavaScript engine: %w", err)
	}
	m.vm.Store(vm)
	vm.SetCanBlock(false)
	if err := vm.RegisterHostFunc("__theseus", m.run.host); err != nil {
		return err
	}
	if err := m.loadPrelude(vm, bytecode); err != nil {
		return u.engineError(ctx, deadline, err)
	}
	c := u.closure
	if r != nil {
		vm.SetModuleLoader(func(_ *quickjs.VM, name string) (string, error) { return r.sources[name], nil },
			func(_ *quickjs.VM, from, name string) (string, error) { return r.normalize(from, name) })
		quoted := script.AppendString(nil, u.Name())
		_, err := vm.Compile("import * as entry from "+string(quoted), quickjs.EvalModule)
		switch {
		case r.refusal != nil:
			return r.refusal
		case err != nil:
			return u.syntaxError(err)
		}
		if cycle := c.cycle(); cycle != nil {
			return cycle
		}
	}
	vm.SetModuleLoader(c.loader, c.normalizer)
	return nil
}

// loader serves the modules of a complete closure.
func (c *closure) loader(_ *quickjs.VM, name string) (string, error) {
	if source, ok := c.sources[name]; ok {
		return source, nil
	}
	return "", fmt.Errorf("%s is not part of the unit", name)
}

// normalizer resolves imports within a complete closure, import() included.
func (c *closure) normalizer(_ *quickjs.VM, from, specifier string) (string, error) {
	if from == bootModule && specifier == c.entry {
		return specifier, nil
	}
	to, problem, _ := target(from, specifier)
	if problem != "" {
		return "", fmt.Errorf("cannot import %q, %s", specifier, problem)
	}
	if _, ok := c.sources[to]; !ok {
		return "", fmt.Errorf("cannot import %s: import() reaches only files that the unit also imports statically", to)
	}
	return to, nil
}

// loadPrelude runs prelude.js and keeps its functions. The first of them,
// boot, is left in m.call until evaluate has used it.
func (m *machine) loadPrelude(vm *quickjs.VM, bytecode []byte) error {
	list, err := vm.EvalBytecodeValue(bytecode)
	if err != nil {
		return err
	}
	defer list.Free()
	for i, into := range []*quickjs.Value{&m.run.boot, &m.loaded, &m.call, &m.settle} {
		atom, err := vm.NewAtom(fmt.Sprint(i))
		if err != nil {
			return err
		}
		if *into, err = list.GetPropertyValue(atom); err != nil {
			return err
		}
	}
	return nil
}

// evaluate links and runs the modules.
func (m *machine) evaluate(ctx context.Context, deadline time.Time) error {
	u, vm := m.unit, m.vm.Load()
	m.run.begin(ctx, deadline, nil)
	defer m.run.end()
	vm.SetMemoryLimit(uintptr(ownMemory + u.limits.Memory + int64(parseMemory*u.closure.bytes)))
	vm.SetMaxStackSize(uintptr(min(u.limits.Depth, maxDepth) + ownDepth))
	vm.SetEvalTimeout(remaining(deadline))
	boot := m.run.boot
	m.run.boot = quickjs.Value{}
	_, err := boot.Call(quickjs.UndefinedValue, u.Name(), float64(u.limits.Output))
	boot.Free()
	if err == nil {
		err = m.drain(ctx, vm, deadline)
	}
	if err != nil {
		return u.engineError(ctx, deadline, err)
	}
	vm.SetEvalTimeout(remaining(deadline))
	out, err := m.loaded.Call(quickjs.UndefinedValue)
	if err != nil {
		return u.engineError(ctx, deadline, err)
	}
	// The parser's allowance is over; what was parsed stays.
	vm.SetMemoryLimit(uintptr(ownMemory + u.limits.Memory + int64(codeMemory*u.closure.bytes)))
	text, _ := out.(string)
	switch {
	case text != "" && text[0] == 'p':
		return &script.Error{Kind: script.Failed, File: u.Name(), Message: "the top level waits for a promise that never settles"}
	case text != "" && text[0] == 'j':
		var list [][2]string
		if err := json.Unmarshal([]byte(text[1:]), &list); err != nil {
			return err
		}
		m.exports = make(map[string]bool, len(list))
		for _, x := range list {
			m.exports[x[0]] = x[1] == "function"
		}
		return nil
	case text != "" && text[0] == 'x':
		return u.thrown(ctx, deadline, text[1:], &m.run)
	}
	return &script.Error{Kind: script.Failed, File: u.Name(), Message: "the top level threw an HttpError",
		Hint: "throw it inside the handler"}
}

// execute runs one call on the machine and leaves in m.sound whether it may
// run another.
func (m *machine) execute(ctx context.Context, name string, call script.Call) (script.Value, error) {
	limit := m.unit.limits.Time
	deadline := time.Now().Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	m.sound = false
	if !m.do(ctx, time.Until(deadline), func() { m.value, m.err = m.perform(ctx, deadline, name, call) }) {
		return script.Value{}, m.stuckError(ctx)
	}
	v, err := m.value, m.err
	m.value, m.err = script.Value{}, nil
	return v, err
}

// perform runs in the machine's goroutine.
func (m *machine) perform(ctx context.Context, deadline time.Time, name string, call script.Call) (v script.Value, err error) {
	defer m.recoverTo(&err)
	vm := m.vm.Load()
	m.number = (m.number + 1) & (1<<30 - 1)
	m.run.begin(ctx, deadline, call.Host)
	defer m.run.end()
	args, err := m.run.arguments(m.number, name, call.Args)
	if err != nil {
		m.sound = true
		return script.Value{}, &script.Error{Kind: script.Failed, File: m.unit.Name(), Message: err.Error(), Err: err}
	}
	vm.SetEvalTimeout(remaining(deadline))
	out, err := m.call.Call(quickjs.UndefinedValue, args...)
	if err != nil {
		return script.Value{}, m.unit.engineError(ctx, deadline, err)
	}
	// Microtasks that a call left behind must not run in the next one.
	if err := m.drain(ctx, vm, deadline); err != nil {
		return script.Value{}, m.unit.engineError(ctx, deadline, err)
	}
	text, _ := out.(string)
	if text == "p" {
		vm.SetEvalTimeout(remaining(deadline))
		if out, err = m.settle.Call(quickjs.UndefinedValue); err != nil {
			return script.Value{}, m.unit.engineError(ctx, deadline, err)
		}
		text, _ = out.(string)
	}
	return m.result(ctx, deadline, text)
}

// drain runs the jobs that are queued until there are none.
func (m *machine) drain(ctx context.Context, vm *quickjs.VM, deadline time.Time) error {
	for {
		vm.SetEvalTimeout(remaining(deadline))
		_, err := vm.ExecutePendingJobs()
		over := !time.Now().Before(deadline) || ctx.Err() != nil
		if err == nil {
			if over { // the time limit ends the drain without an error
				return errInterrupted
			}
			return nil
		}
		if _, ok := errors.AsType[*quickjs.Error](err); ok {
			return err
		}
		// The engine stops after a million jobs; the time limit is ours.
		if over {
			return errInterrupted
		}
	}
}

// remaining returns the time to the deadline as the engine wants it: zero
// would mean no limit.
func remaining(deadline time.Time) time.Duration { return max(time.Until(deadline), time.Nanosecond) }

// recoverTo turns a panic of the engine into an error; the machine is not used
// again.
func (m *machine) recoverTo(err *error) {
	if p := recover(); p != nil {
		m.sound = false
		*err = &script.Error{Kind: script.Failed, File: m.unit.Name(), Message: fmt.Sprintf("the JavaScript engine failed: %v", p)}
	}
}
