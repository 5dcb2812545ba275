package pidfile

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxLength is the longest file that can be right: ten digits, a line feed.
const maxLength = 11

// ErrMalformed is wrapped by errors about a file that holds something else than
// one number from 1 to 2147483647, and about such a number to be written.
var ErrMalformed = errors.New("not the number of a process")

func format(pid int) (string, error) {
	if pid < 1 || pid > math.MaxInt32 {
		return "", fmt.Errorf("%d: %w", pid, ErrMalformed)
	}
	return strconv.Itoa(pid) + "\n", nil
}

// parse is strict: a number with anything else around it may be the half of
// another one.
func parse(b []byte) (int, error) {
	digits := b
	if n := len(b); n > 0 && b[n-1] == '\n' {
		digits = b[:n-1]
	}
	if len(digits) == 0 {
		return 0, fmt.Errorf("empty: %w", ErrMalformed)
	}
	pid := 0
	for i, c := range digits {
		if c < '0' || c > '9' || i == 0 && c == '0' || i == maxLength-1 {
			return 0, malformed(b)
		}
		if pid > (math.MaxInt32-int(c-'0'))/10 {
			return 0, malformed(b)
		}
		pid = pid*10 + int(c-'0')
	}
	return pid, nil
}

func malformed(b []byte) error {
	const most = 32
	return fmt.Errorf("%q: %w", b[:min(len(b), most)], ErrMalformed)
}
