//go:build race

package evalunit

// instrumented is what the race detector maps for itself.
const instrumented = 1 << 46
