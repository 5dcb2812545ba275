//go:build race && unix

package cli_test

// raceEnabled: the engines run some twenty times slower.
const raceEnabled = true
