//go:build unix && !linux

package pidfile

var roles = map[string]func() error{"killed": killed, "unwritable": unwritable}
