package delta

import "errors"

var (
	// ErrWrongBase is wrapped by the error of an apply whose base is not the
	// file that the patch was made from. Nothing was written.
	ErrWrongBase = errors.New("base is not the file that the patch was made from")
	// ErrCorrupt is wrapped by the error of an apply whose patch is damaged,
	// or was made to be refused. What was written must be thrown away.
	ErrCorrupt = errors.New("patch is damaged")
	// ErrTooLarge is wrapped where a file or a patch is larger than allowed.
	ErrTooLarge = errors.New("larger than allowed")
	// ErrUnsupported is wrapped where a patch is of a version that this
	// package does not know, or is no patch at all.
	ErrUnsupported = errors.New("unknown patch format")
)
