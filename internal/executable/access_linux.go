package executable

import "syscall"

// mayExecute asks the kernel whether this process, by its effective user, may
// execute the file; faccessat(2) also refuses on a file system that is mounted
// noexec.
func mayExecute(path string) error {
	const (
		atCWD     = -0x64 // AT_FDCWD
		atEAccess = 0x200 // AT_EACCESS
		execute   = 1     // X_OK
	)
	return syscall.Faccessat(atCWD, path, execute, atEAccess)
}
