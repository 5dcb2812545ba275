package ir

import (
	"fmt"
	"go/token"
)

// An Error says why a checked program cannot be lowered, and where.
type Error struct {
	Pos     token.Pos
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// fail leaves lowering; [Lower] turns it into an error.
func fail(format string, args ...any) {
	panic(&Error{Message: fmt.Sprintf(format, args...)})
}

func failAt(pos token.Pos, format string, args ...any) {
	panic(&Error{Pos: pos, Message: fmt.Sprintf(format, args...)})
}
