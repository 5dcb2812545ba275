package cli

import (
	"fmt"
	"os/user"
)

// self is the user who runs this process, "alice (uid 1000)".
func self() string {
	u, err := user.Current()
	if err != nil {
		return "an unknown user"
	}
	return fmt.Sprintf("%s (uid %s)", u.Username, u.Uid)
}

// by says what brought a change about, and on whose behalf.
func by(trigger, who string) string {
	if who == "" || who == trigger {
		return trigger
	}
	return trigger + ": " + who
}
