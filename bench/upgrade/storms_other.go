//go:build !unix

package main

var stopSignals, hangupSignals []int

func sendSignal(int, int) {}
