// Package pidfile keeps the number of a service's main process in a file, for
// the tools that look there (PIDFile= of systemd.service(5), start-stop-daemon,
// monitors), while processes replace each other.
//
// Start with [Write]; the process that ends calls [Remove], and [Try] says
// beforehand whether Write would work. All functions are safe for concurrent use,
// by several processes as well: who reads the file sees one whole number, the old
// or the new one, whatever fails in between and whenever the power goes.
//
// The file is the decimal number and a line feed:
//
//	[1-9][0-9]{0,9}\n    from 1 to 2147483647
//
// [Read] takes it without the line feed, too, and nothing else.
package pidfile
