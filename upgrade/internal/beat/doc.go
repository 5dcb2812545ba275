// Package beat is a heartbeat in memory that two processes share: one writes that
// it is alive and how it fares, the other watches. It costs no system call but
// the clock's, blocks neither side, and goes on telling the last word of a writer that
// was stopped or killed.
//
// The watcher calls [Create], passes the file to the other process
// (exec.Cmd.ExtraFiles or SCM_RIGHTS), and runs a [Monitor] on a [Reader]. The other
// process calls [NewWriter] on the descriptor that it was given, and then
// [Writer.Beat] in every interval from the loop whose health it is about.
//
// There is one writer at a time; a new one goes on where the last ended. Any
// number may read. All methods are safe for concurrent use.
//
// # Layout
//
// Version 1. The memory is [Size] bytes, words are in the byte order of the
// machine, and each is read and written atomically.
//
//	offset  size  field
//	     0     8  magic, 0x5448455345424541
//	     8     4  version, 1
//	    12     4  zero
//	    64    24  slot of beats with an even sequence
//	   128    24  slot of beats with an odd sequence
//
//	slot
//	     0     8  sequence, uint64, from 1 on; zero while the slot is being written
//	     8     8  time, int64, nanoseconds of CLOCK_MONOTONIC
//	    16     4  status, uint32, low half of the word: 0 is healthy
//	    20     4  CRC-32C, high half of the word
//
// The CRC-32C (Castagnoli) is over 32 bytes, little-endian: magic (8), version (4),
// sequence (8), time (8), status (4).
//
// A writer sets the sequence of the older slot to zero, writes time, then status
// and CRC, then the sequence. So a writer that dies at any point leaves the beat
// before whole in the other slot. A reader takes a slot whose sequence was the
// same before and after the rest was read, whose CRC is right and whose sequence
// belongs there. The CRC guards against memory that something else has written to.
//
// A process that knows version 1 refuses any other with [ErrFormat].
package beat
