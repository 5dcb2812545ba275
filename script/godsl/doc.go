// Package godsl runs rules that are written in a subset of Go: parsed by
// go/parser, checked by go/types, and compiled to closures that are held to
// limits. No Go toolchain is needed at run time.
//
// Start with [New] for the executor's engine, or with [NewCompiler] and
// [Compiler.Compile] to call functions directly. A [Program] is immutable: any
// goroutine may call its functions at any time without a lock, and a call
// leaves nothing behind that another call could see.
//
// # From text to closures
//
//	text → allow.Source   size, nesting, compiler directives
//	     → go/parser
//	     → allow.Files    the syntax that is part of the language, bombs
//	     → go/types       with the packages of lib, which are sources too
//	     → ir.Lower       the typed form: names resolved, constants folded,
//	                      conversions explicit, generic functions instantiated
//	     → vm.Compile     closures, one form for each class of values
//
// What is not part of the language is refused before the type checker sees
// it, because go/types can be kept busy for ever by a few lines: see package
// allow. What is refused is an error with a code frame and the reason.
//
// # The language
//
// Functions, methods, closures, generic functions, structs with embedding,
// pointers, slices, arrays, maps, strings, interfaces with assertions and type
// switches, all forms of for, labels, several results, constants. Integers
// wrap around and slices share their storage as in Go; also the capacity that
// append gives is Go's. A map is iterated in the order in which its keys were
// added, so that a decision can be replayed.
//
// Not part of it: goroutines, channels, select, defer, recover, goto, init,
// generic types, complex numbers, unsafe, reflect, cgo, and package-level
// variables that change. A package-level variable is set by its initialiser
// when an execution first uses it, and belongs to that execution.
//
// There is no defer and no recover. A rule owns nothing that must be released:
// files, connections and locks are the host's. And a rule that could recover
// could go on after a limit was hit, or hide a fault that the executor must
// see. An index out of range, a nil map, a division by zero or panic() ends the
// call with an error that has the position and the path of calls; what a rule
// wants to handle it returns as an error.
//
// # Limits
//
// Steps are turns of loops, calls, and the work of library functions. Time is
// wall time; it and the context are looked at every few thousand steps. Memory
// is a budget of bytes ever allocated in a call, charged before each growth,
// by our own measure of sizes: it does not depend on the collector, gives the
// same result on each run, and no library function can step over it. Depth
// counts nested calls. Output bounds the result.
//
// # Data
//
// A function whose parameters and result can be made of data is callable: see
// [Func.Call]. A struct takes a JSON object by the rules of encoding/json's
// tags; a number must fit its field without loss. A map[string]any of the
// caller is a view that is copied, level by level, when the rule changes it,
// ranges over it, or takes something out of it that it could change. A
// parameter of type host.Context stands for the host and takes no argument.
package godsl
