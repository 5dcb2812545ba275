package executable_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/theseus-run/theseus/internal/executable"
)

func ExampleCheck() {
	err := executable.Check("/nowhere/app")
	if ce, ok := errors.AsType[*executable.CheckError](err); ok {
		fmt.Println(ce.Check, errors.Is(err, os.ErrNotExist))
	}
	// Output: missing true
}
