//go:build !race

package js

// slow is 1 without the race detector.
const slow = 1
