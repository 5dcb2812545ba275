// Package js runs handlers, middleware and jobs written in JavaScript. It is a
// [script.Engine] on modernc.org/quickjs, QuickJS translated to Go: ECMAScript
// 2023 with modules and without cgo. Start with [New].
//
// # Machines
//
// A [Unit] holds the sources of one entry file and its imports. It runs them
// on machines: a QuickJS VM, its globals frozen, owned by a goroutine of its
// own. A machine runs one execution at a time; the unit keeps a pool of them.
// A machine that hit a limit is thrown away, so that no later execution sees
// what it left behind. Native memory is freed by [Unit.Close].
//
// # Limits
//
// Time is held in three steps: the engine polls a deadline between bytecodes;
// after the deadline, or when the caller's context ends, an interrupt is
// repeated every millisecond; and a built-in that polls nothing (a search
// through an array said to be 2^32 long) is left alone after [Grace]: the
// caller gets its Timeout, the machine is abandoned and counted by
// [Unit.Stuck], and while two are stuck the unit refuses calls. Such a loop
// burns a core until it ends by itself: whoever runs code that he does not
// trust runs it in a process of its own, as internal/evalunit does.
//
// Memory is what the VM's heap may hold, beyond what the engine itself needs
// to start; the process may grow by up to twice the figure. Depth counts
// nested calls. Output is the size of the returned value as JSON.
//
// # Results
//
// Execute returns plain data, or one of the tagged objects of package script
// (see [script.AsResponse] and [script.AsNext]). A thrown HttpError is
// returned as a response whose Error is set, not as an error.
package js
