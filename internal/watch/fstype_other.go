//go:build !linux

package watch

// networkFS knows no file system here; a change that a safety poll finds without
// an event leads to polling as well.
func networkFS(string) string { return "" }
