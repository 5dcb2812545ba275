package main

import (
	"os"
	"time"
)

// broken is the way in which this build fails, or empty; set with -ldflags -X.
var broken string

const (
	crashAfter = 500 * time.Millisecond
	bite       = 64 << 20 // bytes of memory
	biteEvery  = 50 * time.Millisecond
	// memoryLimit is where the process is killed, as a container's limit would.
	memoryLimit = 1 << 30
	// hang is how long a process that hangs does so, if nobody ends it.
	hang = 10 * time.Minute
)

// begin is the first thing that the program does.
func begin() {
	switch broken {
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(hang)
		os.Exit(5)
	}
}

// beforeReady is called when all is set up but nobody has been told.
func beforeReady() {
	if broken == "never" {
		time.Sleep(hang)
		os.Exit(5)
	}
}

// afterReady is called when the process has taken over.
func afterReady() {
	switch broken {
	case "crash":
		time.AfterFunc(crashAfter, func() { os.Exit(4) })
	case "memory":
		go eat()
	}
}

// eat takes memory until the process is killed.
func eat() {
	var held [][]byte
	for len(held)*bite < memoryLimit {
		b := make([]byte, bite)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		held = append(held, b)
		time.Sleep(biteEvery)
	}
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
}
