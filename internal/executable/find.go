package executable

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Find makes the name of a program absolute: a name with a separator is relative to
// the working directory, another is looked up in PATH.
func Find(name string) (string, error) {
	if !strings.ContainsRune(name, filepath.Separator) {
		found, err := exec.LookPath(name)
		if err != nil && !errors.Is(err, exec.ErrDot) {
			return "", fmt.Errorf("find the program: %w", err)
		}
		name = found
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	return path, nil
}
