//go:build !race && unix

package cli_test

const raceEnabled = false
