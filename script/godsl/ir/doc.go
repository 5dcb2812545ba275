// Package ir is the typed form of programs, between the type checker and the
// closures: all names are resolved to variables and functions, conversions
// are explicit, constants are folded, switches are chains of ifs, and generic
// functions are instantiated for the types they are called with.
//
// Start with [Lower]. Types are interned in [Types]; a [Type] says in which
// register file its values live (see [Class]) and how a struct lies in all
// four of them (see [Layout]).
package ir
