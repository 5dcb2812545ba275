// Package update is the transaction that every change of a running service goes
// through, whatever its kind: a version becomes live as a whole or not at all, and
// after a crash at any instruction exactly one whole version is live.
//
// A [Machine] is the transaction as a value. It does nothing itself:
// [Machine.Step] takes an [Event], which says what has happened, and returns the
// [Effect]s that are due, in order. Who drives it carries each out and reports how it
// went by the next event. So every interleaving can be tried without a disk, and
// recovery runs the same code: [Journal] keeps the machine as it stood before each
// effect, and after a crash [Restart] is the event.
//
//	idle ── trigger ─▶ received ── begin ─▶ preparing ── proceed ─▶ syncing ── proceed ─▶ swapping ── swapped ─▶ idle
//
// A version that serves is on trial until [Proven], and the one that was proven
// before it stays what a cold start loads. Until then [Misbehaved] goes back to
// that. The table of all transitions is in docs/update.md, made from the one that
// the machine runs on.
//
// A service has [Slot]s, what can be changed by itself: its app, its binary. One change
// is under way at a time.
package update
