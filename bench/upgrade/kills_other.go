//go:build !unix

package main

func kill(int) error  { return errNoSignals }
func thaw(int)        {}
func freeze(int) bool { return false }

func runningFrom(string) []int { return nil }
func collect()                 {}
func stopped(string) bool      { return false }
