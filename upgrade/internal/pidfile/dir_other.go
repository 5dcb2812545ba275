//go:build !unix

package pidfile

const openFlags = 0

// syncDir has nothing to do: Windows has no call that flushes a directory, and
// NTFS keeps a journal of names.
func syncDir(string) error { return nil }
