//go:build race

package js

// slow is how much slower the race detector makes the engine, roughly.
const slow = 10
