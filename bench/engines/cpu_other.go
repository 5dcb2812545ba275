//go:build !unix

package main

import "time"

var started = time.Now()

// processorTime is wall time where the system does not say more.
func processorTime() time.Duration { return time.Since(started) }
