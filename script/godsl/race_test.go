//go:build race

package godsl

const raceEnabled = true
