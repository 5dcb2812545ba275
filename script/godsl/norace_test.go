//go:build !race

package godsl

const raceEnabled = false
