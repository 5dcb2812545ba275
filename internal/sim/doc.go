// Package sim is the deterministic simulation of what must not be lost: the
// transaction (package update), the history (internal/store), the scripts' data
// (internal/kv) and the jobs (internal/schedule) of a service, on a disk, by a clock
// and under callers that all misbehave as a seed decides. It consists of tests:
//
//	go test ./internal/sim                        a few hundred seeds and more
//	go test ./internal/sim -seeds 10000 -from 1   those seeds
//	go test ./internal/sim -seeds 1 -from 4711 -v one, with its trace
//
// One seed is one run, always the same. Time is virtual (testing/synctest); the disk
// is one in memory that forgets what was not synced (internal/disk/simdisk) and
// fails, on top, as weather decides: errors before and after any operation, a full
// disk, syncs that fail and forget, read errors, flipped bits, slowness. Processes
// are killed in the middle of any operation, and the power fails. The wall clock is
// set forward and back by seconds up to years, and stops. Callers lose their answers
// and ask again.
//
// After each event the world is compared with what was promised (model, promises,
// beats). In the end all faults stop; then, without help, the service must be idle
// and healthy, take an update, run its jobs, and keep all that through another loss
// of power.
package sim
