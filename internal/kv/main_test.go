package kv

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the other process that some tests need.
func TestMain(m *testing.M) {
	if role := os.Getenv("KV_TEST_ROLE"); role != "" {
		os.Exit(play(role, os.Getenv("KV_TEST_DIR")))
	}
	goleak.VerifyTestMain(m)
}
