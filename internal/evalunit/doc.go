// Package evalunit runs one unit of any engine once, in a child process, and
// reports how it ended. It is what `theseus eval FILE` does.
//
// The unit always runs in a child under resource limits and a hard deadline:
// some built-ins of every script engine can neither be interrupted nor bounded
// from inside the process. When the child dies, the report is derived from how
// it died.
//
// [Main] is the parent's half; [Child] is what a hidden command of the same
// executable runs. They speak over the child's standard input and output.
//
// # Outcomes and exit statuses
//
//	outcome  status  meaning
//	ok        0      the unit returned; result is what it returned
//	error     1      the unit threw, or the engine failed
//	(usage)   2      not a report: the command line was wrong
//	syntax    3      the source is not a program of its language
//	refused   4      the source or the input is not allowed, or not found
//	timeout  10      the time limit
//	memory   11      the memory limit
//	depth    12      the limit of nested calls
//	output   13      the result is larger than the output limit
//	denied   14      a capability that was not granted
//
// # What the unit can reach
//
// Log lines go to standard error; now and sleep work; config is empty; kv is
// in memory and gone afterwards; emit is logged; run calls other files of the
// same tree; http.fetch is denied.
//
// # The tree
//
// A unit may import and run files of its tree: the nearest directory above the
// file that has a theseus.yaml, else the file's own directory. Symbolic links
// that lead out of it are refused.
package evalunit
