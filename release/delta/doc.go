// Package delta makes and applies patches between two versions of a file.
//
// Call [Make] where releases are published and [Apply] where they are
// installed. [ReadHeader] tells which files a patch is for.
//
// Between two releases of a program nearly all bytes that differ are
// references to things that moved: calls, addresses, offsets in tables. For
// executables (ELF, PE and Mach-O, amd64 and arm64, and most of all those of
// Go) Make sends a map of what moved where; Apply computes from the base
// alone what every reference becomes, and a patch holds only where that is
// wrong and what is new. Tables that follow from other bytes, such as Go's
// function table and the page digests of a Mach-O signature, are computed and
// not sent. Other files, and layouts that Make does not know, are handled as by
// bsdiff: long approximate matches, corrections and literals. Apply knows
// nothing of file formats: Make tells it where to look.
//
// # Trust
//
// A patch is bound to one base and one target by SHA-256. That finds damage
// and mistakes; who made a patch is for a signature over all of it to say,
// checked before Apply is called. Even so Apply does not trust what it reads:
// it refuses what is damaged or meant to harm, in memory bounded by the size of
// the base, and never says that a wrong target is right.
//
// # Versions
//
// SPEC.md beside this file describes the format. This package reads and writes
// version [Version] of it and refuses others with [ErrUnsupported]. A change of
// what a region's references are, or of anything else that both sides must
// agree on, is a new version.
//
// # Concurrency
//
// All functions may be called from several goroutines at once; they share
// nothing. Apply runs one goroutine, which ends before it returns; Make uses one
// core.
package delta
