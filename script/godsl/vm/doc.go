// Package vm compiles the typed form of package ir to closures and runs them.
// Start with [Compile], then [Machine.Run].
//
// # Registers
//
// A [Machine] has four register files: words for bools, integers and floats,
// strings, views for slices, arrays and pointers, and refs for maps, functions
// and interfaces. Each function has a window of up to 256 registers in each
// file it uses, results first, then parameters, then variables and temporary
// values. A window is a pointer to an array of 256, so that an access with a
// byte as index needs no check of bounds and no number is ever boxed. A struct
// lies flat in the four files.
//
// # Memory
//
// Storage is an [Array], with the same four files; element i of a type with the
// layout (n, s, l, r) begins at i*n, i*s, i*l and i*r. A [View] is a window on
// elements: a slice, an array, or, with the length 1, a pointer. A variable
// whose address is taken, or that a closure shares and somebody changes, lives
// in an Array of its own.
//
// # Traps
//
// What ends an execution is a panic with a [*Trap] inside this package;
// [Machine.Run] turns it into an error with the path of calls. Everything that
// grows is charged with [Machine.Charge] before it grows.
package vm
